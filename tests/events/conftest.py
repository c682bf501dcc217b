"""Fixtures of the tests of what workflows are told: those of the author's face."""

from __future__ import annotations

from tests.api.conftest import manager, managers, pytest_pyfunc_call, runner, url

__all__ = ["manager", "managers", "pytest_pyfunc_call", "runner", "url"]
