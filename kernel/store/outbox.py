"""Outbox: messages to actors that may live in other slots, as couriers read and answer for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.store import keys
from kernel.store.keys import shared
from kernel.store.payloads import split_field
from kernel.store.reader import Entry
from kernel.store.replies import listed

if TYPE_CHECKING:
    from kernel.store.space import Space

PAGE: Final = 200
"""Messages that one look into an outbox takes."""


class Message(NamedTuple):
    """One message as the sender's script wrote it."""

    tag: str
    entry: str
    what: str
    """create, cancel, cleanup (a child), outcome (to whoever waits), on_complete; acquire, free (to a pool), grant."""
    to: str
    """The receiver's address; empty: a child, named by the command that asked for it."""
    sender: str
    generation: str
    seq: str
    token: str
    receiver_generation: str
    status: str
    payload: bytes
    """A result; or a child's command as in the journal (cancel and cleanup: without its arguments). A ``create``
    without one finds its command in the sender's journal; it is obsolete if the sender began anew since."""
    attempt: int = 0
    """Of ``acquire``, ``grant`` and ``free``."""
    priority: int = 0
    """Of ``acquire``."""


class Outbox:
    """Transitions of messages."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def carried(self, message: Message) -> Message:
        """Return a message with its payload as it can be given for the receiver.

        Of a ``create`` that is the child's command, from the sender's journal unless it is in the message (nothing:
        there is none). An ``outcome`` is not decoded, so whoever delivers it needs no keys; of ``on_complete`` it is.

        Raises:
            PayloadUnusable: it cannot be read here.
        """
        payloads, sender = self._space.payloads, message.sender
        if message.what == "outcome":
            return message._replace(payload=await payloads.carry(sender, message.payload))
        if message.what == "on_complete":
            return message._replace(payload=await payloads.get(sender, message.payload))
        if message.what != "create":
            return message
        field = message.payload or await self._command(sender, message.seq)
        parts = split_field("c", field) if field else None
        if parts is not None:
            field = parts.joined(await payloads.carry(sender, parts.payload))
        return message._replace(payload=field)

    async def _command(self, sender: str, seq: str) -> bytes:
        tag = self._space.keys.tag_of(sender)
        reply = await self._space.send(tag, "HGET", keys.actor(tag, sender, "journal"), f"c{seq}")
        return reply if isinstance(reply, bytes) else b""

    async def sent(self, message: Message, *, since: int | None = None) -> bool:
        """Take a message out of the outbox after a definite answer; False: somebody else did.

        ``since``: the space's stamp from before it was delivered. Raises LinkChanged: that may be lost, do it again.
        """
        words = (message.entry, message.sender, message.generation, message.seq, self._space.clock)
        if since is None:
            reply = await self._space.call("sent", message.tag, *words)
        else:
            reply = await self._space.call_if(since, "sent", message.tag, *words)
        return reply == 1

    async def has(self, message: Message) -> bool:
        """Tell whether a message is in the outbox still, or again."""
        stream = shared(message.tag, "outbox")
        rows = listed(await self._space.send(message.tag, "XRANGE", stream, message.entry, message.entry))
        return any(read_message(Entry(stream, entry, fields)) == message for entry, fields in rows)

    async def has_earlier(self, message: Message, *, what: str, seq: str, token: str) -> bool:
        """Tell whether an earlier message of the same sender, about a command, is still in the outbox."""
        stream, after = shared(message.tag, "outbox"), "-"
        while True:
            words = ("XRANGE", stream, after, f"({message.entry}", "COUNT", PAGE)
            entries = listed(await self._space.send(message.tag, *words))
            for entry, fields in entries:
                found = read_message(Entry(stream, entry, fields))
                if (found.what, found.sender, found.seq, found.token) == (what, message.sender, seq, token):
                    return True
            if len(entries) < PAGE:
                return False
            after = f"({entries[-1][0].decode()}"


def read_message(entry: Entry) -> Message:
    """Read an entry of an outbox."""
    values = dict(zip(entry.fields[::2], entry.fields[1::2], strict=True))

    def text(name: bytes) -> str:
        return values.get(name, b"").decode()

    return Message(
        tag=entry.stream[: entry.stream.index("}") + 1],
        entry=entry.id.decode(),
        what=text(b"w"),
        to=text(b"to"),
        sender=text(b"from"),
        generation=text(b"g"),
        seq=text(b"s"),
        token=text(b"t"),
        receiver_generation=text(b"pg"),
        status=text(b"st"),
        payload=values.get(b"p", b""),
        attempt=int(values.get(b"n", b"0")),
        priority=int(values.get(b"pr", b"0")),
    )
