"""Snapshot: everything that one partition holds, read into values, for the audit and for people. No judgement.

It reads key by key: on a partition in use what it returns is not of one moment.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.store.replies import listed

if TYPE_CHECKING:
    from kernel.store.space import Space

PAGE: Final = 1000
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


async def read_partition(space: Space, tag: str) -> PartitionKeys:
    """Read all keys of a partition."""
    found = PartitionKeys(tag)
    await asyncio.gather(*(_read(space, found, key) for key in await _keys(space, tag)))
    return found


async def _keys(space: Space, tag: str) -> list[str]:
    cursor, found = "0", set[str]()
    while True:
        reply = listed(await space.send(tag, "SCAN", cursor, "MATCH", f"{tag}:*", "COUNT", PAGE))
        cursor, page = reply
        found.update(key.decode() for key in page)
        if cursor in {b"0", "0", 0}:
            return sorted(found)
        cursor = cursor.decode()


async def _read(space: Space, found: PartitionKeys, key: str) -> None:
    name = key.removeprefix(f"{found.tag}:")
    first, _, rest = name.partition(":")
    if name in _SETS:
        found.sets[name] = set(await _strings(space, key, "ZRANGE", key, 0, -1))
    elif first == "index":
        found.indexes[rest] = set(await _strings(space, key, "ZRANGE", key, 0, -1))
    elif name in {"ready", "outbox"} or first == "q":
        await _read_stream(space, found, key, name)
    elif rest and first != "app":
        await _read_actor(space, found, key, first, rest)


async def _read_stream(space: Space, found: PartitionKeys, key: str, name: str) -> None:
    entries, groups = await asyncio.gather(
        space.send(key, "XRANGE", key, "-", "+"), space.send(key, "XINFO", "GROUPS", key)
    )
    found.streams[name] = {entry.decode(): pairs(fields) for entry, fields in listed(entries)}
    pending: list[str] = []
    for group in listed(groups):
        group_name = dict(zip(group[::2], group[1::2], strict=True))[b"name"]
        reply = listed(await space.send(key, "XPENDING", key, group_name, "-", "+", PAGE))
        pending += [item[0].decode() for item in reply]
    found.pending[name] = pending


async def _read_actor(space: Space, found: PartitionKeys, key: str, kind: str, actor_id: str) -> None:
    kind, _, part = kind.partition(".")
    address = f"{kind}/{actor_id}"
    actor = found.actors.setdefault(address, ActorKeys(address))
    actor.parts.add(part or "record")
    match part:
        case "":
            fields, ttl = await asyncio.gather(space.send(key, "HGETALL", key), space.send(key, "PTTL", key))
            actor.record = pairs(fields)
            actor.expires = isinstance(ttl, int) and ttl > 0
        case "journal":
            reply = listed(await space.send(key, "HGETALL", key))
            actor.journal = {n.decode(): value for n, value in zip(reply[::2], reply[1::2], strict=True)}
        case "open":
            table = pairs(await space.send(key, "HGETALL", key))
            actor.open = {int(seq): OpenCommand.of(value) for seq, value in table.items()}
        case "events":
            reply = listed(await space.send(key, "XRANGE", key, "-", "+"))
            actor.mailbox = [entry.decode() for entry, _ in reply]
        case "large":
            actor.large = set(await _strings(space, key, "HKEYS", key))
        case _:
            pass


async def _strings(space: Space, key: str, *words: str | int) -> list[str]:
    reply = listed(await space.send(key, *words))
    return [item.decode() for item in reply]


def pairs(reply: object) -> dict[str, str]:
    """Return a hash or an entry's fields as texts."""
    text = [item.decode(errors="replace") for item in listed(reply)]
    return dict(zip(text[::2], text[1::2], strict=True))
