"""Refusals: the words with which a script says no, one exception class each, mapped here and nowhere else.

Refused
├── NotFound            there is no such actor
├── Gone                it was deleted lately (a tombstone is left)
├── Ended               it has ended; only restart leads on
├── StaleGeneration     it began anew since the caller looked
├── StaleTurn           it moved on since the caller's turn began; fetch and go on from there
│   └── StageLost       another turn's chunks took the place of the caller's
├── Obsolete            the command needs nobody any more: completed, canceled, or on another attempt
├── NotOwner            the command belongs to somebody else
├── Conflict            what a mutation read has changed; run it again
├── TooLarge            the keys hold more than is compared at once
├── Late                the message was delivered after its deadline; deliver it again
├── Running             it has not ended
├── Busy                it has ended, but is still being cleared up; ask again soon
├── NotStopped          it is not set aside
└── SameCode            it was set aside by the very code that wants to resume it
"""

from __future__ import annotations

from typing import ClassVar, Final, cast

from kernel.errors import KernelError


class Refused(KernelError):
    """A script changed nothing because its precondition does not hold."""

    word: ClassVar[str] = ""

    def __init__(self, *facts: str) -> None:
        """Keep the record's facts: status, generation, consumed, appended, commands, emitted (or none)."""
        super().__init__(f"{self.word} at {' '.join(facts)}" if facts else self.word)
        self.facts = facts


class NotFound(Refused):
    """There is no such actor."""

    word = "NOT_FOUND"


class Gone(Refused):
    """The actor was deleted lately."""

    word = "GONE"


class Ended(Refused):
    """The actor has ended."""

    word = "ENDED"


class StaleGeneration(Refused):
    """The actor began anew since the caller looked."""

    word = "STALE_GENERATION"


class StaleTurn(Refused):
    """The actor moved on since the caller's turn began."""

    word = "STALE_TURN"


class StageLost(StaleTurn):
    """Another turn's chunks took the place of the caller's."""

    word = "STAGE_LOST"


class Obsolete(Refused):
    """The command needs nobody any more."""

    word = "OBSOLETE"


class NotOwner(Refused):
    """The command belongs to somebody else."""

    word = "NOT_OWNER"


class Conflict(Refused):
    """Something that the mutation read has changed; nothing was written. Run it again."""

    word = "CONFLICT"


class TooLarge(Refused):
    """The keys hold more than a script may digest. ``facts``: how many bytes."""

    word = "TOO_LARGE"


class Late(Refused):
    """The message came after its deadline."""

    word = "LATE"


class Running(Refused):
    """The actor has not ended."""

    word = "RUNNING"


class Busy(Refused):
    """The actor has ended, but what it left open is still being cleared up."""

    word = "BUSY"


class NotStopped(Refused):
    """The actor is not set aside."""

    word = "NOT_STOPPED"


class SameCode(Refused):
    """The actor was set aside by the code that wants to resume it."""

    word = "SAME_CODE"


REFUSALS: Final[dict[bytes, type[Refused]]] = {
    refusal.word.encode(): refusal
    for refusal in (
        NotFound,
        Gone,
        Ended,
        StaleGeneration,
        StaleTurn,
        StageLost,
        Obsolete,
        NotOwner,
        Conflict,
        TooLarge,
        Late,
        Running,
        Busy,
        NotStopped,
        SameCode,
    )
}


def accepted(reply: object) -> list[bytes]:
    """Return a script's reply, or raise the refusal that its first word names."""
    words = cast("list[bytes]", reply)
    refusal = REFUSALS.get(words[0])
    if refusal is not None:
        raise refusal(*((fact or b"").decode() for fact in words[1:]))
    return words
