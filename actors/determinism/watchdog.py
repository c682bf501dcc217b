"""Watchdog: breaks off a turn that blocks its worker, by an exception raised in the worker's own thread.

The worker's part of it costs two stores a turn: ``Watch.turn`` says which instance is being fed. A thread looks
every half second; the same instance at the same event at so many looks in a row is a turn that blocks. Counting looks
and reading no clock, it is not deceived by a machine that stood still.

The exception is set by ``PyThreadState_SetAsyncExc`` and raised when the thread runs Python code again: a call into C
is not interrupted, only told of in the log. Workflow code may catch it; then it is set again. Once the turn is over,
the thread that fed makes sure that none is left to be raised later, in the worker's code:

=====================================  =================================================
watchdog, holding the lock             worker
=====================================  =================================================
sets ``aimed``, then looks at `turn`   clears ``turn``, then looks at ``aimed``
unchanged: sets the exception          set: takes the lock, takes the exception back
changed: clears ``aimed``
=====================================  =================================================

So whichever comes second knows of the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from actors.determinism.audit import DEBUGGERS
from actors.determinism.author import OWN, STANDARD, author_site, frames_of_workflow
from actors.workflow import TurnTooLong

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from actors.actor import Actor
    from kernel import Event

log = structlog.get_logger(__name__)

TURN_S_MAX: Final = 2.0
"""How long a turn may keep its worker from everything else."""
LOOKS: Final = 4
"""So many times a turn is looked at within that time."""
AGAIN_S: Final = 0.05
"""Pause between two exceptions, when workflow code catches the first."""
SAMPLES_MAX: Final = 50
SAMPLE_S: Final = 0.001
"""So often, and with such pauses, the author's frames are looked for."""
SIGNAL_ROUNDS: Final = 100
"""Rounds of a loop, in the first of which the interpreter looks for exceptions that wait."""
FRAMES_MAX: Final = 30
"""Innermost frames that are shown."""

_DEBUGGING: Final = (STANDARD + "bdb.py", STANDARD + "pdb.py")
_HIDDEN: Final = (OWN, asyncio.__file__.rpartition("/")[0] + "/")


class _Stuck(KeyboardInterrupt):
    """Raised in workflow code that blocks; never leaves ``Watch``.

    A KeyboardInterrupt, since those leave asyncio's tasks and the workflow's loop at once.
    """


class Aim(NamedTuple):
    """Where a turn was when it was broken off."""

    site: str
    """``file:line in function`` of the author's innermost line."""
    stack: str
    """The author's frames, as Python prints them."""
    limit_s: float


class Watch:
    """The turns of one thread. ``turn`` and ``aimed`` are read by the watchdog's thread."""

    __slots__ = ("_hooks", "_loop", "_thread", "aimed", "lock", "turn")

    def __init__(self) -> None:
        """To be made in the thread that will feed, while its event loop runs."""
        self._thread = threading.get_ident()
        self._loop = asyncio._get_running_loop()  # noqa: SLF001 - None where there is none, instead of raising
        self._hooks = sys.get_asyncgen_hooks()
        self.turn: Actor | None = None
        """The instance that is being fed."""
        self.aimed: Aim | None = None
        """Set when an exception has been, or is being, set."""
        self.lock: Final = threading.Lock()

    def feed(self, instance: Actor, event: Event) -> None:
        """Feed an event.

        Raises:
            TurnTooLong: it took too long and was broken off; the instance is disposed of.
            JournalMismatch, KeyboardInterrupt: as the instance does.
        """
        failure: BaseException | None = None
        try:
            self.turn = instance
            instance.feed(event)
            self.turn = None
            if self.aimed is None:
                return
        except BaseException as error:
            self.turn = None
            if self.aimed is None:
                raise
            failure = error
        try:
            self._after(instance, failure)
        except _Stuck:
            # It came at the last moment. There is no other: the turn is over.
            self._after(instance, failure)

    def _after(self, instance: Actor, failure: BaseException | None) -> None:
        """End a turn at which the watchdog may have aimed."""
        aim = self._settle()
        if aim is None:
            if failure is not None:
                raise failure
            return
        # Its `finally:` blocks may block as well.
        self._guarded(instance, instance.dispose)
        self._guarded(instance, instance.dispose)
        raise TurnTooLong(
            f"the workflow's code kept its worker from everything else for more than {aim.limit_s:g} s and was broken "
            f"off at {aim.site}: do long computations in an action (a plain `def` runs in a thread), then let a worker "
            f"start with the mended code, or write headrace resume with the workflow's id\n{aim.stack}",
            stack=aim.stack,
        ) from None

    def _guarded(self, instance: Actor, call: Callable[[], None]) -> None:
        try:
            try:
                self.turn = instance
                call()
                self.turn = None
            except _Stuck:
                self.turn = None
            self._settle()
        except _Stuck:
            self.turn = None
            self._settle()

    def _settle(self) -> Aim | None:
        """Return at what the watchdog has fired, and see to it that nothing more comes."""
        with self.lock:
            aim = self.aimed
            if aim is not None:
                set_exception(self._thread, None)
                clear_signal(self._thread)
                # The loop's own `finally:` may have been interrupted.
                asyncio._set_running_loop(self._loop)  # noqa: SLF001 - asyncio has it for those who write loops
                sys.set_asyncgen_hooks(*self._hooks)
                self.aimed = None
        return aim

    def fire(self, turn: tuple[Actor, str], limit_s: float) -> Aim | None:
        """Break off a turn, if it is still under way; called by the watchdog's thread. Return where it was."""
        aim = self._look(limit_s)
        if aim is None:
            return None
        with self.lock:
            before, self.aimed = self.aimed, self.aimed or aim
            if self.mark() != turn:
                self.aimed = before
                return None
            set_exception(self._thread, _Stuck)
        return aim

    def _look(self, limit_s: float) -> Aim | None:
        """Return where the turn is; None if it is over, or if somebody debugs it."""
        aim: Aim | None = None
        for _ in range(SAMPLES_MAX):
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - the documented way to another thread's frames
            if frame is None or _is_debugged(frame):
                return None
            aim = Aim(author_site(frame), _stack(frame), limit_s)
            if aim.site:
                break
            # Code that awaits nothing but `sleep(0)` is in the event loop for half of the time.
            time.sleep(SAMPLE_S)
        return aim

    def mark(self) -> tuple[Actor, str] | None:
        """Return what tells this turn from others: the instance and the event that it is fed."""
        instance = self.turn
        return None if instance is None else (instance, instance.fed)


class Watchdog:
    """The thread that looks. One a process, for all workers in it."""

    def __init__(self, *, limit_s: float = TURN_S_MAX) -> None:
        """Look at nothing yet. ``limit_s``: how long a turn may take."""
        self._limit_s = limit_s
        self._watches: list[Watch] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, watch: Watch) -> None:
        """Look at the turns of one more thread."""
        self._watches = [*self._watches, watch]
        if self._thread is None:
            self._stopping = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stopping,), name="headrace-watchdog", daemon=True
            )
            self._thread.start()

    def remove(self, watch: Watch) -> None:
        """Look at it no more; without any left, the thread ends."""
        self._watches = [other for other in self._watches if other is not watch]
        if not self._watches:
            self._stopping.set()
            self._thread = None

    def _run(self, stopping: threading.Event) -> None:
        looks: dict[Watch, tuple[tuple[Actor, str], int]] = {}
        pause_s = calm_s = self._limit_s / LOOKS
        while not stopping.wait(pause_s):
            pause_s = calm_s
            for watch in self._watches:
                turn = watch.mark()
                seen, count = looks.pop(watch, (None, 0))
                if turn is None:
                    continue
                count = count + 1 if turn == seen else 0
                looks[watch] = (turn, count)
                if count >= LOOKS:
                    self._break_off(watch, turn, first=count == LOOKS)
                    pause_s = AGAIN_S

    def _break_off(self, watch: Watch, turn: tuple[Actor, str], *, first: bool) -> None:
        aim = watch.fire(turn, self._limit_s)
        if first and aim is not None:
            # Whatever is wrong with the log, this thread goes on.
            with contextlib.suppress(Exception):
                log.error("a workflow's turn blocks its worker and is broken off", at=aim.site, stack=aim.stack)


def set_exception(thread: int, exception: type[BaseException] | None) -> None:
    """Set, or take back, the exception that a thread raises when it next runs Python code."""
    raised = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


class _Cleared(BaseException):
    """Raised and caught at one place, to clear the interpreter's signal."""


def clear_signal(thread: int) -> None:
    """Clear the interpreter's sign that an exception waits, in the thread itself.

    CPython 3.11 keeps it when the exception is taken back, and clears it only when one is raised. Set for good, it
    slows every call, and together with a profiler (``sys.setprofile``, the tester's strict mode) the interpreter never
    gets past the entry of the next function.
    """
    try:
        set_exception(thread, _Cleared)
        for _ in range(SIGNAL_ROUNDS):
            pass
    except _Cleared:
        pass


def _is_debugged(frame: FrameType) -> bool:
    """Tell whether somebody has stopped the code to look at it."""
    return any(
        inner.f_code.co_filename.startswith(_DEBUGGING) or any(part in inner.f_code.co_filename for part in DEBUGGERS)
        for inner in frames_of_workflow(frame)
    )


def _stack(frame: FrameType) -> str:
    frames = [(inner, inner.f_lineno) for inner in frames_of_workflow(frame)]
    shown = [pair for pair in frames if not pair[0].f_code.co_filename.startswith(_HIDDEN)] or frames
    innermost = reversed(shown[:FRAMES_MAX])
    return "".join(traceback.StackSummary.extract(iter(innermost)).format())
