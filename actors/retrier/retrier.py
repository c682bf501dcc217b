"""One retrier: told what to run by its first event, it asks for that one step and ends as the step does.

That the step is tried again is the runner's business, by the policy in the command's options: the actor hears only of
the final outcome. It has no code of an author's, so any worker can take it forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from actors.packing import packb, unpackb
from kernel import ORDINARY, ZERO, Command, End, Scheduling, event_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Event

KIND: Final = "retrier"
"""Kind of actor, as in its address."""


def write_call(command: Command) -> bytes:
    """Return the arguments with which a retrier of ``command`` begins."""
    *scheduling, pool = command.scheduling
    # Without a pool as versions wrote it that knew of none, which can read it then.
    return packb((*command[:-1], (*scheduling, pool) if pool else tuple(scheduling)))


def read_call(data: bytes) -> Command:
    """Read what ``write_call`` wrote; fields appended by a newer version are ignored."""
    fields = cast("list[Any]", unpackb(data))
    command = Command(*fields[: len(Command._fields)])
    scheduling = Scheduling(*cast("list[Any]", command.scheduling)[: len(Scheduling._fields)])
    return command._replace(scheduling=ORDINARY if scheduling == ORDINARY else scheduling)


class Retrier:
    """One running copy of a retrier; an ``Actor``."""

    __slots__ = (
        "answered",
        "answered_by",
        "bytes",
        "canceled",
        "commands",
        "end",
        "fed",
        "open",
        "recorded",
        "replaying",
        "untaken",
    )

    def __init__(self, *, recorded: Sequence[Command] = ()) -> None:
        """``recorded``: what the journal holds."""
        self.recorded = recorded
        self.replaying = bool(recorded)
        self.fed = ZERO
        self.end: End | None = None
        self.commands: list[Command] = []
        self.open: set[int] = set()
        self.canceled: list[int] = []
        self.answered: list[int] = []
        self.answered_by: list[int] = []
        self.untaken: list[Event] = []
        self.bytes = 0

    def feed(self, event: Event) -> None:
        """Go on with ``event``; what comes after the end is not taken."""
        if self.end is not None:
            return
        self.fed = event.id
        self.bytes += len(event.payload)
        match event.kind:
            case "started":
                self.commands.append(read_call(event.payload)._replace(at=event_number(event.id)))
                self.open.add(1)
            case "outcome" if event.seq in self.open:
                self.open.clear()
                status = {"ok": "completed", "failed": "failed"}.get(event.status, "canceled")
                self.end = End(cast("Any", status), event.payload)
            case "cancel_requested":
                self.canceled.extend(self.open)
                self.open.clear()
                self.end = End("canceled", b"")
            case _:
                pass

    def check_complete(self) -> None:
        """Be live from now on. There is no code that could differ from the journal."""
        self.replaying = False

    def dispose(self) -> None:
        """Nothing of it runs."""
