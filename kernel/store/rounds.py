"""Rounds: going through a namespace in use, a page of keys, members or entries at a time. It judges nothing but places.

The pages come by SCAN, ZSCAN and XRANGE with a limit, so no call keeps the server busy; what is there all the time is
on one page at least.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kernel.errors import ServerRefused
from kernel.store import keys
from kernel.store.audit import places_of
from kernel.store.replies import listed
from kernel.store.slices import LOOK_AGAIN_S, LOOKS_MAX, PAGE, read_heads, send_all
from kernel.store.snapshot import ActorKeys, Member, OpenCommand, pairs
from kernel.store.turns import ENDED, LIVE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from kernel.store.space import Space

SETS: Final = ("held", "delayed", "retries", "expiry")
SHARED: Final = (*SETS, "ready", "outbox", "bands", "pools", "names", "meta", "dead")
"""Names of a partition's keys that belong to no one actor; further ``q:…``, ``index:…`` and ``app:…``."""


_HEAD: Final = ("status", "generation", "ready", "doomed", "name", "tags")
"""Fields of a record by which an actor's places are known, but for those of its open commands."""


class Placed(NamedTuple):
    """Something in one of the places that a partition's actors share."""

    tag: str
    name: str
    """``held``, ``delayed``, ``retries``, ``expiry``, ``ready``, ``q:<queue>`` or ``index:<index>``."""
    item: str
    """A sorted set's member, or the id of a stream's entry."""
    address: str
    """The actor that it is about; empty: it cannot be read."""
    seq: int = 0
    """The command that it is about; 0: none."""


class Consumer(NamedTuple):
    """A member of a stream's group."""

    stream: str
    group: str
    name: str
    pending: int
    idle_ms: int


async def key_pages(space: Space) -> AsyncGenerator[list[str], None]:
    """Yield the namespace's keys with a partition's tag, node by node; a key may come twice."""
    nodes = {space.connector.node(tag): tag for tag in space.keys.tags}
    for tag in nodes.values():
        cursor: Any = b"0"
        while True:
            words = ("SCAN", cursor, "MATCH", f"{{{space.namespace}:*", "COUNT", 2 * PAGE)
            cursor, page = listed(await space.send(tag, *words))
            yield [key.decode(errors="replace") for key in page]
            if cursor in {b"0", "0", 0}:
                break


async def place_pages(space: Space, tag: str, name: str) -> AsyncGenerator[list[Placed], None]:
    """Yield what lies in one place."""
    key = keys.shared(tag, name)
    if name == "ready" or name.startswith("q:"):
        async for rows in stream_pages(space, tag, key):
            yield [_entry_place(tag, name, entry, fields) for entry, fields in rows]
        return
    cursor: Any = b"0"
    while True:
        cursor, page = listed(await space.send(tag, "ZSCAN", key, cursor, "COUNT", PAGE))
        yield [_member_place(tag, name, member.decode(errors="replace")) for member in page[::2]]
        if cursor in {b"0", "0", 0}:
            return


async def stream_pages(space: Space, tag: str, key: str) -> AsyncGenerator[list[tuple[str, dict[str, str]]], None]:
    """Yield a stream's entries, each with its fields."""
    after = "-"
    while True:
        rows = listed(await space.send(tag, "XRANGE", key, after, "+", "COUNT", PAGE))
        yield [(entry.decode(), pairs(fields)) for entry, fields in rows]
        if len(rows) < PAGE:
            return
        after = f"({rows[-1][0].decode()}"


def _entry_place(tag: str, name: str, entry: str, fields: dict[str, str]) -> Placed:
    seq = fields.get("s", "0")
    return Placed(tag, name, entry, fields.get("a", ""), int(seq) if seq.isdecimal() else 0)


def _member_place(tag: str, name: str, member: str) -> Placed:
    if name == "expiry" or name.startswith("index:"):
        return Placed(tag, name, member, member if "/" in member else "")
    try:
        read = Member.of(member)
    except ValueError:
        return Placed(tag, name, member, "")
    return Placed(tag, name, member, read.address if "/" in read.address else "", read.seq)


async def perhaps_nobodys(space: Space, page: list[Placed]) -> list[Placed]:
    """Return those of a page that no actor seems to name; to be looked at once more, since the page is of no moment."""
    known = [place for place in page if place.address]
    if not known:
        return list(page)
    tag = page[0].tag
    heads = await send_all(
        space,
        tag,
        (("HMGET", keys.actor(tag, place.address), *_HEAD) for place in known),
    )
    found = [place for place in page if not place.address]
    living: list[tuple[Placed, dict[str, str]]] = []
    for place, head in zip(known, heads, strict=True):
        record = {n: v.decode(errors="replace") for n, v in zip(_HEAD, listed(head), strict=True) if v is not None}
        if "generation" in record or "status" in record:
            living.append((place, record))
        else:
            found.append(place)
    opened = await send_all(
        space, tag, (("HGET", keys.actor(tag, place.address, "open"), place.seq) for place, _ in living)
    )
    for (place, record), open_ in zip(living, opened, strict=True):
        if not _may_name(place, record, open_):
            found.append(place)
    return found


def _may_name(place: Placed, record: dict[str, str], open_: object) -> bool:
    try:
        table = {place.seq: OpenCommand.of(open_.decode())} if isinstance(open_, bytes) else {}
    except ValueError:  # its actor is told to be unreadable; nothing is taken from it
        return True
    return _names(ActorKeys(place.address, record=record, open=table), place)


async def is_nobodys(space: Space, place: Placed) -> bool:
    """Tell whether something is there, and no actor names it: its actor was the same before and after the look."""
    if not place.address:
        return await is_there(space, place)
    for _ in range(LOOKS_MAX):
        try:
            before = await read_heads(space, place.address)
            there = await is_there(space, place)
            after = await read_heads(space, place.address)
        except ValueError:  # see _may_name
            return False
        if not there or _names(before, place) or _names(after, place):
            return False
        if (before.record, before.open) == (after.record, after.open):
            return True
        await asyncio.sleep(LOOK_AGAIN_S)
    return False


def _names(actor: ActorKeys, place: Placed) -> bool:
    status, has_begun = actor.record.get("status"), "generation" in actor.record
    if status == "gone" or (status is None and not has_begun):
        return False
    if status not in LIVE | ENDED or not has_begun:  # it cannot be read, so nothing is taken from it
        return True
    # What is in the wrong index is seen with its actor.
    return place.name.startswith("index:") or (place.name, place.item) in set(places_of(actor))


async def is_there(space: Space, place: Placed) -> bool:
    """Tell whether something still lies in its place."""
    key = keys.shared(place.tag, place.name)
    if place.name == "ready" or place.name.startswith("q:"):
        return bool(await space.send(place.tag, "XRANGE", key, place.item, place.item))
    return await space.send(place.tag, "ZSCORE", key, place.item) is not None


async def without_record(space: Space, addresses: Sequence[str]) -> list[str]:
    """Return those of some actors of one partition that have no record."""
    if not addresses:
        return []
    tag = space.keys.tag_of(addresses[0])
    there = await send_all(space, tag, (("EXISTS", keys.actor(tag, address)) for address in addresses))
    return [address for address, exists in zip(addresses, there, strict=True) if not exists]


async def groups(space: Space, stream: str) -> list[str]:
    """Return the names of a stream's groups; none if there is no such stream."""
    try:
        rows = listed(await space.send(stream, "XINFO", "GROUPS", stream))
    except ServerRefused as error:
        if "no such key" in error.error.lower():
            return []
        raise
    return [dict(zip(row[::2], row[1::2], strict=True))[b"name"].decode() for row in rows]


async def consumers(space: Space, stream: str, group: str) -> list[Consumer]:
    """Return a group's consumers."""
    rows: list[list[Any]] = listed(await space.send(stream, "XINFO", "CONSUMERS", stream, group))
    about = [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
    return [Consumer(stream, group, one[b"name"].decode(), int(one[b"pending"]), int(one[b"idle"])) for one in about]


async def deleted_pending(space: Space, stream: str, group: str) -> list[str]:
    """Return ids that a group has pending though their entries are gone; up to a page of the oldest."""
    rows = listed(await space.send(stream, "XPENDING", stream, group, "-", "+", PAGE))
    entries: list[str] = [row[0].decode() for row in rows]
    there = await send_all(space, stream, (("XRANGE", stream, entry, entry) for entry in entries))
    gone = [entry for entry, rows_ in zip(entries, there, strict=True) if not rows_]
    # An entry is acknowledged and deleted by one script: one that is gone and still pending was deleted by others.
    still = await send_all(space, stream, (("XPENDING", stream, group, entry, entry, 1) for entry in gone))
    return [entry for entry, rows_ in zip(gone, still, strict=True) if rows_]
