"""Helpers of another module that read a clock, which no check of a workflow's own code sees."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time as bound_by_value


def wall_clock() -> datetime:
    return datetime.now(UTC)


def borrowed_clock() -> float:
    return bound_by_value()
