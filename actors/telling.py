"""Telling a running instance something: events, and updates, whose answer is waited for without polling."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from actors.damaged import damaged, naming_damage, reading
from actors.errors import (
    Failure,
    IdInUse,
    InvalidArguments,
    InvalidReturn,
    PayloadTooLarge,
    WorkflowEnded,
    WorkflowNotFound,
)
from actors.options import check_name
from actors.payload import NotEncodable, ValueCodec, pack, unpack
from kernel import EVENT_FAILED, Ended, Gone, NotFound, draw_nonce, event_number, keys, other_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.errors import InstanceDamaged
    from kernel import Reply, Store

ENDED = frozenset({"completed", "failed", "canceled"})


class Told(NamedTuple):
    """What is told."""

    kind: str
    """``event``, ``event_failed``, ``update`` or ``cancel_requested``, as in the journal."""
    name: str
    payload: bytes


def event_dedupe(event_id: str | None) -> str:
    """Return what an event is known by; empty: by the nonce that is drawn for it. Raises InvalidOption."""
    return "" if event_id is None else check_name("id", event_id)


def update_dedupe(update_id: str | None) -> str:
    """Return what an update is known by; ids of events, which have no ``|``, are others. Raises InvalidOption."""
    return f"update|{draw_nonce():x}" if update_id is None else f"update|{check_name('id', update_id)}"


def encode_update(name: str, args: Sequence[object], named: Mapping[str, object], *, bytes_max: int) -> bytes:
    """Encode the arguments of an update. Raises InvalidArguments, PayloadTooLarge."""
    try:
        data = pack([list(args), *([dict(named)] if named else [])]) if args or named else b""
    except NotEncodable as error:
        raise InvalidArguments(f"an argument of the update {name!r} {error}") from None
    if len(data) > bytes_max:
        raise PayloadTooLarge(f"what is passed to the update {name!r}", size=len(data), limit=bytes_max)
    return data


async def tell(store: Store, address: str, told: Told, *, dedupe: str, said: str = "") -> str:
    """Tell an instance something once; return the event's id, of the first telling if there was one.

    ``said``: the id that the caller gave it, from which ``dedupe`` is.

    Raises:
        WorkflowEnded, WorkflowNotFound, InstanceDamaged: nobody will take it.
        IdInUse: under ``said`` something else was told before.
    """
    nonce = draw_nonce()
    try:
        with naming_damage(address):
            event = await store.instances.append(
                address, kind=told.kind, name=told.name, payload=told.payload, dedupe=dedupe, nonce=nonce
            )
            if said and event.partition("-")[2] != str(nonce):
                await _check_same(store, address, told, event, said)
            return event
    except Ended as error:
        status = error.facts[0] if error.facts else "ended"
        if status not in ENDED:
            raise damaged(address, f"its status is {status!r}") from None
        raise _ended(address, status, told) from None
    except (NotFound, Gone):
        raise await missing(store, address) from None


async def ask_update(
    store: Store, address: str, told: Told, *, dedupe: str, limit_s: float | None, said: str = ""
) -> Reply:
    """Tell an update and wait for the reply. ``said``: the id that the caller gave it, from which ``dedupe`` is.

    Raises:
        IdInUse: under that id another handler was called.
        WorkflowEnded, WorkflowNotFound: nobody will answer.
        TimeoutError: nobody has within ``limit_s`` seconds.
    """
    tag = store.space.keys.tag_of(address)
    channels = (keys.replied(tag, address), keys.ended(tag, address))
    limit = asyncio.timeout(limit_s)
    try:
        async with limit, store.hearing.listen(*channels) as ear:
            await tell(store, address, told, dedupe=dedupe, said=said)
            while True:
                status, reply = await store.instances.reply(address, dedupe)
                if reply is not None:
                    return reply
                if status in ENDED:
                    raise _ended(address, status, told)
                if status in {"", "gone"}:
                    raise not_found(address, store.space.namespace)
                await ear.heard()
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimeoutError(
            f"workflow {_id_of(address)!r} has not answered the update {told.name!r} within {limit_s:g} s; "
            "it stays sent: see whether a worker runs, and whether the workflow has a handler of that name"
        ) from None


async def _check_same(store: Store, address: str, told: Told, event: str, said: str) -> None:
    """Raise IdInUse if what was told first under the id has another name, or is a value where this is an error.

    Other arguments or another value are no reason: who sends again may well have made them anew, with another time in
    them; and what the gateway has told is encoded from JSON.
    """
    field = await store.instances.field(address, "journal", f"e{event_number(event)}", stored=True)
    if field is None:
        return
    with reading(address):
        before = other_event(field)
    kind = EVENT_FAILED if before.kind == "event" and before.status == "failed" else before.kind
    if (kind, before.name) == (told.kind, told.name):
        return
    was, now = _named(kind, before.name), _named(told.kind, told.name)
    raise IdInUse(
        f"id={said!r} is that of {was}, sent to workflow {_id_of(address)!r} before, so {now} was not sent: give "
        "another id"
    )


def _named(kind: str, name: str) -> str:
    what = {"update": "the update", EVENT_FAILED: "an error as the event"}.get(kind, "the event")
    return f"{what} {name!r}"


def read_answer(reply: Reply, name: str, codec: ValueCodec | None) -> Any:  # noqa: ANN401 - a value of its annotation
    """Return the value in a reply, as of ``codec`` (None: as it is).

    Raises:
        InvalidArguments: it was rejected.
        UpdateFailed: its handler raised.
        InvalidReturn: the value does not fit.
    """
    if reply.status != "ok":
        _raise(reply)
    return typed(unpack(reply.payload), codec, f"the update {name!r} was answered with a value that")


def typed(value: object, codec: ValueCodec | None, what: str) -> Any:  # noqa: ANN401 - a value of its annotation
    """Return a plain value as of ``codec`` (None: as it is). Raises InvalidReturn, which begins with ``what``."""
    if codec is None:
        return value
    try:
        return codec.from_plain(value)
    except NotEncodable as error:
        raise InvalidReturn(f"{what} does not fit type=…: {error}") from None


async def missing(store: Store, address: str) -> WorkflowNotFound | InstanceDamaged:
    """Return the error for an instance that scripts do not find: it is not there, or its record lacks its status."""
    record = await store.instances.record(address)
    if record and "status" not in record:
        return damaged(address, "its record has no status")
    return not_found(address, store.space.namespace)


def not_found(address: str, namespace: str) -> WorkflowNotFound:
    """Return the error for an instance that is not there."""
    return WorkflowNotFound(
        f"there is no workflow {_id_of(address)!r} in namespace {namespace!r}: see `headrace list`; it may "
        "have been cleaned up after its retention"
    )


def _raise(reply: Reply) -> NoReturn:
    failure = Failure.decode(reply.payload)
    if reply.status == "rejected":
        raise InvalidArguments(failure.message)
    raise failure.to_exception()


def _ended(address: str, status: str, told: Told) -> WorkflowEnded:
    what, missed = ("update", "not answered") if told.kind == "update" else ("event", "not sent")
    workflow_id = _id_of(address)
    return WorkflowEnded(
        f"workflow {workflow_id!r} has ended ({status}): the {what} {told.name!r} was {missed}; "
        f"see `headrace show {workflow_id}`"
    )


def _id_of(address: str) -> str:
    return address[address.index("/") + 1 :]
