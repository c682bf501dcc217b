"""What the replay core raises beside what it has from ``actors.errors``. Each says what to do about it.

::

    NondeterminismError (actors.errors)
    └── JournalMismatch      the code asks for something else than its journal holds: the host stops the instance
    Misuse (actors.errors)
    ├── Deadlocked           the workflow awaits what nothing can bring: it ends as failed
    └── TurnTooLong          one event set off more callbacks than the limit: it ends as failed; raised by the host
                             for one that took too long: the host stops the instance
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import Misuse, NondeterminismError

if TYPE_CHECKING:
    from kernel import Command


class JournalMismatch(NondeterminismError):
    """Replayed, the code asked for another command than the journal holds under that number."""

    def __init__(
        self, message: str, *, seq: int, recorded: Command | None, asked: Command | None, was: str, now: str, site: str
    ) -> None:
        super().__init__(message, seq=seq, was=was, now=now, site=site)
        self.recorded = recorded
        """What the journal holds; None if the code asks for more than was recorded."""
        self.asked = asked
        """What the code asks for now; None if it no longer asks for it."""


class Deadlocked(Misuse):
    """The workflow waits, but it has asked for nothing that could still be answered."""


class TurnTooLong(Misuse):
    """One event set off more callbacks than ``CALLBACKS_MAX``, or took longer than its host allows.

    There is a loop in the workflow's code that never waits, or a computation that belongs into an action.
    """

    def __init__(self, message: str, *, stack: str = "") -> None:
        super().__init__(message)
        self.stack = stack
        """Where the author's code was, as Python prints it; empty if it is not known."""
