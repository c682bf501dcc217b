"""Events: the numbered facts an actor was told. Not how they are stored; see ``kernel/store``."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

ZERO: Final = "0-0"
"""The event id before the first one."""

EventKind = Literal["started", "restarted", "outcome", "event", "update", "cancel_requested"]


class Event(NamedTuple):
    """One fact in an actor's recorded order. Replay feeds events one at a time, by ``number``."""

    id: str
    """``<number>-<nonce>``; never issued twice in the life of a namespace."""
    kind: EventKind
    at_ms: int
    """Recorded time, milliseconds since the epoch; never less than that of the event before."""
    seq: int = 0
    """``outcome``: the command that it answers, from 1. Else 0."""
    status: str = ""
    """``outcome``: ``ok``, ``failed``, ``fired`` (a timer) or ``canceled``; ``event``: ``failed`` if it was sent with
    an error. Else empty."""
    name: str = ""
    """``started``: the actor's priority, empty for 0; ``event``: the name it was sent under; ``update``: of the handler
    that is asked; ``restarted``: the number of the last event that it does not feed again. Else empty."""
    payload: bytes = b""
    """Encoded value or failure; the kernel never looks into it."""

    @property
    def number(self) -> int:
        """Position in the actor's order, from 1."""
        return int(self.id.partition("-")[0])


def event_id(number: int, nonce: int) -> str:
    """Return the id of event ``number``; ``nonce`` is 62 random bits drawn by whoever appends it."""
    return f"{number}-{nonce}"


def event_number(event: str) -> int:
    """Return the number in an event id."""
    return int(event.partition("-")[0])
