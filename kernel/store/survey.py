"""Survey: what queues and workers have in hand, and which keys an actor has, for people to look at. Changes nothing.

It reads key by key: of a namespace in use, what it returns is not of one moment.
"""

from __future__ import annotations

import asyncio
from binascii import crc_hqx
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from kernel.errors import ServerRefused
from kernel.store import keys
from kernel.store.journal import read_command
from kernel.store.replies import listed
from kernel.store.snapshot import Member

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.store.space import Space

SCAN_COUNT: Final = 1_000
"""Keys that one call of SCAN looks at."""
MEMBERS_MAX: Final = 10_000
"""Members of one partition's ``delayed``, ``retries`` or ``held`` that are looked at; of more the number is said."""
MEMBERS_A_PAGE: Final = 500
SLOTS: Final = 16_384
ACTOR_PARTS: Final = ("", "journal", "open", "staged", "events", "values", "large")
_SIZES: Final = {b"hash": "HLEN", b"stream": "XLEN", b"zset": "ZCARD", b"set": "SCARD", b"list": "LLEN"}
_DELAYED_STEPS: Final = frozenset({"step", "release"})


class QueueDepth(NamedTuple):
    """What one queue holds, over all partitions."""

    waiting: int = 0
    """Steps that wait for a worker, in all bands; those that one has read and not begun among them."""
    oldest_ms: int | None = None
    """When the one that waits longest was put there, ms since the epoch; None: none waits."""
    delayed: int = 0
    """Steps that are not due yet."""
    retrying: int = 0
    """Steps that wait for their next attempt."""
    running: int = 0
    """Steps that a worker has begun."""

    def plus(self, other: QueueDepth) -> QueueDepth:
        """Return both together."""
        oldest = [ms for ms in (self.oldest_ms, other.oldest_ms) if ms is not None]
        return QueueDepth(
            self.waiting + other.waiting,
            min(oldest, default=None),
            self.delayed + other.delayed,
            self.retrying + other.retrying,
            self.running + other.running,
        )


class Depths(NamedTuple):
    """All queues of a namespace."""

    queues: dict[str, QueueDepth]
    unseen: int
    """Members of ``delayed``, ``retries`` and ``held`` beyond those that were looked at."""


class KeyFacts(NamedTuple):
    """One key as it is now."""

    key: str
    type: str
    entries: int
    """Fields, members or entries."""
    bytes: int | None
    """As Redis estimates it; None: it does not say."""
    ttl_ms: int | None
    """How long it stays; None: it does not expire."""


class Place(NamedTuple):
    """Where an actor lives."""

    partition: int
    tag: str
    slot: int
    """Hash slot of a Redis Cluster."""


class Survey:
    """What people ask of a namespace."""

    def __init__(self, space: Space) -> None:
        """Look at one namespace."""
        self._space = space

    async def depths(self) -> Depths:
        """Return what each queue holds that has a stream or a step under way."""
        found: dict[str, QueueDepth] = {}
        for queue, depth in await self._streams():
            found[queue] = found.get(queue, QueueDepth()).plus(depth)
        unseen = 0
        for tag in self._space.keys.tags:
            for name in ("delayed", "retries", "held"):
                members, rest = await self._members(tag, name)
                unseen += rest
                for queue in await self._queues_of(tag, members):
                    one = _one(name)
                    found[queue] = found.get(queue, QueueDepth()).plus(one)
        return Depths(found, unseen)

    async def _streams(self) -> list[tuple[str, QueueDepth]]:
        names = await self._scan(f"{{{self._space.keys.namespace}:*}}:q:*")
        depths = await asyncio.gather(*(self._depth(stream) for stream in names))
        queues = [stream.partition("}:q:")[2].partition("!")[0] for stream in names]
        return list(zip(queues, depths, strict=True))

    async def _scan(self, pattern: str) -> set[str]:
        """Return the keys that fit, asking each node once."""
        nodes = {self._space.connector.node(tag): tag for tag in self._space.keys.tags}
        found: set[str] = set()
        for tag in nodes.values():
            cursor = b"0"
            while True:
                reply = await self._space.send(tag, "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
                cursor, page = cast("tuple[bytes, list[bytes]]", listed(reply))
                found.update(key.decode() for key in page)
                if int(cursor) == 0:
                    break
                cursor = str(int(cursor)).encode()
        return found

    async def _depth(self, stream: str) -> QueueDepth:
        length, first = await asyncio.gather(
            self._space.send(stream, "XLEN", stream),
            self._space.send(stream, "XRANGE", stream, "-", "+", "COUNT", 1),
        )
        entries: list[list[bytes]] = listed(first)
        oldest = int(entries[0][0].partition(b"-")[0]) if entries else None
        return QueueDepth(waiting=cast("int", length), oldest_ms=oldest)

    async def _members(self, tag: str, name: str) -> tuple[list[Member], int]:
        """Return those members of a set that are about steps, and how many were not looked at."""
        key = keys.shared(tag, name)
        total = cast("int", await self._space.send(tag, "ZCARD", key))
        found: list[Member] = []
        for first in range(0, min(total, MEMBERS_MAX), MEMBERS_A_PAGE):
            reply = await self._space.send(tag, "ZRANGE", key, first, first + MEMBERS_A_PAGE - 1)
            members = [Member.of(cast("bytes", text).decode()) for text in listed(reply)]
            found += [one for one in members if name != "delayed" or one.what in _DELAYED_STEPS]
        return found, max(0, total - MEMBERS_MAX)

    async def _queues_of(self, tag: str, members: Iterable[Member]) -> list[str]:
        """Return the queue of each step that is still asked for."""
        fields = await asyncio.gather(
            *(
                self._space.send(tag, "HGET", keys.actor(tag, member.address, "journal"), f"c{member.seq}")
                for member in members
            )
        )
        commands = [read_command(cast("bytes", field)) for field in fields if field is not None]
        return [command.queue for command in commands if command.kind == "step"]

    async def running(self) -> dict[str, int]:
        """Return how many steps each worker has begun and not completed; a worker without any is not there."""
        found: dict[str, int] = {}
        for tag in self._space.keys.tags:
            for member in (await self._members(tag, "held"))[0]:
                found[member.what] = found.get(member.what, 0) + 1
        return found

    def place_of(self, address: str) -> Place:
        """Return where an actor lives, whether it exists or not."""
        tag = self._space.keys.tag_of(address)
        return Place(self._space.keys.partition(address), tag, crc_hqx(tag[1:-1].encode(), 0) % SLOTS)

    async def keys_of(self, address: str) -> list[KeyFacts]:
        """Return the keys that an actor has of its own; none if it does not exist."""
        tag = self._space.keys.tag_of(address)
        found = await asyncio.gather(*(self._facts(keys.actor(tag, address, part)) for part in ACTOR_PARTS))
        return [facts for facts in found if facts is not None]

    async def _facts(self, key: str) -> KeyFacts | None:
        kind = cast("bytes", await self._space.send(key, "TYPE", key))
        if kind not in _SIZES:
            return None
        size, ttl = await asyncio.gather(self._space.send(key, _SIZES[kind], key), self._space.send(key, "PTTL", key))
        left = cast("int", ttl)
        return KeyFacts(key, kind.decode(), cast("int", size), await self._bytes(key), left if left >= 0 else None)

    async def _bytes(self, key: str) -> int | None:
        try:
            return cast("int | None", await self._space.send(key, "MEMORY", "USAGE", key))
        except ServerRefused:  # a server in memory, or a user who may not ask
            return None


def _one(name: str) -> QueueDepth:
    """Return one step that is in a set of that name."""
    return QueueDepth(delayed=int(name == "delayed"), retrying=int(name == "retries"), running=int(name == "held"))
