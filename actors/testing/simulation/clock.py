"""The clock of a simulation: no timer is passed over, but when nothing goes on for long, the time of day jumps ahead.

Many workers watch one another's heartbeats, so none of their timers may be late. What they measure is the loop's time,
which goes on from timer to timer. When all is calm and the next thing that anybody waits for (a due time in Redis, a
timer of the test's own) is far, only the time of day goes on: as if the pause between two looks had been so long.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from actors.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

LEAP_S: Final = 20.0
"""Shorter waits are lived through."""
MARGIN_S: Final = 7.0
"""So much is left of a wait that is cut short: until then every worker has looked what is due next."""


class SimulationClock(VirtualClock):
    """See the module's docstring."""

    def __init__(self, start: datetime) -> None:
        """``start``: an aware time."""
        super().__init__(start)
        self._skipped_s = 0.0
        self.is_calm: Callable[[], bool] = _no
        """Whether nothing is going on that time must not pass over."""
        self.is_stuck: Callable[[], bool] = _no
        """Whether nothing has gone on for so long that nothing will."""

    def now_ms(self) -> int:
        """Return the time of day, ms since the epoch."""
        return self._start_ms + int((self._time + self._skipped_s) * 1000 + 0.001)

    def _next(self) -> float | None:
        kept, ahead = self._earliest(self._kept), self._earliest(self._driving)
        if (ahead is None or ahead - self._time > LEAP_S) and self.is_calm():
            # What falls due in Redis the workers find by themselves; it matters where time is to be passed over.
            ahead = self._ahead()
            if ahead is None:
                if self.is_stuck() and self.on_stuck():
                    return self._time
            elif ahead - self._time > LEAP_S:
                self._skip(ahead - self._time - MARGIN_S)
                ahead = self._ahead()
        if ahead is None or kept is None:
            return kept if ahead is None else ahead
        return min(ahead, kept)

    def _ahead(self) -> float | None:
        """Return when the next thing happens that somebody waits for."""
        driving, due_ms = self._earliest(self._driving), self.due_ms()
        due = None if due_ms is None else (due_ms - self._start_ms) / 1000 - self._skipped_s
        if due is None or due <= self._time:
            return driving
        return due if driving is None else min(driving, due)

    def _skip(self, seconds: float) -> None:
        """Let the time of day go on, and with it what the test waits for."""
        self._skipped_s += seconds
        self._driving = [(max(when - seconds, self._time), number, handle) for when, number, handle in self._driving]
        for when, _, handle in self._driving:
            handle._when = when  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no other way to move a timer
        heapq.heapify(self._driving)
        heapq.heapify(self._loop._scheduled)  # noqa: SLF001 - as above


def _no() -> bool:
    return False
