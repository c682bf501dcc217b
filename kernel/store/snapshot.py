"""Snapshot: everything that one partition holds, read into values, for the audit and for people. No judgement.

It reads key by key: on a partition in use what it returns is not of one moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.store.pump import Words
from kernel.store.replies import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kernel.store.space import Space

PAGE: Final = 1000
POOL_PARTS: Final = ("pool", "pool.held", "pool.waiting")
"""Kinds of the keys of a pool."""
_SETS: Final = ("held", "delayed", "retries", "expiry")


class Member(NamedTuple):
    """A member of ``held`` (``what`` is the worker), ``delayed`` or ``retries``."""

    what: str
    generation: str
    seq: int
    attempt: int
    token: str
    address: str

    @classmethod
    def of(cls, text: str) -> Member:
        """Read a member."""
        what, generation, seq, attempt, token, address = text.split("|", 5)
        return cls(what, generation, int(seq), int(attempt), token, address)


class OpenCommand(NamedTuple):
    """A field of an open table, see ``lua/fragments/open.lua``."""

    attempt: int
    worker: str
    token: str
    place: str
    begun_ms: int
    crashes: int

    @property
    def here(self) -> str:
        """The place without the permit that it has."""
        return self.place.partition("@")[0]

    @property
    def permit(self) -> str:
        """Which permit it has, or waits for, as ``<pool>:<ask>``; empty: none."""
        if self.place.startswith("pool:"):
            return ":".join(self.place.split(":")[1:3])
        return self.place.partition("@")[2]

    @classmethod
    def of(cls, text: str) -> OpenCommand:
        """Read a field."""
        attempt, worker, token, place, begun, crashes = text.split("|")
        return cls(int(attempt), worker, token, place, int(begun or 0), int(crashes or 0))


@dataclass(slots=True)
class ActorKeys:
    """All keys of one actor."""

    address: str
    record: dict[str, str] = field(default_factory=dict[str, str])
    journal: dict[str, bytes] = field(default_factory=dict[str, bytes])
    open: dict[int, OpenCommand] = field(default_factory=dict[int, OpenCommand])
    mailbox: list[str] = field(default_factory=list[str])
    large: set[str] = field(default_factory=set[str])
    """Hashes of the payloads that are kept apart."""
    parts: set[str] = field(default_factory=set[str])
    """Which of its keys exist: record, journal, open, staged, events, values, large."""
    expires: bool = False
    """The record has a time to live."""


@dataclass(slots=True)
class PoolKeys:
    """All keys of one pool."""

    fields: dict[str, str] = field(default_factory=dict[str, str])
    held: set[str] = field(default_factory=set[str])
    """Members whose permits are out."""
    waiting: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class PartitionKeys:
    """All keys of one partition."""

    tag: str
    actors: dict[str, ActorKeys] = field(default_factory=dict[str, ActorKeys])
    streams: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict[str, dict[str, dict[str, str]]])
    """``ready``, ``outbox``, ``q:<queue>``: entry id to fields."""
    pending: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Ids that are pending in any group, by stream."""
    sets: dict[str, set[str]] = field(default_factory=lambda: {name: set[str]() for name in _SETS})
    indexes: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """``<name>:<status>`` and ``tag:<key>|<value>`` to addresses."""
    pools: dict[str, PoolKeys] = field(default_factory=dict[str, PoolKeys])


async def read_partition(space: Space, tag: str) -> PartitionKeys:
    """Read all keys of a partition."""
    found = PartitionKeys(tag)
    keys = await _keys(space, tag)
    await asyncio.gather(*(_read_over(space, tag, read_key(found, key)) for key in keys))
    return found


def read_partition_at_once(run: Callable[[Words], object], tag: str, keys: Iterable[bytes]) -> PartitionKeys:
    """Read keys of a partition, of one moment: ``run`` runs a command and returns its reply."""
    found = PartitionKeys(tag)
    for key in keys:
        if key.startswith(f"{tag}:".encode()):
            reading = read_key(found, key.decode())
            with contextlib.suppress(StopIteration):
                asked = next(reading)
                while True:
                    asked = reading.send([run(words) for words in asked])
    return found


Reading = Generator[list[Words], list[object], None]
"""Yields commands that may be sent at once, is sent their replies."""


async def _read_over(space: Space, tag: str, reading: Reading) -> None:
    with contextlib.suppress(StopIteration):
        asked = next(reading)
        while True:
            asked = reading.send(await asyncio.gather(*(space.send(tag, *words) for words in asked)))


async def _keys(space: Space, tag: str) -> list[str]:
    cursor, found = "0", set[str]()
    while True:
        reply = listed(await space.send(tag, "SCAN", cursor, "MATCH", f"{tag}:*", "COUNT", PAGE))
        cursor, page = reply
        found.update(key.decode() for key in page)
        if cursor in {b"0", "0", 0}:
            return sorted(found)
        cursor = cursor.decode()


def read_key(found: PartitionKeys, key: str) -> Reading:
    """Read one key."""
    name = key.removeprefix(f"{found.tag}:")
    first, _, rest = name.partition(":")
    if name in _SETS or first == "index":
        (reply,) = yield [("ZRANGE", key, 0, -1)]
        (found.indexes if first == "index" else found.sets)[rest or name] = {item.decode() for item in listed(reply)}
    elif name in {"ready", "outbox"} or first == "q":
        yield from _read_stream(found, key, name)
    elif first in POOL_PARTS and rest:
        yield from _read_pool(found, key, first, rest)
    elif rest and first != "app":
        yield from _read_actor(found, key, first, rest)


def _read_stream(found: PartitionKeys, key: str, name: str) -> Reading:
    entries, groups = yield [("XRANGE", key, "-", "+"), ("XINFO", "GROUPS", key)]
    found.streams[name] = {entry.decode(): pairs(fields) for entry, fields in listed(entries)}
    names = [dict(zip(group[::2], group[1::2], strict=True))[b"name"] for group in listed(groups)]
    replies = yield [("XPENDING", key, group, "-", "+", PAGE) for group in names]
    found.pending[name] = [item[0].decode() for reply in replies for item in listed(reply)]


def _read_pool(found: PartitionKeys, key: str, part: str, name: str) -> Reading:
    pool = found.pools.setdefault(name, PoolKeys())
    if part == "pool":
        (fields,) = yield [("HGETALL", key)]
        pool.fields = pairs(fields)
        return
    (reply,) = yield [("ZRANGE", key, 0, -1)]
    members = {item.decode() for item in listed(reply)}
    if part == "pool.held":
        pool.held = members
    else:
        pool.waiting = members


def _read_actor(found: PartitionKeys, key: str, kind: str, actor_id: str) -> Reading:
    kind, _, part = kind.partition(".")
    address = f"{kind}/{actor_id}"
    actor = found.actors.setdefault(address, ActorKeys(address))
    actor.parts.add(part or "record")
    match part:
        case "":
            fields, ttl = yield [("HGETALL", key), ("PTTL", key)]
            actor.record = pairs(fields)
            actor.expires = isinstance(ttl, int) and ttl > 0
        case "journal":
            (fields,) = yield [("HGETALL", key)]
            reply = listed(fields)
            actor.journal = {n.decode(): value for n, value in zip(reply[::2], reply[1::2], strict=True)}
        case "open":
            (fields,) = yield [("HGETALL", key)]
            actor.open = {int(seq): OpenCommand.of(value) for seq, value in pairs(fields).items()}
        case "events":
            (entries,) = yield [("XRANGE", key, "-", "+")]
            actor.mailbox = [entry.decode() for entry, _ in listed(entries)]
        case "large":
            (names,) = yield [("HKEYS", key)]
            actor.large = {item.decode() for item in listed(names)}
        case _:
            pass


def pairs(reply: object) -> dict[str, str]:
    """Return a hash or an entry's fields as texts."""
    text = [item.decode(errors="replace") for item in listed(reply)]
    return dict(zip(text[::2], text[1::2], strict=True))
