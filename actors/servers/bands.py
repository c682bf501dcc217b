"""Bands: the streams of a queue's steps that have a priority above 0, and reading them in their order.

A queue is one stream until the first step of a priority above 0 is put into it; that priority then has a stream of its
own, a band (``default!7``), in all partitions. So a worker reads no more streams than are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.servers.host import Host
    from kernel import Entry, Reader

LOWEST_EVERY: Final = 10
"""Of so many entries one is taken from the lowest band in which something waits, so that none waits for ever."""


def band_names(found: set[str], queues: Sequence[str]) -> tuple[str, ...]:
    """Return the bands of the queues that are served, the highest priority first."""
    mine = [name for name in found if name.partition("!")[0] in queues]
    return tuple(sorted(mine, key=lambda name: (-priority_of(name), name)))


def priority_of(name: str) -> int:
    """Return the priority of a band, or of a queue (0)."""
    return int(name.partition("!")[2] or 0)


class Ladder:
    """Takes what waits in several bands, the highest first; every tenth entry the other way round."""

    def __init__(self, host: Host, reader: Reader, streams: Sequence[str]) -> None:
        """``streams``: of all bands that ``reader`` reads."""
        self._host = host
        self._reader = reader
        priorities = sorted({priority_of(stream.rpartition(":")[2]) for stream in streams}, reverse=True)
        self._levels = [
            frozenset(s for s in streams if priority_of(s.rpartition(":")[2]) == priority) for priority in priorities
        ]
        self._taken = 0

    async def take(self, take: Callable[[Entry], None]) -> None:
        """Hand to ``take`` what waits, until nothing does or there is no room."""
        hands = self._host.hands
        while len(self._levels) > 1 and hands.free > 0:
            waiting = await self._reader.waiting()
            entries = await self._next(waiting, hands.free)
            for entry in entries:
                take(entry)
            self._taken += len(entries)
            if not entries:
                return

    async def _next(self, waiting: Sequence[str], free: int) -> list[Entry]:
        left = LOWEST_EVERY - 1 - self._taken % LOWEST_EVERY
        levels, count = (self._levels, min(free, left)) if left else (self._levels[::-1], 1)
        for level in levels:
            streams = tuple(stream for stream in waiting if stream in level)
            if streams and (entries := await self._reader.more(count, streams)):
                return entries
        return []
