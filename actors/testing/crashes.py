"""Deaths of workers, by seed: connections that count what they send and, from one such moment on, let nothing through.

A worker dies right before a write to Redis, which then is not made, or right after it, so that its answer is lost.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any, Final

from kernel import Connector, Lane, Words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEATHS_MAX: Final = 12
"""Workers that die in one run of a tester; the next one lives."""
BOUNDARIES_MAX: Final = (4, 12, 36)
"""A worker dies at one of the first so many writes: most soon, so that short workflows see deaths too."""

_WRITES: Final = frozenset({"EVALSHA", "EVAL", "EXEC", "XREADGROUP", "XACK", "XDEL"})


class Life:
    """When a worker dies, and whether it has. Nothing is counted before it is ``armed``."""

    def __init__(self, die_at: int = 0, *, after: bool = False) -> None:
        """``die_at``: at which write, from 1; 0: never. ``after``: the write is made, its answer lost."""
        self.die_at = die_at
        self.after = after
        self.armed = False
        self.writes = 0
        self.died = asyncio.Event()

    def count(self) -> int:
        """Count a write and return its number; 0: it is not armed."""
        self.writes += self.armed
        return self.writes if self.armed else 0

    async def sending(self, number: int) -> None:
        """Return when the write of this number may be sent; 0: it is none. Never to the dead."""
        if number and number == self.die_at and not self.after:
            self.end()
        await self.alive()

    async def answered(self, number: int) -> None:
        """Return when the answer to the write of this number may be read; 0: it is none. Never to the dead."""
        if number and number == self.die_at:
            self.end()
        await self.alive()

    async def alive(self) -> None:
        """Return, but not to the dead."""
        if self.over:
            await asyncio.get_running_loop().create_future()

    @property
    def over(self) -> bool:
        """Whether it has died."""
        return self.died.is_set()

    def end(self) -> None:
        """Die now."""
        self.died.set()


def lives(seed: int | None) -> Iterator[Life]:
    """Yield one worker's life after the other; without a seed they do not die."""
    if seed is not None:
        random = Random(seed)  # noqa: S311 - a schedule, not a secret
        for _ in range(DEATHS_MAX):
            yield Life(random.randint(1, random.choice(BOUNDARIES_MAX)), after=random.random() < 0.5)  # noqa: PLR2004 - a coin
    while True:
        yield Life()


class MortalLane:
    """A lane that sends one command after another, so that a death may fall between any two."""

    def __init__(self, lane: Lane, life: Life) -> None:
        """``lane`` is closed with this one."""
        self._lane = lane
        self._life = life

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        """Send commands; never return to the dead."""
        replies: list[object] = []
        queued: list[Words] = []
        for words in commands:
            queued.append(words)
            if queued[0][0] == "MULTI" and words[0] != "EXEC":
                continue  # what lies between MULTI and EXEC takes effect with EXEC: one write
            batch, queued = queued, []
            replies += await self._one(batch, reply_s)
        return replies + (await self._one(queued, reply_s) if queued else [])

    async def _one(self, batch: list[Words], reply_s: float) -> list[object]:
        life, last = self._life, batch[-1]
        await life.alive()
        reads = "BLOCK" in last[:8]
        number = life.count() if last[0] in _WRITES and not reads else 0
        await life.sending(number)
        replies = await self._lane.send(batch, reply_s=reply_s)
        if reads and replies[0] and not life.over:  # a read that finds nothing changes nothing
            number = life.count()
        await life.answered(number)
        return replies

    async def close(self) -> None:
        """Close the connection."""
        await self._lane.close()


class MortalConnector(Connector):
    """The connections of one worker."""

    def __init__(self, inner: Connector, life: Life) -> None:
        """``inner`` is closed with this one."""
        self.url = inner.url
        self.is_cluster = inner.is_cluster
        self.is_memory = inner.is_memory
        self._inner = inner
        self._life = life

    async def start(self) -> None:
        """Learn the topology."""
        await self._inner.start()

    async def open(self, tag: str) -> Lane:
        """Open a connection that ends with the worker."""
        await self._life.alive()
        return MortalLane(await self._inner.open(tag), self._life)

    def node(self, tag: str) -> str:
        """Name the node that serves a tag."""
        return self._inner.node(tag)

    def client(self, tag: str) -> Any:  # noqa: ANN401 - redis-py's, which only the store knows
        """Return the client; what a worker hears is no boundary."""
        return self._inner.client(tag)

    def blocking_client(self) -> Any:  # noqa: ANN401 - as above
        """Return a client for a thread."""
        return self._inner.blocking_client()

    async def close(self) -> None:
        """Close all that is open."""
        await self._inner.close()
