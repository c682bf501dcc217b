"""Python's own event loop without clock and I/O, for one instance of the oracle."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Protocol, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context


Ts = TypeVarTuple("Ts")


class Timers(Protocol):
    """Whoever keeps a loop's timers."""

    time_ms: int

    def timer(self, length_ms: int, act: Callable[[], None]) -> Callable[[], None]:
        """Call ``act`` after so long; what is returned takes that back."""
        ...


class Timer(asyncio.TimerHandle):
    """A timer of the loop that is somebody else's to keep."""

    take_back: Callable[[], None]

    def cancel(self) -> None:
        """Take it back."""
        if not self.cancelled():
            self.take_back()
        super().cancel()


class Loop(asyncio.BaseEventLoop):
    """Runs until nothing is ready, and returns."""

    def __init__(self, timers: Timers) -> None:
        """``timers``: which tell the time as well."""
        super().__init__()
        self._timers = timers
        self._selector = self
        self.set_exception_handler(lambda _loop, _context: None)

    def select(self, _timeout: float | None) -> list[Any]:
        """Stand in for the selector: nothing comes from outside."""
        return []

    def _process_events(self, _events: list[Any]) -> None: ...

    def _write_to_self(self) -> None: ...

    def time(self) -> float:
        """Return the instance's time, in seconds."""
        return self._timers.time_ms / 1000

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Have a timer kept."""
        timer = Timer(when, callback, args, self, context)
        length_ms = math.ceil((when - self.time()) * 1000 - 0.001)

        def fire() -> None:
            if not timer.cancelled():
                timer._run()

        timer.take_back = self._timers.timer(length_ms, fire)
        return timer

    def settle(self) -> None:
        """Run until nothing is ready."""
        ready: Any = vars(self)["_ready"]
        while ready:
            self.call_soon(self.stop)
            self.run_forever()
