"""The doctor: looks over a namespace in use, says what is wrong and what to do, and mends what can be mended safely."""

from __future__ import annotations

from actors.doctor.discarding import discard
from actors.doctor.examination import Examination, Thoroughness
from actors.doctor.finding import Finding, Kind, Report, Severity
from actors.doctor.server import UNCHECKED

__all__ = ["UNCHECKED", "Examination", "Finding", "Kind", "Report", "Severity", "Thoroughness", "discard"]
