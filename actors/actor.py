"""``Actor``: what a worker takes forward, whatever its kind. Sans-IO: events in, commands out.

What is said of workflows in ``actors.workflow.instance`` holds of every kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from kernel import Command, End, Event


class Actor(Protocol):
    """One running copy of an actor, rebuilt by feeding it events. All lists only grow."""

    @property
    def fed(self) -> str:
        """Id of the last event fed; ``ZERO`` before the first."""
        ...

    @property
    def end(self) -> End | None:
        """How it ended; None while it has not."""
        ...

    @property
    def commands(self) -> list[Command]:
        """Everything asked for so far; number ``seq`` is at ``seq - 1``."""
        ...

    @property
    def open(self) -> AbstractSet[int]:
        """Numbers asked for, no outcome fed, not canceled."""
        ...

    @property
    def canceled(self) -> list[int]:
        """Numbers of all commands withdrawn so far, in that order."""
        ...

    @property
    def answered(self) -> Sequence[int]:
        """Numbers of all waits that an event has answered so far, in that order."""
        ...

    @property
    def answered_by(self) -> Sequence[int]:
        """The numbers of the events that have answered those waits."""
        ...

    @property
    def untaken(self) -> list[Event]:
        """External events and updates fed that no wait and no handler has taken, oldest first."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes of the payloads fed and of the arguments asked for."""
        ...

    @property
    def replaying(self) -> bool:
        """Whether the events fed now were consumed by an earlier turn; ends with ``check_complete``."""
        ...

    def feed(self, event: Event) -> None:
        """Go on with ``event``. Raises NondeterminismError when it asks for something else than its journal holds."""
        ...

    def check_complete(self) -> None:
        """All consumed events are fed: raise NondeterminismError if it has not asked for all that its journal holds."""
        ...

    def dispose(self) -> None:
        """Take it out of memory. Twice does no harm."""
        ...
