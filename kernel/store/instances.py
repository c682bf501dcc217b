"""Instances: the beginning, the telling and the end of actors, and reading what is known of them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Required, TypedDict, Unpack, cast

from kernel.event import event_number
from kernel.refusals import accepted
from kernel.store import keys
from kernel.store.journal import Reply, read_reply
from kernel.store.payloads import Instead, get_all
from kernel.store.replies import listed
from kernel.store.space import Space, draw_nonce

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Created(NamedTuple):
    """Answer to ``create``."""

    new: bool
    """False: an actor of this address was there already."""
    generation: str
    name: str = ""
    """Of an actor that was there already: its name, which may be another."""


class Beginning(TypedDict, total=False):
    """Arguments of ``create``."""

    name: Required[str]
    arguments: Required[bytes]
    message: str
    start_at_ms: int
    deadline_ms: int
    retention_ms: int | None
    timeout_ms: int
    nonce: int
    since: int | None
    fields: Mapping[str, str | bytes] | None


def read_created(reply: object) -> Created:
    """Read the answer to ``ask_create``.

    Raises:
        Gone: it was begun by this message and deleted since.
        Late: the deadline is over.
    """
    words = accepted(reply)
    return Created(words[0] == b"CREATED", words[1].decode(), words[2].decode() if len(words) > 2 else "")  # noqa: PLR2004


class Instances:
    """Transitions that begin, tell and end actors."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    def ask_create(
        self,
        address: str,
        *,
        name: str,
        arguments: bytes,
        message: str = "",
        start_at_ms: int = 0,
        deadline_ms: int = 0,
        retention_ms: int | None = None,
        timeout_ms: int = 0,
        nonce: int | None = None,
        since: int | None = None,
        fields: Mapping[str, str | bytes] | None = None,
    ) -> asyncio.Future[object]:
        """Ask to begin an actor; many may be asked for before the first is awaited. ``read_created`` reads the reply.

        ``message``: what this start answers, for a repeated delivery. ``deadline_ms``: refuse later than that.
        ``since``: the space's stamp from before it was read that this start is wanted: if a connection broke since, it
        fails with LinkChanged, as that may be lost.
        ``fields``: further fields of the record (parent, version, on_complete, tags, priority).
        """
        extra: list[str | bytes] = []
        for key, value in (fields or {}).items():
            extra += (key, value)
        if not self._space.payloads.passes(arguments):
            arguments, apart = self._space.payloads.pack(arguments)
            extra += ("large", apart) if apart else ()
        call = self._space.actor_call if since is None else partial(self._space.actor_call_if, since)
        return call(
            "create",
            address,
            self._space.clock,
            address,
            draw_nonce() if nonce is None else nonce,
            name,
            arguments,
            message,
            start_at_ms,
            deadline_ms,
            "" if retention_ms is None else retention_ms,
            timeout_ms,
            *extra,
        )

    async def create(self, address: str, **what: Unpack[Beginning]) -> Created:
        """Begin an actor, or find that it is there. Arguments and errors as of ``ask_create`` and ``read_created``."""
        return read_created(await self.ask_create(address, **what))

    async def append(
        self,
        address: str,
        *,
        kind: str,
        name: str,
        payload: bytes,
        generation: str = "",
        dedupe: str = "",
        nonce: int | None = None,
    ) -> str:
        """Tell an actor a fact; return the event's id (that of the first telling, if ``dedupe`` was told before).

        An actor that was asked to cancel is not asked again; the id is empty then. Without ``dedupe`` the nonce stands
        for it, so that a repeated call tells it once.

        Raises:
            NotFound, Gone, Ended, StaleGeneration: nobody will take it.
        """
        nonce = draw_nonce() if nonce is None else nonce
        payload, apart = self._space.payloads.pack(payload)
        reply = await self._space.actor_call(
            "append",
            address,
            self._space.clock,
            address,
            generation,
            nonce,
            kind,
            name,
            payload,
            dedupe or f"={nonce}",
            apart,
        )
        return accepted(reply)[1].decode()

    async def cancel(self, address: str, *, payload: bytes, tombstone_for: str = "") -> None:
        """End an actor at once.

        ``tombstone_for``: the message id of a start that may still be on its way; an unknown actor then gets a
        tombstone, and one that was started by another message is let live.

        Raises:
            NotFound, Gone, Ended: there is nothing to end.
            NotOwner: somebody else started it.
        """
        payload = self._space.payloads.encode(payload)
        reply = await self._space.actor_call(
            "cancel", address, self._space.clock, address, payload, 1 if tombstone_for else 0, tombstone_for
        )
        accepted(reply)

    async def cleanup(
        self, address: str, *, only_if_due: bool = False, message: str = "", when_ended: bool = False
    ) -> bool:
        """Delete an ended actor; False: it goes as soon as its last messages are delivered.

        ``message``: only if it was started by this one. ``when_ended``: one that runs is left to do so, and goes then.

        Raises:
            NotFound, Gone, Running, NotOwner: there is nothing that may be deleted.
        """
        reply = await self._space.actor_call(
            "cleanup", address, self._space.clock, address, int(only_if_due), message, int(when_ended)
        )
        return accepted(reply)[0] == b"DELETED"

    async def resume(self, address: str, *, fingerprint: str = "") -> None:
        """Let a stopped actor try again; with a fingerprint only if it differs from the one that stopped it."""
        accepted(await self._space.actor_call("resume", address, address, fingerprint))

    async def record(self, address: str) -> dict[str, bytes]:
        """Return all fields of an actor's record; empty if there is none."""
        tag = self._space.keys.tag_of(address)
        fields = _pairs(await self._space.send(tag, "HGETALL", keys.actor(tag, address)))
        if "reason" in fields:
            fields["reason"] = await self._space.payloads.get(address, fields["reason"])
        return fields

    async def read(self, address: str, part: str, *, instead: Instead | None = None) -> dict[str, bytes]:
        """Return one of an actor's hashes whole: ``journal``, ``open`` or ``values``. For people, not for turns.

        ``instead`` gives what stands for a payload that the codec cannot read; without it that raises PayloadUnusable.
        """
        tag = self._space.keys.tag_of(address)
        fields = _pairs(await self._space.send(tag, "HGETALL", keys.actor(tag, address, part)))
        payloads = self._space.payloads
        match part:
            case "journal":
                return await payloads.get_fields(address, fields, instead)
            case "values":
                return await get_all(payloads, address, fields, instead)
            case _:
                return fields

    async def field(self, address: str, part: str, name: str, *, stored: bool = False) -> bytes | None:
        """Return one field of one of an actor's hashes (``part`` empty: the record); ``stored``: as it lies there."""
        tag = self._space.keys.tag_of(address)
        reply = await self._space.send(tag, "HGET", keys.actor(tag, address, part), name)
        if not isinstance(reply, bytes):
            return None
        if stored:
            return reply
        if part == "journal":
            return await self._space.payloads.get_field(address, name, reply)
        return await self._space.payloads.get(address, reply)

    async def result(self, address: str) -> bytes | None:
        """Return the journal's result field: ``status|ms``, a line break, the payload; None if there is none."""
        return await self.field(address, "journal", "result")

    async def ending(self, address: str) -> tuple[str, bytes | None]:
        """Return an actor's status (empty: there is none) and its result field, by one round trip.

        Read in this order, a status that says that it has ended always comes with its result.
        """
        tag = self._space.keys.tag_of(address)
        status = self._space.send(tag, "HGET", keys.actor(tag, address), "status")
        result = self._space.send(tag, "HGET", keys.actor(tag, address, "journal"), "result")
        found = await status
        field = await result
        if isinstance(field, bytes):
            field = await self._space.payloads.get_field(address, "result", field)
        return (found.decode() if isinstance(found, bytes) else ""), cast("bytes | None", field)

    async def reply(self, address: str, dedupe: str) -> tuple[str, Reply | None]:
        """Return an actor's status (empty: there is none) and the reply to the update told under ``dedupe``, if any.

        Read in this order, a status that says that it has ended comes with every reply that there will be.
        """
        tag = self._space.keys.tag_of(address)
        journal = keys.actor(tag, address, "journal")
        status = self._space.send(tag, "HGET", keys.actor(tag, address), "status")
        told = await self._space.send(tag, "HGET", journal, f"d{dedupe}")
        found = await status
        reply = None
        if isinstance(told, bytes):
            reply = await self._space.send(tag, "HGET", journal, f"u{event_number(told.decode())}")
        if isinstance(reply, bytes):
            reply = await self._space.payloads.get_field(address, "u", reply)
        return (
            found.decode() if isinstance(found, bytes) else "",
            read_reply(reply) if isinstance(reply, bytes) else None,
        )

    async def names(self) -> set[str]:
        """Return the names of all workflows ever started here."""
        found: set[str] = set()
        for tag in self._space.keys.tags:
            reply = listed(await self._space.send(tag, "SMEMBERS", keys.shared(tag, "names")))
            found.update(name.decode() for name in reply)
        return found

    async def expired(self, tag: str, *, now_ms: int, count: int = 100) -> list[str]:
        """Return addresses of ended actors whose retention is over."""
        reply = await self._space.send(
            tag, "ZRANGEBYSCORE", keys.shared(tag, "expiry"), "-inf", now_ms, "LIMIT", 0, count
        )
        addresses: list[bytes] = listed(reply)
        return [address.decode() for address in addresses]

    async def page(
        self, tag: str, indexes: Sequence[str], *, before: str, after: str, count: int, newest_first: bool
    ) -> list[list[tuple[str, int]]]:
        """Return (address, created ms) of each of some indexes of one partition, all of one moment.

        ``indexes``: as ``keys.status_index`` and ``keys.tag_index`` name them, 200 at most; of each at most ``count``.
        ``before`` and ``after`` are bounds of the creation time as Redis writes them.
        """
        reply = listed(
            await self._space.call("page", tag, "1" if newest_first else "0", after, before, count, *indexes)
        )
        found: list[list[tuple[str, int]]] = []
        at = 0
        for _ in indexes:
            first, at = at + 1, at + 1 + 2 * reply[at]
            found.append([(reply[i].decode(), int(float(reply[i + 1]))) for i in range(first, at, 2)])
        return found

    async def count(self, index: str) -> int:
        """Return how many actors are in an index, in all partitions."""
        tags = self._space.keys.tags
        replies = await asyncio.gather(*(self._space.send(tag, "ZCARD", keys.index(tag, index)) for tag in tags))
        return sum(reply for reply in replies if isinstance(reply, int))


def _pairs(reply: object) -> dict[str, bytes]:
    fields: list[bytes] = listed(reply)
    return {fields[i].decode(): fields[i + 1] for i in range(0, len(fields), 2)}
