"""History: everything that was recorded of an instance, in order: what it was told, asked for and answered. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from actors.errors import Failure
from actors.payload import unpack
from actors.views import answered_by, journal_events, moment
from kernel import (
    Command,
    CommandKind,
    Event,
    event_number,
    read_command,
    read_reply,
)

if TYPE_CHECKING:
    from datetime import datetime

HistoryKind = Literal[
    "started",
    "restarted",
    "asked",
    "completed",
    "failed",
    "fired",
    "canceled",
    "event",
    "update",
    "cancel_requested",
    "ended",
]
"""``asked``: the code asked for a command. ``completed``, ``failed``, ``fired``, ``canceled``: a command's outcome."""

_OUTCOMES: Final[dict[str, HistoryKind]] = {
    "ok": "completed",
    "failed": "failed",
    "fired": "fired",
    "canceled": "canceled",
}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that was recorded."""

    event: int
    """Number of the event; of what was asked for: the event because of which it was."""
    kind: HistoryKind
    at: datetime | None
    """When it was recorded; None where that is not kept."""
    seq: int = 0
    """Number of the command; 0: it is about none."""
    command: CommandKind | Literal[""] = ""
    """What kind of command it is about: ``step``, ``timer``, ``wait`` …; empty: none."""
    name: str = ""
    """Of the step, event, update or value; of a sleep ``timer``; ``ended``: the status."""
    value: Any = None
    """An outcome's or event's value, an update's reply, the workflow's result; plain values. ``restarted``: what
    ``step.attempt`` is from there on."""
    error: Failure | None = None
    """The same of what failed."""
    taken: bool = True
    """``event``: a wait has taken it. ``update``: it was answered. Of anything else True."""


def read_history(record: dict[str, bytes], journal: dict[str, bytes]) -> list[HistoryEntry]:
    """Return everything in a journal, in the order recorded."""
    commands = _commands(journal, "c", int(record["commands"]))
    known = {**_commands(journal, "k", int(record.get("kept", b"0").rstrip(b"*"))), **commands}
    by_event: dict[int, list[tuple[int, Command]]] = {}
    for seq, command in commands.items():
        by_event.setdefault(command.at, []).append((seq, command))
    takers = {answered_by(mark) for field, mark in journal.items() if field[0] == "x"}
    entries: list[HistoryEntry] = []
    attempt = 1
    for event in sorted(journal_events(journal), key=lambda event: event.number):
        entry = _entry(event, known, journal, taken=event.number in takers)
        if entry.kind == "restarted":
            attempt += 1
            entry = replace(entry, value=attempt)
        entries.append(entry)
        entries += (_asked(event, seq, command) for seq, command in by_event.get(event.number, ()))
    if result := journal.get("result"):
        entries.append(_end(event_number(record["appended"].decode()), result))
    return entries


def _commands(journal: dict[str, bytes], letter: str, count: int) -> dict[int, Command]:
    fields = ((seq, journal.get(f"{letter}{seq}")) for seq in range(1, count + 1))
    return {seq: read_command(field) for seq, field in fields if field is not None}


def _entry(event: Event, commands: dict[int, Command], journal: dict[str, bytes], *, taken: bool) -> HistoryEntry:
    at = moment(event.at_ms)
    match event.kind:
        case "outcome":
            command = commands.get(event.seq)
            value, error = _said(event.status, event.payload)
            kind = _OUTCOMES[event.status]
            if command is None:
                return HistoryEntry(event.number, kind, at, event.seq, value=value, error=error)
            return HistoryEntry(event.number, kind, at, event.seq, command.kind, command.label, value, error)
        case "event":
            value, error = _said(event.status, event.payload)
            return HistoryEntry(event.number, "event", at, 0, "", event.name, value, error, taken)
        case "update":
            field = journal.get(f"u{event.number}")
            value, error = (None, None) if field is None else _said(*read_reply(field))
            return HistoryEntry(event.number, "update", at, 0, "", event.name, value, error, field is not None)
        case "started" | "restarted" | "cancel_requested":
            return HistoryEntry(event.number, event.kind, at)


def _said(status: str, payload: bytes) -> tuple[Any, Failure | None]:
    if status in {"failed", "rejected"}:
        return None, Failure.decode(payload)
    if status == "canceled":
        return None, Failure.decode(payload) if payload else None
    return unpack(payload) if payload else None, None


def _asked(event: Event, seq: int, command: Command) -> HistoryEntry:
    value = unpack(command.arguments) if command.kind == "value" else None
    return HistoryEntry(event.number, "asked", moment(event.at_ms), seq, command.kind, command.label, value)


def _end(number: int, result: bytes) -> HistoryEntry:
    head, _, payload = result.partition(b"\n")
    status, _, at = head.decode().partition("|")
    value, error = _said({"completed": "ok"}.get(status, status), payload)
    return HistoryEntry(number, "ended", moment(at), 0, "", status, value, error)
