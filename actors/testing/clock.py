"""Virtual time for a running event loop: it stands still while anything runs, and jumps when all wait. No engine here.

Installed in one of asyncio's own loops, the clock replaces what the loop takes for the time, and what it does when it
has nothing to do: instead of waiting for the next timer, it moves the time there. Timers are of two kinds. *Driving*
ones are what somebody waits for (a test's ``asyncio.sleep``, a timeout inside a step): time goes to the next of them.
*Housekeeping* ones, made by code under ``housekeeping()``, only look after things again and again; they ring when
time has come so far anyway, and move it on their own for ``PATIENCE_S`` at most. So a month costs as much as a second.

What happens outside the loop takes real time: while a thread of the loop runs, or a connection is open on which
something arrives, the clock waits for it and stands still, for up to a second; then it goes as fast as real time. The
results of threads reach the loop when all else waits, in the order in which they were asked for: so two runs are alike.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from actors.errors import Misuse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

PATIENCE_S: Final = 60.0
"""How far housekeeping may move the time when nothing else is to come: what got lost is found again within it."""
STILL_S: Final = 1.0
"""How long, in real seconds, time stands still for what happens outside the loop."""
SLICE_S: Final = 0.02
"""Longest real wait at once."""
RESOLUTION_S: Final = 1e-6
"""Timers so near count as due."""
KEPT_MAX: Final = 10_000
"""Handles of timers kept before those that were canceled are thrown out."""

_monotonic: Final = time.monotonic
_housekeeping: Final[ContextVar[bool]] = ContextVar("housekeeping", default=False)

_Timer = tuple[float, int, asyncio.TimerHandle]


@contextmanager
def housekeeping() -> Generator[None]:
    """Let timers made in the block, and by tasks begun in it, not move the time."""
    token = _housekeeping.set(True)
    try:
        yield
    finally:
        _housekeeping.reset(token)


def end_housekeeping() -> None:
    """Let the timers that the current task makes from now on move the time."""
    _housekeeping.set(False)


class _Thread:
    """A function that runs in a thread."""

    __slots__ = ("done", "gate")

    def __init__(self) -> None:
        self.done: Final = threading.Event()
        """It has returned or raised."""
        self.gate: Final = threading.Event()
        """Its result may reach the loop."""


class VirtualClock:
    """The time of one event loop. ``install`` and ``uninstall`` once each."""

    def __init__(self, start: datetime) -> None:
        """``start``: an aware time."""
        self._start_ms: Final = round(start.timestamp() * 1000)
        self._time = 0.0
        self._driven = 0.0
        """The last time that something other than housekeeping asked for."""
        self._driving: list[_Timer] = []
        self._kept: list[_Timer] = []
        self._number = count().__next__
        self._settled: list[asyncio.Future[None]] = []
        self._threads: list[_Thread] = []
        self._waited_s = 0.0
        self._loop: Any = None
        self._select: Any = None
        self._call_at: Any = None
        self._in_executor: Any = None
        self._files = 0
        self._foreign: list[Any] = []
        self.due_ms: Callable[[], int | None] = _nothing
        """Tells when something outside the loop falls due, ms since the epoch."""
        self.on_stuck: Callable[[], bool] = _nobody
        """Called when nothing will ever happen any more; True: somebody goes on because of it."""

    # ------------------------------------------------------------------------------------------------- the time

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.now_ms())

    def now_ms(self) -> int:
        """Return the time, ms since the epoch."""
        return self._start_ms + int(self._time * 1000 + 0.001)

    def time(self) -> float:
        """Return the loop's time, in seconds since the clock was made."""
        return self._time

    async def settle(self) -> None:
        """Wait until everything waits for time, or for what this task does next."""
        future = asyncio.get_running_loop().create_future()
        self._settled.append(future)
        await future

    # ------------------------------------------------------------------------------------------------- the loop

    def install(self) -> None:
        """Take over the running loop.

        Raises:
            Misuse: it is none of asyncio's own loops, or has a virtual clock already.
        """
        loop: Any = asyncio.get_running_loop()
        selector = getattr(loop, "_selector", None)
        if selector is None or not hasattr(loop, "_scheduled"):
            raise Misuse(
                f"virtual time needs asyncio's own event loop, this is a {type(loop).__name__}: run the test on it"
            )
        if "time" in vars(loop):
            raise Misuse("this event loop has a virtual clock already: leave the other WorkflowTester's block first")
        self._loop, self._select = loop, selector.select
        self._call_at, self._in_executor = loop.call_at, loop.run_in_executor
        self._files = len(selector.get_map())
        # Timers of real time, such as a test's own limit, wait until the clock is gone.
        self._foreign, loop._scheduled = loop._scheduled, []  # noqa: SLF001 - asyncio has no other way to replace its clock
        loop.time, loop.call_at, loop.run_in_executor = self.time, self._timer, self._thread
        loop._clock_resolution, self._resolution = RESOLUTION_S, loop._clock_resolution  # noqa: SLF001 - asyncio has no other way to replace its clock
        selector.select = self._wait

    def uninstall(self) -> None:
        """Give the loop its own time back."""
        for thread in self._threads:
            thread.gate.set()
        loop = self._loop
        del loop.time, loop.call_at, loop.run_in_executor, loop._selector.select  # noqa: SLF001 - asyncio has no other way to replace its clock
        loop._clock_resolution = self._resolution  # noqa: SLF001 - asyncio has no other way to replace its clock
        real = loop.time()
        for handle in loop._scheduled:  # noqa: SLF001 - asyncio has no other way to replace its clock
            # Nothing of the engine's should be left; what there is keeps its distance.
            handle._when += real - self._time  # noqa: SLF001 - asyncio has no other way to replace its clock
        loop._scheduled += self._foreign  # noqa: SLF001 - asyncio has no other way to replace its clock
        heapq.heapify(loop._scheduled)  # noqa: SLF001 - asyncio has no other way to replace its clock

    def _timer(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # noqa: ANN401 - as asyncio's
        handle: asyncio.TimerHandle = self._call_at(when, callback, *args, context=context)
        if when == math.inf:
            return handle  # asyncio's way to say "without a limit"
        kept = self._kept if _housekeeping.get() else self._driving
        if len(kept) >= KEPT_MAX:
            kept[:] = [timer for timer in kept if not timer[2].cancelled()]
            heapq.heapify(kept)
        heapq.heappush(kept, (when, self._number(), handle))
        return handle

    def _thread(self, executor: Any, function: Any, *args: Any) -> asyncio.Future[Any]:  # noqa: ANN401 - as asyncio's
        thread = _Thread()

        def held() -> object:
            try:
                return function(*args)
            finally:
                thread.done.set()
                thread.gate.wait()

        def ended(_future: object) -> None:
            thread.gate.set()  # canceled, it may still run
            self._threads.remove(thread)

        self._threads.append(thread)
        future: asyncio.Future[Any] = self._in_executor(executor, held)
        future.add_done_callback(ended)
        return future

    # ---------------------------------------------------------------------------------------------------- idling

    def _wait(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - as the selector's
        """Stand in for the selector's wait: return at once, the time moved on if all wait for it."""
        events = self._select(0)
        if events:
            self._waited_s = 0.0
            return events
        if timeout is not None and timeout <= 0:
            return events
        if (self._threads or self._open_files()) and not self._is_quiet():
            return self._wait_really(timeout)
        if self._settled:
            settled, self._settled, self._driven = self._settled, [], self._time
            for future in settled:
                if not future.done():
                    future.set_result(None)
            return events
        if (to := self._next()) is not None:
            self._time = max(self._time, to)
            return events
        self._driven = self._time
        return events if self.on_stuck() else self._select(timeout)

    def _open_files(self) -> bool:
        return len(self._loop._selector.get_map()) > self._files  # noqa: SLF001 - asyncio has no other way to replace its clock

    def _is_quiet(self) -> bool:
        """Tell whether open connections have been silent for so long that nobody seems to wait for them."""
        return not self._threads and self._waited_s > STILL_S

    def _wait_really(self, timeout: float | None) -> Any:  # noqa: ANN401 - as the selector's
        began = _monotonic()
        if not self._open_gate():
            events = self._select(0)
        else:
            events = self._select(SLICE_S if timeout is None else min(timeout, SLICE_S))
        spent_s = _monotonic() - began
        self._waited_s = 0.0 if events else self._waited_s + spent_s
        if self._waited_s > STILL_S and self._threads:
            # A thread sleeps, or is stuck: timeouts must be able to end it.
            self._time += spent_s
        return events

    def _open_gate(self) -> bool:
        """Let the next thread hand over its result; False: it is not done, and a slice of time was spent on it."""
        if not self._threads or any(thread.gate.is_set() for thread in self._threads):
            return True
        first = self._threads[0]
        done = [first] if first.done.wait(SLICE_S) else []
        if not done and self._waited_s > STILL_S:
            done = [thread for thread in self._threads if thread.done.is_set()]
        for thread in done[:1]:
            thread.gate.set()
        return bool(done)

    def _next(self) -> float | None:
        """Return the time at which something happens next; None: nothing will."""
        driving = self._earliest(self._driving)
        kept = self._earliest(self._kept)
        due_ms = self.due_ms()
        due = None if due_ms is None else (due_ms - self._start_ms) / 1000
        if due is not None and due > self._time:
            driving = due if driving is None else min(driving, due)
        if driving is None or (due is not None and due <= self._time):
            # Nobody waits for time, or who should have noticed that something is due has not yet.
            if kept is None or kept > self._driven + PATIENCE_S:
                return driving
            return kept if driving is None else min(driving, kept)
        self._driven = driving
        return driving

    def _earliest(self, timers: list[_Timer]) -> float | None:
        while timers and (timers[0][2].cancelled() or timers[0][0] <= self._time):
            heapq.heappop(timers)
        return timers[0][0] if timers else None


def _nothing() -> int | None:
    return None


def _nobody() -> bool:
    return False
