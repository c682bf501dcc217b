"""Reader: a blocking read of streams by a consumer group, over its own connection. Delivery is a hint, no more."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from redis.exceptions import RedisError, ResponseError

from kernel.errors import ServerRefused
from kernel.store.lanes import REPLY_S_MAX
from kernel.store.link import BACKOFF_S_MAX, LOST, Lane
from kernel.store.pump import AWAY, ELSEWHERE, OUT_OF_MEMORY, error_text, error_word
from kernel.store.replies import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from kernel.store.space import Space

log = structlog.get_logger(__name__)

BLOCK_MS: Final = 5_000
"""How long the server keeps a read that finds nothing; the connection is known to live at least as often."""


PENDING_MAX: Final = 100


class Entry(NamedTuple):
    """One stream entry as delivered."""

    stream: str
    id: bytes
    fields: list[bytes]
    deliveries: int = 1


class Reader:
    """Reads streams of one node for one consumer of one group."""

    def __init__(
        self,
        space: Space,
        *,
        group: str,
        consumer: str,
        streams: Sequence[str],
        on_restored: Callable[[], None] | None = None,
    ) -> None:
        """Connect at the first read.

        ``streams`` must be served by one node; in a Cluster they must share a slot. ``on_restored`` is called when the
        connection stands again after a break: what was delivered over the old one may not have arrived.
        """
        self._space = space
        self._group = group
        self._consumer = consumer
        self._streams = tuple(streams)
        self._on_restored = on_restored
        self._lane: Lane | None = None
        self._broken = False
        self._turn = 0

    async def wait(self, *, block_ms: int = BLOCK_MS) -> list[Entry]:
        """Wait for news: at most one entry of each stream; empty after ``block_ms`` or when the connection broke."""
        return await self._read(self._streams, each=1, block_ms=block_ms)

    async def more(self, count: int, streams: tuple[str, ...] = ()) -> list[Entry]:
        """Return at most ``count`` entries (at least 1) that wait already, of all streams or of these."""
        streams, each = self._share(count, streams or self._streams)
        return await self._read(streams, each=each, block_ms=0)

    async def waiting(self) -> list[str]:
        """Return the streams that hold entries; some may have been delivered, and are looked at."""
        replies = await asyncio.gather(*(self._space.send(stream, "XLEN", stream) for stream in self._streams))
        return [stream for stream, count in zip(self._streams, replies, strict=True) if count]

    async def _read(self, streams: tuple[str, ...], *, each: int, block_ms: int) -> list[Entry]:
        blocking: tuple[str | int, ...] = ("BLOCK", block_ms) if block_ms else ()
        group = ("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", each)
        words = (*group, *blocking, "STREAMS", *streams, *(">" for _ in streams))
        return _entries(await self._ask(words, block_ms))

    async def pending(self, *, known: Container[tuple[str, bytes]] = ()) -> list[Entry]:
        """Return what was delivered here and is not acknowledged, up to 100 a stream, less what is ``known``.

        Looking counts as no delivery (a read from the group's history would): the count tells how many had it before.
        """
        found: list[Entry] = []
        for stream in self._streams:
            words = ("XPENDING", stream, self._group, "-", "+", PENDING_MAX, self._consumer)
            with contextlib.suppress(ServerRefused):
                rows = listed(await self._space.send(stream, *words))
                found += await asyncio.gather(
                    *(self._pending_entry(stream, row[0], int(row[3])) for row in rows if (stream, row[0]) not in known)
                )
        return found

    async def _pending_entry(self, stream: str, entry: bytes, deliveries: int) -> Entry:
        found = listed(await self._space.send(stream, "XRANGE", stream, entry, entry))
        # An entry that was deleted after its delivery has no fields.
        return Entry(stream, entry, found[0][1] if found else [], deliveries)

    async def close(self) -> None:
        """Close the connection."""
        lane, self._lane = self._lane, None
        if lane is not None:
            with contextlib.suppress(*LOST, RedisError):
                await lane.close()

    def _share(self, count: int, streams: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        if len(streams) <= count:
            return streams, count // len(streams)
        self._turn = (self._turn + count) % len(streams)
        rotated = streams[self._turn :] + streams[: self._turn]
        return rotated[: max(count, 1)], 1

    async def _ask(self, words: tuple[str | int, ...], block_ms: int) -> object:
        """Send a blocking read over the reader's own lane; make the lane or the groups anew where they are missing."""
        try:
            if self._lane is None:
                self._lane = await self._space.open_lane(self._streams[0])
                if self._broken and self._on_restored is not None:
                    self._on_restored()
                self._broken = False
            async with self._space.link(self._streams[0]).unbroken():
                (reply,) = await self._lane.send([words], reply_s=block_ms / 1000 + REPLY_S_MAX)
        except (*LOST, RedisError):
            await self._lost()
            return None
        except asyncio.CancelledError:
            await self.close()
            raise
        if isinstance(reply, ResponseError):
            if error_word(reply) in (*AWAY, *ELSEWHERE):
                await self._lost()
                return None
            if not _is_missing(reply):
                refusal = ServerRefused("a read", error_text(reply))
                if self._space.throttle.due(str(refusal)):
                    log.warning("reads are refused, trying again", error=str(refusal))
                await self.close()
                await asyncio.sleep(BACKOFF_S_MAX)
                return None
            await self._found_groups()
            return None
        return reply

    async def _lost(self) -> None:
        """The node is away, or does not serve the streams any more; the next read looks for who does."""
        self._broken = True
        await self.close()
        await self._space.learn_topology()
        await asyncio.sleep(BACKOFF_S_MAX / 5)

    async def _found_groups(self) -> None:
        for stream in self._streams:
            await found_group(self._space, stream, self._group)


async def found_group(space: Space, stream: str, group: str) -> None:
    """Make a stream and its group, from its first entry on, if they are not there."""
    try:
        await space.send(stream, "XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
    except ServerRefused as error:
        if "BUSYGROUP" in error.error:
            return
        if not error.error.startswith(OUT_OF_MEMORY):
            raise
        await space.call("group", stream, group)


def _is_missing(error: ResponseError) -> bool:
    # The second wording is fakeredis'.
    return "NOGROUP" in str(error) or "requires the key to exist" in str(error)


def _entries(reply: object) -> list[Entry]:
    if reply is None:
        return []
    # An entry that was deleted after its delivery has no fields.
    return [Entry(stream.decode(), entry[0], entry[1] or []) for stream, entries in listed(reply) for entry in entries]
