"""Slices: one actor with the places that it names, read from a namespace in use, a bounded number of things a call.

A slice is a part of a snapshot, so that the rules of ``audit`` hold for both. What was read key by key may be of two
moments; a *steady* slice was read between two equal readings of the record and the open table.
"""

from __future__ import annotations

import asyncio
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.store import keys
from kernel.store.audit import places_of
from kernel.store.replies import listed
from kernel.store.snapshot import ActorKeys, Member, OpenCommand, PartitionKeys, pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.store.space import Space

PAGE: Final = 100
"""Fields, members, entries or keys that one call reads at most (a small hash is read whole by the server)."""
LOOKS_MAX: Final = 5
"""How often an actor is read that has changed meanwhile."""
LOOK_AGAIN_S: Final = 0.02
PARTS: Final = ("journal", "open", "staged", "events", "values", "large")
STATUSES: Final = ("scheduled", "running", "canceling", "stopped", "completed", "failed", "canceled")
_REFERENCE: Final = re.compile(rb"\xc1l([0-9a-f]{40})")


class Slice(NamedTuple):
    """One actor and what it names."""

    found: PartitionKeys
    """The actor, and of the partition's places what it names."""
    actor: ActorKeys
    due_ms: dict[int, int]
    """Of commands that wait for a time: when it comes."""


async def read_slice(space: Space, address: str) -> Slice:
    """Read an actor with the places that it names; its record is empty if there is none.

    Raises ValueError: the open table cannot be read.
    """
    tag = space.keys.tag_of(address)
    actor = await _read_own(space, tag, address)
    found = PartitionKeys(tag, actors={address: actor})
    due_ms: dict[int, int] = {}
    if {"status", "generation", "name"} <= actor.record.keys():
        await _read_places(space, found, actor, due_ms)
        await _read_indexes(space, found, actor)
    return Slice(found, actor, due_ms)


async def read_heads(space: Space, address: str) -> ActorKeys:
    """Read an actor's record and open table alone. Raises ValueError: the open table cannot be read."""
    tag = space.keys.tag_of(address)
    record = pairs(await space.send(tag, "HGETALL", keys.actor(tag, address)))
    if "generation" not in record:  # nor is what is left of it looked into: that would be a use of it
        return ActorKeys(address, record=record)
    opened = await scan_hash(space, tag, keys.actor(tag, address, "open"))
    table = {int(seq): OpenCommand.of(value.decode()) for seq, value in opened.items()}
    return ActorKeys(address, record=record, open=table)


async def read_steady(space: Space, address: str) -> Slice | None:
    """Read a slice that is of one moment; None: the actor changes all the time, so it is well alive."""
    for _ in range(LOOKS_MAX):
        found = await read_slice(space, address)
        again = await read_heads(space, address)
        if (again.record, again.open) == (found.actor.record, found.actor.open):
            return found
        await asyncio.sleep(LOOK_AGAIN_S)
    return None


async def scan_hash(space: Space, tag: str, key: str) -> dict[str, bytes]:
    """Read a hash page by page."""
    found: dict[str, bytes] = {}
    cursor = b"0"
    while True:
        cursor, page = listed(await space.send(tag, "HSCAN", key, cursor, "COUNT", PAGE))
        found.update((name.decode(), value) for name, value in zip(page[::2], page[1::2], strict=True))
        if cursor == b"0":
            return found


async def send_all(space: Space, tag: str, commands: Iterable[tuple[str | int, ...]]) -> list[object]:
    """Send commands, a page at a time; return their replies."""
    replies: list[object] = []
    remaining = iter(commands)
    while page := list(islice(remaining, PAGE)):
        replies += await asyncio.gather(*(space.send(tag, *words) for words in page))
    return replies


async def _read_own(space: Space, tag: str, address: str) -> ActorKeys:
    record = keys.actor(tag, address)
    parts = [keys.actor(tag, address, part) for part in PARTS]
    heads, (ttl, *there) = await asyncio.gather(
        read_heads(space, address),
        send_all(space, tag, [("PTTL", record), *(("EXISTS", key) for key in (record, *parts))]),
    )
    heads.expires = isinstance(ttl, int) and ttl > 0
    heads.parts = {name for name, exists in zip(("record", *PARTS), there, strict=True) if exists}
    if "generation" not in heads.record:
        return heads
    journal, last = await asyncio.gather(
        scan_hash(space, tag, parts[0]), space.send(tag, "XREVRANGE", parts[3], "+", "-", "COUNT", 1)
    )
    heads.journal = journal
    heads.mailbox = [entry.decode() for entry, _ in listed(last)]
    referred = sorted({one.decode() for field in journal.values() for one in _REFERENCE.findall(field)})
    large = await send_all(space, tag, (("HEXISTS", parts[5], one) for one in referred))
    heads.large = {one for one, exists in zip(referred, large, strict=True) if exists}
    return heads


async def _read_places(space: Space, found: PartitionKeys, actor: ActorKeys, due_ms: dict[int, int]) -> None:
    """Read whatever the actor may have in streams and sorted sets."""
    tag, places = found.tag, [(name, item) for name, item in places_of(actor) if item != actor.address]
    outbox = [open_.place.removeprefix("outbox:") for open_ in actor.open.values() if open_.place.startswith("outbox:")]
    streams = [(name, item) for name, item in places if name == "ready" or name.startswith("q:")]
    streams += [("outbox", entry) for entry in outbox]
    entries = await send_all(
        space, tag, (("XRANGE", keys.shared(tag, name), entry, entry) for name, entry in streams if valid_entry(entry))
    )
    for (name, entry), rows in zip([one for one in streams if valid_entry(one[1])], entries, strict=True):
        if listed(rows):
            found.streams.setdefault(name, {})[entry] = pairs(listed(rows)[0][1])
    members = [(name, item) for name, item in places if name in found.sets]
    scores = await send_all(space, tag, (("ZSCORE", keys.shared(tag, name), item) for name, item in members))
    for (name, item), score in zip(members, scores, strict=True):
        if isinstance(score, bytes):
            found.sets[name].add(item)
            member = Member.of(item)
            if member.seq and name != "held" and member.what not in {"timeout", "silent", "waiting"}:
                due_ms[member.seq] = int(float(score))


async def _read_indexes(space: Space, found: PartitionKeys, actor: ActorKeys) -> None:
    names = [keys.status_index(actor.record["name"], status) for status in STATUSES]
    names += [f"tag:{tag}" for tag in actor.record.get("tags", "").splitlines()]
    tag = found.tag
    scores = await send_all(space, tag, (("ZSCORE", keys.index(tag, name), actor.address) for name in names))
    for name, score in zip(names, scores, strict=True):
        if score is not None:
            found.indexes[name] = {actor.address}


def valid_entry(entry: str) -> bool:
    """Tell whether a text can be the id of a stream's entry."""
    return re.fullmatch(r"\d+-\d+", entry) is not None
