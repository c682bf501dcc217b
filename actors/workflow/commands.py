"""What an instance has asked for: numbered, compared with the journal while it replays, and what is still open.

The one place where commands come into being. It knows nothing of the loop: what waits for a command is handed in as an
object with an ``answer`` method, and a difference from the journal is kept here, never raised into the author's code,
which could catch it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from actors.workflow.replay import describe_difference, describe_unkept, differs
from kernel import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.definitions import Definition
    from actors.workflow.errors import JournalMismatch
    from kernel import Event, Kept


class Pending(Protocol):
    """Whatever waits for a command's outcome."""

    def answer(self, event: Event) -> None:
        """Take the outcome. Raises nothing."""
        ...


class Commands:
    """The commands of one instance, and the time at which the next ones are asked for."""

    __slots__ = (
        "abort",
        "answered",
        "answered_by",
        "asked",
        "at",
        "bytes",
        "canceled",
        "dead",
        "kept",
        "mismatch",
        "now_ms",
        "patches",
        "pending",
        "recorded",
        "replaying",
        "untaken",
        "waits",
        "workflow_id",
    )

    def __init__(self, workflow_id: str, recorded: Sequence[Command], kept: Mapping[int, Kept]) -> None:
        self.workflow_id = workflow_id
        self.recorded = recorded
        """What the journal holds, from number 1."""
        self.kept = kept
        """By number, what the outcomes belong to that a restart has kept; empty: it was never restarted."""
        self.replaying = bool(recorded)
        """Whether the events being fed were consumed by an earlier turn."""
        self.asked: list[Command] = []
        self.patches: dict[str, bool] = {}
        """What was decided about each patch that the code has asked about."""
        self.pending: dict[int, Pending] = {}
        """Asked for, no outcome fed, not canceled; in the order asked for."""
        self.canceled: list[int] = []
        """Numbers of all commands withdrawn so far, in that order."""
        self.answered: list[int] = []
        """Numbers of all waits answered by an event so far, in that order."""
        self.answered_by: list[int] = []
        """The numbers of those events."""
        self.waits: dict[str, deque[int]] = {}
        """Numbers of the waits for each event name, oldest first; some may have been canceled since."""
        self.untaken: dict[str, deque[Event]] = {}
        """Events that no wait has taken, by name, oldest first."""
        self.bytes = 0
        """Bytes of arguments asked for."""
        self.at = 0
        """Number of the event being fed."""
        self.now_ms = 0
        """Time of the event being fed, ms since the epoch; never goes back."""
        self.dead = False
        """Nothing is recorded any more: the instance has ended, differs from its journal, or is disposed of."""
        self.mismatch: JournalMismatch | None = None
        self.abort: Callable[[], None] = _nothing
        """Stops the loop that runs the author's code; set by it."""

    def ask(self, command: Command, pending: Pending | None, definition: Definition[..., object] | None = None) -> int:
        """Record ``command`` and return its number; 0 when nothing is recorded any more.

        ``pending`` gets the outcome (None: there will be none). ``definition`` is what decodes the arguments should
        they differ from the journal's.
        """
        if self.dead:
            return 0
        asked = self.asked
        seq = len(asked) + 1
        if self.replaying:
            if seq <= len(self.recorded) and self.recorded[seq - 1].kind == "local":
                self.skip_markers()
                seq = len(asked) + 1
            recorded = self.recorded[seq - 1] if seq <= len(self.recorded) else None
            if recorded is None or differs(recorded, command, definition):
                self.mismatch = describe_difference(self.workflow_id, seq, recorded, command, definition)
                self.abort()
                return 0
            if recorded.arguments != command.arguments:
                command = recorded  # arguments that may differ: what runs is what the journal holds
        elif self.kept and (before := self._kept_for(seq)):
            if differs(before, command, definition):
                self.mismatch = describe_unkept(self.workflow_id, seq, before, command, definition)
                self.abort()
                return 0
            command = command._replace(arguments=before.arguments)  # what has run
        asked.append(command)
        self.bytes += len(command.arguments)
        if pending is not None:
            self.pending[seq] = pending
        return seq

    def _kept_for(self, seq: int) -> Command | None:
        """Return what was asked for as number ``seq`` before a restart, if its outcome is still to be fed."""
        kept = self.kept.get(seq)
        return kept.command if kept is not None and (not kept.answered or kept.answered > self.at) else None

    def patched(self, name: str) -> bool:
        """Tell whether the instance runs under the patch of that name; the first call decides for the whole instance.

        True where it is reached the first time now, which a marker then records. What was reached before (its events
        are replayed) went the old way if there is no marker. Where the marker stands does not matter.
        """
        known = self.patches.get(name)
        if known is not None or self.dead:
            return bool(known)
        recorded = self.replaying and any(one.kind == "local" and one.target == name for one in self.recorded)
        decision = self.patches[name] = recorded or not self.replaying
        if decision and not recorded:
            self.ask(Command("local", name, name, at=self.at), None)
        return decision

    def skip_markers(self) -> None:
        """Take the markers that come next in the journal as asked for. Replaying only."""
        asked, recorded = self.asked, self.recorded
        while len(asked) < len(recorded) and recorded[len(asked)].kind == "local":
            asked.append(recorded[len(asked)])

    def cancel(self, seq: int) -> None:
        """Withdraw command ``seq``, unless it is answered, withdrawn already, or nothing is recorded any more."""
        if not self.dead and self.pending.pop(seq, None) is not None:
            self.canceled.append(seq)

    def answer(self, event: Event) -> None:
        """Hand an outcome to what waits for it; outcomes of canceled and unknown commands are ignored."""
        pending = self.pending.pop(event.seq, None)
        if pending is not None:
            pending.answer(event)

    def deliver(self, event: Event) -> None:
        """Hand an external event to the oldest wait of its name, or keep it for the next one."""
        waits = self.waits.get(event.name)
        while waits:
            seq = waits.popleft()
            pending = self.pending.pop(seq, None)
            if pending is not None:
                self._answered(seq, event)
                pending.answer(event)
                return
        self.untaken.setdefault(event.name, deque()).append(event)

    def wait(self, name: str, seq: int) -> None:
        """Let wait ``seq`` take the oldest kept event of ``name``, or the next one that comes."""
        kept = self.untaken.get(name)
        if not kept:
            self.waits.setdefault(name, deque()).append(seq)
            return
        event = kept.popleft()
        if not kept:
            del self.untaken[name]
        self._answered(seq, event)
        self.pending.pop(seq).answer(event)

    def _answered(self, seq: int, event: Event) -> None:
        self.answered.append(seq)
        self.answered_by.append(event.number)

    def close(self) -> None:
        """The workflow has ended: withdraw what is open but detached children, record nothing more."""
        self.canceled.extend(seq for seq in self.pending if not self.asked[seq - 1].detached)
        self.pending.clear()
        self.dead = True


def _nothing() -> None:
    """Stand in until the loop is made."""
