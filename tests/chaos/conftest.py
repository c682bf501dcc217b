"""The fixtures of the engine's tests: a loop to run them on."""

from __future__ import annotations

from tests.engine.conftest import pytest_pyfunc_call, runner

__all__ = ["pytest_pyfunc_call", "runner"]
