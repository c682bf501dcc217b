"""Payloads on their way into Redis and out of it: through the codec, and, if they are large, apart from the journal.

Nobody else sees what is written: callers give and get payloads as they are. In Redis a payload is either as it is, or
begins with the byte ``C1``, which begins no msgpack value:

======================  ==============================================================================================
``C1 'c'`` bytes        what the codec made of it
``C1 'l'`` 40 digits    it is large: the bytes (as it is, or the codec's) are that field of ``K:<kind>.large:<id>``
======================  ==============================================================================================

What the codec is given begins with ``C1 'p'``, and so must what it gives back: a codec that lacks a part of what a
payload went through, or has one too many, is found out by that, before anybody takes what it made for a value.

The field's name is the hash of its bytes, so writing it twice writes it once. It is there before the script runs that
refers to it: if the server may have lost it in between (a failover), it is written again first. What was written and
never referred to goes with the actor.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from kernel.errors import CodecMissing, LinkChanged, PayloadUnusable
from kernel.refusals import accepted
from kernel.store import keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from kernel.decision import End
    from kernel.event import Event
    from kernel.store.space import Space

T = TypeVar("T")

LARGE_BYTES: Final = 65_536
"""Payloads of more than this are kept apart."""
DEPOSIT_BYTES_MAX: Final = 4 * 2**20
"""How much one call deposits, unless a single payload has more."""
MARK: Final = b"\xc1"
CODED: Final = b"\xc1c"
APART: Final = b"\xc1l"
OPEN_PAYLOAD: Final = b"\xc1p"
"""What a codec is given begins with this, and then comes the payload."""
_SEALED_KINDS: Final = frozenset({b"step", b"child"})


Instead: TypeAlias = "Callable[[str, bytes, PayloadUnusable], bytes]"
"""Gives what stands for a payload that cannot be read: field's name (empty: a value), its head, the error."""


class Codec(Protocol):
    """What every payload passes through: compression, encryption, or several of them.

    What they are given begins with ``OPEN_PAYLOAD``, two bytes, by which what comes back is known.
    """

    def encode(self, data: bytes) -> bytes:
        """Return what is stored for ``data``; equal data need not give equal bytes."""
        ...

    def decode(self, data: bytes) -> bytes:
        """Return what ``encode`` was given. Raises whatever says why it cannot."""
        ...


class Packed(NamedTuple):
    """A payload as a script takes it."""

    payload: bytes
    apart: bytes = b""
    """What ``payload`` refers to, if it is large; still to be deposited."""

    @property
    def digest(self) -> str:
        """Name of the field that holds what is apart."""
        return self.payload[len(APART) :].decode()


class Payloads:
    """The way of payloads in one namespace."""

    def __init__(self, space: Space, codec: Codec | None) -> None:
        """``codec`` None: they are stored as they are."""
        self._space = space
        self.codec = codec
        self.large_bytes = LARGE_BYTES

    # ---------------------------------------------------------------------------------------------------- going in

    def encode(self, payload: bytes) -> bytes:
        """Return a payload that stays where it is written; nothing stays nothing, and what is encoded stays so."""
        if self.codec is None or not payload or payload[:1] == MARK:
            return payload
        given = OPEN_PAYLOAD + payload
        try:
            encoded = self.codec.encode(given)
        except Exception as error:
            raise PayloadUnusable(f"a payload cannot be encoded: {error}") from error
        return payload if encoded == given else CODED + encoded

    def pack(self, payload: bytes) -> Packed:
        """Return a payload and what of it is to be kept apart."""
        stored = self.encode(payload)
        if len(stored) <= self.large_bytes:
            return Packed(stored)
        return Packed(APART + hashlib.blake2b(stored, digest_size=20).hexdigest().encode(), stored)

    def passes(self, payload: bytes, commands: Sequence[bytes] = (), end: End | None = None) -> bool:
        """Tell whether a decision is written as it is: the ordinary case, which costs no more than this."""
        limit = self.large_bytes
        if self.codec is not None or len(payload) > limit or (end is not None and len(end.payload) > limit):
            return False
        for command in commands:  # noqa: SIM110 - a generator would cost more than all this
            if len(command) > limit:
                return False
        return True

    async def put(self, address: str, generation: str, payload: bytes) -> bytes:
        """Return a payload as scripts take it, with what is apart deposited.

        Raises:
            NotFound, Gone, Ended, StaleGeneration: nobody needs it any more.
        """
        if self.passes(payload):
            return payload
        packed = self.pack(payload)
        await self._deposit(address, generation, [packed])
        return packed.payload

    async def send(
        self, address: str, generation: str, payload: bytes, call: Callable[[bytes, int | None], Awaitable[T]]
    ) -> T:
        """Have ``call`` send a payload, given as scripts take it, with what is apart deposited before.

        ``call`` is also given the stamp that its script relies on, for ``Space.actor_call_if``: if the server may have
        lost the deposit, both are done again.

        Raises:
            NotFound, Gone, Ended, StaleGeneration: nobody needs it any more.
        """
        if self.passes(payload):
            return await call(payload, None)
        while True:
            since = self._space.stamp
            try:
                return await call(await self.put(address, generation, payload), since)
            except LinkChanged:
                continue

    async def send_decision(
        self,
        address: str,
        generation: str,
        decision: tuple[bytes, Sequence[bytes], End | None],
        call: Callable[[bytes, Sequence[bytes], End | None, int | None], Awaitable[T]],
    ) -> T:
        """Do the same for an outcome, commands' journal fields and an end. Raises as ``send``."""
        if self.passes(*decision):
            return await call(*decision, None)
        while True:
            since = self._space.stamp
            try:
                return await call(*await self.put_decision(address, generation, *decision), since)
            except LinkChanged:
                continue

    async def put_decision(
        self, address: str, generation: str, payload: bytes, commands: Sequence[bytes], end: End | None
    ) -> tuple[bytes, Sequence[bytes], End | None]:
        """Return a decision as scripts take it, with what is apart deposited; as ``put``."""
        packed = self.pack(payload)
        apart, fields = [packed], list[bytes]()
        for command in commands:
            parts = split_field("c", command)
            if parts is not None:
                arguments = self.pack(parts.payload)
                apart.append(arguments)
                command = parts.joined(arguments.payload)  # noqa: PLW2901 - the same command, packed
            fields.append(command)
        if end is not None:
            last = self.pack(end.payload)
            apart.append(last)
            end = end._replace(payload=last.payload)
        await self._deposit(address, generation, apart)
        return packed.payload, fields, end

    async def _deposit(self, address: str, generation: str, packed: Iterable[Packed]) -> None:
        words: list[str | bytes] = []
        size = 0
        large = [one for one in packed if one.apart]
        for number, one in enumerate(large, 1):
            words += (one.digest, one.apart)
            size += len(one.apart)
            if size >= DEPOSIT_BYTES_MAX or number == len(large):
                accepted(await self._space.actor_call("deposit", address, address, generation, *words))
                words, size = [], 0

    # --------------------------------------------------------------------------------------------------- coming out

    async def get(self, address: str, payload: bytes, what: str = "a payload") -> bytes:
        """Return a payload as it was given. ``address``: the actor that it was written for; ``what`` is for messages.

        Raises:
            PayloadUnusable: the codec cannot read it, or it is not there.
        """
        if payload[:1] != MARK:
            return payload
        return self._decode(address, await self.carry(address, payload), what)

    async def carry(self, address: str, payload: bytes) -> bytes:
        """Return a payload as it may be given for another actor, without looking into it: whole, encoded or not.

        Raises:
            PayloadUnusable: it is not there.
        """
        if payload[:2] != APART:
            return payload
        tag = self._space.keys.tag_of(address)
        name = payload[len(APART) :].decode()
        stored = await self._space.send(tag, "HGET", keys.actor(tag, address, "large"), name)
        if not isinstance(stored, bytes):
            raise PayloadUnusable(f"a large payload of {address} is not there: it was cleaned up meanwhile")
        return stored

    def _decode(self, address: str, payload: bytes, what: str) -> bytes:
        if payload[:2] != CODED:
            return payload
        if self.codec is None:
            raise CodecMissing(what, address)
        try:
            decoded = self.codec.decode(payload[len(CODED) :])
        except Exception as error:
            raise PayloadUnusable(f"{what} of {address} cannot be decoded: {error}") from error
        if decoded[: len(OPEN_PAYLOAD)] != OPEN_PAYLOAD:
            raise PayloadUnusable(
                f"{what} of {address} cannot be decoded: it was written through other codecs than the one given here, "
                "such as Compression before Encryption: give WorkflowManager the codec=… that it was written with"
            )
        return decoded[len(OPEN_PAYLOAD) :]

    async def get_events(self, address: str, events: list[Event]) -> list[Event]:
        """Return events with their payloads as they were given. Raises as ``get``."""
        for i, event in enumerate(events):
            if event.payload[:1] == MARK:
                events[i] = event._replace(payload=await self.get(address, event.payload, _what_event(event)))
        return events

    async def get_field(self, address: str, name: str, field: bytes) -> bytes:
        """Return a journal field, named as there, with its payload as it was given. Raises as ``get``."""
        if MARK not in field:
            return field
        parts = split_field(name, field)
        if parts is None or parts.payload[:1] != MARK:
            return field
        return parts.joined(await self.get(address, parts.payload, _what_field(name, parts)))

    async def get_fields(
        self, address: str, fields: Mapping[str, bytes], instead: Instead | None = None
    ) -> dict[str, bytes]:
        """Do the same for several; ``instead`` gives what stands for a payload that the codec cannot read.

        Raises:
            PayloadUnusable: there is no codec, or nothing to stand for what cannot be read.
        """
        found: dict[str, bytes] = {}
        for name, field in fields.items():
            try:
                found[name] = await self.get_field(address, name, field)
            except PayloadUnusable as error:
                parts = split_field(name, field)
                if instead is None or self.codec is None or parts is None:
                    raise
                found[name] = parts.joined(instead(name, parts.head, error))
        return found


class FieldParts(NamedTuple):
    """A journal field, taken apart around its payload."""

    head: bytes
    payload: bytes
    options: bytes
    counted: bool
    """Whether the length of the payload stands before it."""

    def joined(self, payload: bytes) -> bytes:
        """Return the field with another payload."""
        if self.counted:
            return b"%s\n%d\n%s%s" % (self.head, len(payload), payload, self.options)
        return b"%s\n%s" % (self.head, payload) if self.head else payload


def _what_event(event: Event) -> str:
    if event.kind == "outcome":
        return f"the outcome of step {event.seq}"
    return f"event {event.number} ({f'{event.kind} {event.name}'.rstrip()})"


def _what_field(name: str, parts: FieldParts) -> str:
    """Return what people call the payload of a journal field; ``name`` may lack its number."""
    number, _, attempt = name[1:].partition(".")
    step = f"step {number}" if number else "a step"
    if name[0] == "e":
        _, kind, _, label = parts.head.decode().split("|", 3)
        return f"event {number} ({f'{kind} {label}'.rstrip()})"
    return {
        "c": f"what {step} is called with",
        "k": f"what {step} was called with before a restart",
        "r": f"the outcome of {step}" if number.isdecimal() else "the result",
        "a": f"the failure of {step} at attempt {attempt}",
        "u": f"the reply to the update that event {number} is" if number else "the reply to an update",
        "h": f"the heartbeat details of {step}",
    }[name[0]]


def split_field(name: str, field: bytes) -> FieldParts | None:
    """Take a journal field apart; None: it has no payload. See docs/protocol.md for the fields."""
    letter = "c" if name[0] == "k" else name[0]
    if letter == "h":
        return FieldParts(b"", field, b"", counted=False)
    if letter not in "cerau":
        return None
    head, _, rest = field.partition(b"\n")
    kind = head.partition(b"|")[0]
    if letter == "c" and kind == b"reply":
        status, _, rest = rest.partition(b"\n")
        return FieldParts(b"%s\n%s" % (head, status), rest, b"", counted=False)
    if letter != "c" or kind == b"value":
        return FieldParts(head, rest, b"", counted=False)
    if kind not in _SEALED_KINDS:
        return None
    length, _, body = rest.partition(b"\n")
    size = int(length)
    return FieldParts(head, body[:size], body[size:], counted=True)


async def get_all(
    payloads: Payloads, address: str, values: Mapping[str, bytes], instead: Instead | None = None
) -> dict[str, bytes]:
    """Return values that are payloads whole, as they were given. ``instead`` and errors as ``Payloads.get_fields``."""
    found: dict[str, bytes] = {}
    for name, value in values.items():
        try:
            found[name] = await payloads.get(address, value, f"the value {name!r}")
        except PayloadUnusable as error:
            if instead is None or payloads.codec is None:
                raise
            found[name] = instead("", b"", error)
    return found


__all__ = ["LARGE_BYTES", "OPEN_PAYLOAD", "Codec", "Instead", "Packed", "Payloads", "get_all", "split_field"]
