"""Strict mode: workflow code that reads a clock or draws randomness in C raises, in whatever module it does so.

A worker's guards (``actors.determinism``) see what goes by a name of a module. A profile function sees every call of a
C function: ``datetime.now`` in helpers of other modules, and functions that were bound by value (``from time import
time``). It costs some 6 µs for each event fed, and raises where the call is made.
"""

from __future__ import annotations

import datetime as dt
import gc
import inspect
import linecache
import os
import random
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from actors.checks.finding import ALLOWED
from actors.determinism.author import author_site
from actors.errors import DeterminismViolation
from actors.workflow.loop import WorkflowLoop

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

_NOW: Final = "write step.now()"
_CLOCKS: Final = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_METHODS: Final = frozenset({"now", "utcnow", "today"})
_LET_THROUGH: Final = frozenset(
    # They load, log, or read source for a traceback: nothing of it reaches the workflow.
    {"logging", "structlog", "importlib", "linecache", "tokenize", "encodings", "warnings", "traceback"}
)


def _forbidden() -> dict[int, tuple[object, str]]:
    found: list[tuple[Any, str]] = [(time.sleep, "write await step.sleep(seconds)"), (os.urandom, "write step.random")]
    for name in _CLOCKS:
        found += [(getattr(time, name), _NOW) for name in (name, f"{name}_ns") if hasattr(time, name)]
    # What a worker's guards may have put in place leads to the real ones, which alone are called in C. By identity:
    # to hash any C function means to hash what it is bound to.
    real = [(inspect.unwrap(function), advice) for function, advice in found]
    return {id(function): (function, advice) for function, advice in real}


_FORBIDDEN: Final = _forbidden()
_SHARED_RANDOM: Final[object] = getattr(inspect.unwrap(random.random), "__self__", None)


class Violations:
    """What strict mode has seen. The author's code may catch what is raised; here it stays."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.first: DeterminismViolation | None = None

    @contextmanager
    def watch(self) -> Generator[None]:
        """Watch one turn."""
        before = sys.getprofile()
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _profile(self, frame: FrameType, event: str, called: Any) -> None:  # noqa: ANN401 - any C function
        if event != "c_call":
            return
        advice = _advice(called)
        if advice is None or _is_let_through(frame):
            return
        if ALLOWED in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
            return
        error = DeterminismViolation(
            f"{_name(called)}() is not possible in workflow code ({author_site(frame)}): {advice}"
        )
        self.first = self.first or error
        raise error


def _advice(called: Any) -> str | None:  # noqa: ANN401 - any C function
    """Return what to write instead of a C function; None: it may be called."""
    known = _FORBIDDEN.get(id(called))
    if known is not None:
        return known[1]
    owner = getattr(called, "__self__", None)
    if owner is None:
        return None
    if owner is _SHARED_RANDOM:
        return "write step.random"
    if isinstance(owner, type) and called.__name__ in _METHODS and issubclass(owner, dt.date):
        return _NOW
    return None


def _name(called: Any) -> str:  # noqa: ANN401 - any C function
    owner = getattr(called, "__self__", None)
    if isinstance(owner, type):
        return f"{owner.__name__}.{called.__name__}"
    return f"{getattr(owner, '__name__', 'random')}.{called.__name__}"


def _is_let_through(frame: FrameType | None) -> bool:
    """Tell whether the call is made by what only logs or imports, or by who watches the garbage collector."""
    # The collector may run, and call them, at any moment: Hypothesis has one that reads a clock.
    watchers = {getattr(watcher, "__code__", None) for watcher in gc.callbacks}
    while frame is not None and frame.f_code is not _TURN:
        if frame.f_globals.get("__name__", "").partition(".")[0] in _LET_THROUGH or frame.f_code in watchers:
            return True
        frame = frame.f_back
    return False


_TURN: Final = WorkflowLoop._drain.__code__  # noqa: SLF001 - where workflow code is entered


@contextmanager
def strictly() -> Generator[Violations]:
    """Watch every turn of every workflow in this process while the block runs."""
    before, violations = WorkflowLoop.guard, Violations()
    WorkflowLoop.guard = violations
    try:
        yield violations
    finally:
        WorkflowLoop.guard = before
