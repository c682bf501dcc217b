"""Strict mode: workflow code that reaches for the wall clock, randomness or I/O raises, in whatever module it does so.

A profile function sees every call of a C function, so helpers of other modules and ``datetime.now`` are caught too,
which nothing else can do. It costs some 6 µs for each event fed, and raises where the call is made.
"""

from __future__ import annotations

import builtins
import datetime
import os
import random
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from actors.errors import DeterminismViolation
from actors.workflow.loop import WorkflowLoop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_NOW: Final = "use step.now()"
_SLEEP: Final = "use await step.sleep(…)"
_RANDOM: Final = "use step.random"
_UUID: Final = "use step.uuid4(), step.random, or a step"
_IO: Final = "do the I/O in a function decorated with @manager.action and call step.run_action"

_CLOCKS: Final = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time")
_FILES: Final = ("listdir", "scandir", "open", "remove", "mkdir", "rename", "getpid", "system", "popen", "fork")
_METHODS: Final = frozenset({"now", "utcnow", "today"})
_SOCKET_METHODS: Final = frozenset({"connect", "connect_ex", "send", "sendall", "recv", "recv_into", "bind", "accept"})
_LET_THROUGH: Final = frozenset(
    # They log, or read source for a traceback: nothing of it reaches the workflow.
    {"logging", "structlog", "importlib", "linecache", "tokenize", "encodings", "warnings", "traceback"}
)


def _forbidden() -> dict[int, tuple[object, str]]:
    found: list[tuple[object, str]] = [(getattr(time, name), _NOW) for name in _CLOCKS]
    found += [(time.sleep, _SLEEP), (os.urandom, _UUID), (builtins.open, _IO)]
    found += [(getattr(os, name), _IO) for name in _FILES if hasattr(os, name)]
    thread: Any = threading
    starters = ("_start_new_thread", "_start_joinable_thread")
    found += [(getattr(thread, name), _IO) for name in starters if hasattr(thread, name)]
    # By identity: hashing what any C function is bound to would call the author's code. The value keeps it alive.
    return {id(function): (function, advice) for function, advice in found}


_FORBIDDEN: Final = _forbidden()
_SHARED_RANDOM: Final[object] = getattr(random.random, "__self__", None)


class Violations:
    """What strict mode has seen. Author's code may catch what is raised; here it stays."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.first: DeterminismViolation | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
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
        where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        name = getattr(called, "__qualname__", repr(called))
        module = getattr(called, "__module__", None)
        shown = f"{module}.{name}" if module and module not in {"builtins", "posix", "nt"} else name
        error = DeterminismViolation(f"{shown}() is not possible in workflow code ({where}): {advice}")
        self.first = self.first or error
        raise error


def _advice(called: Any) -> str | None:  # noqa: ANN401 - any C function
    """Return what to use instead of a C function; None: it may be called."""
    known = _FORBIDDEN.get(id(called))
    if known is not None:
        return known[1]
    owner = getattr(called, "__self__", None)
    if owner is None:
        return None
    if owner is _SHARED_RANDOM:
        return _RANDOM
    if isinstance(owner, type):
        return _NOW if called.__name__ in _METHODS and issubclass(owner, datetime.date) else None
    if called.__name__ in _SOCKET_METHODS and type(owner).__module__ in {"socket", "_socket"}:
        return _IO
    return None


def _is_let_through(frame: FrameType | None) -> bool:
    """Tell whether the call is made by what only logs or imports."""
    while frame is not None:
        module: str = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in _LET_THROUGH:
            return True
        if module == "actors.workflow.loop" and frame.f_code.co_name == "_drain":
            return False
        frame = frame.f_back
    return False


@contextmanager
def strictly() -> Iterator[Violations]:
    """Watch every turn of every workflow in this process while the block runs."""
    before, violations = WorkflowLoop.guard, Violations()
    WorkflowLoop.guard = violations.watch
    try:
        yield violations
    finally:
        WorkflowLoop.guard = before
