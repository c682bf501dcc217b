"""Judges why an instance does not go on: what it waits for, since when, and who could take it up. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from actors.doctor.finding import Finding, Severity
from actors.obstacles import code_missing, step_code_missing, waits_for_worker
from actors.views import unreadable
from kernel import event_number, other_event, outcome_event, read_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel import OpenCommand, Slice

_TURNING: Final = frozenset({"running", "canceling"})


@dataclass(frozen=True, slots=True)
class Workforce:
    """The workers that beat."""

    about: Mapping[str, str]
    """What each says of itself, JSON, by its name."""

    def serves(self, queue: str) -> bool:
        """Tell whether one of them serves a queue; ``queue`` may be a band of it. Who does not say may."""
        name = queue.partition("!")[0]
        known = [json.loads(about).get("queues") for about in self.about.values()]
        return any(queues is None or name in queues for queues in known)


def reasons(found: Slice, workforce: Workforce, *, now_ms: int, after_ms: int) -> Iterator[Finding]:
    """Yield why an instance does not go on, as far as it has not for ``after_ms``."""
    actor = found.actor
    if actor.record.get("status") not in _TURNING or not workforce.about:
        return
    yield from _turn(found, workforce, now_ms=now_ms, after_ms=after_ms)
    for seq, command in actor.open.items():
        field = actor.journal.get(f"c{seq}")
        if field is None:
            continue
        asked = read_command(field)
        name = asked.label
        if waits_for_worker(command.place) and (why := step_code_missing(asked, workforce.about.values())):
            advice = f"start a worker that has it, or headrace cancel {_id(found)}"
            yield _stuck(found, "unknown_step", f"step {seq} ({name}) waits: {why}", advice)
            continue
        yield from _command(found, seq, name, command, workforce=workforce, now_ms=now_ms, after_ms=after_ms)


def _turn(found: Slice, workforce: Workforce, *, now_ms: int, after_ms: int) -> Iterator[Finding]:
    actor = found.actor
    record = {name: value.encode() for name, value in actor.record.items()}
    if actor.address.startswith("wf/") and (missing := code_missing(record, workforce.about.values())):
        yield _stuck(found, "unknown_code", missing, "start a worker that has it, or headrace cancel the instance")
        return
    if why := unreadable(record) if actor.address.startswith("wf/") else "":
        advice = f"start a worker with the codec and keys it was written with, or headrace cancel {_id(found)}"
        yield _stuck(found, "unreadable_payload", f"cannot be read: {why}", advice)
        return
    ready = actor.record.get("ready", "")
    if ready and now_ms - _entry_ms(ready) > after_ms:
        yield _stuck(
            found,
            "turn_not_taken",
            f"is ready since {_when(_entry_ms(ready))}, and no worker has taken its turn",
            "see the workers' logs: they are overloaded, or cannot reach the server; start more",
        )


def _command(
    found: Slice, seq: int, name: str, command: OpenCommand, *, workforce: Workforce, now_ms: int, after_ms: int
) -> Iterator[Finding]:
    place = command.here
    what = f"step {seq} ({name})"
    if place.startswith("q:"):
        queue, entry, *_ = place[2:].split(":")
        since_ms = _entry_ms(entry)
        if not workforce.serves(queue):
            yield _stuck(
                found,
                "unserved_queue",
                f"{what} waits in the queue {queue!r} since {_when(since_ms)}, which no worker serves",
                f"start a worker with --queues {queue.partition('!')[0]}",
            )
        elif now_ms - since_ms > after_ms:
            yield _stuck(
                found,
                "step_not_begun",
                f"{what} waits in the queue {queue!r} since {_when(since_ms)}",
                "start more workers or raise --concurrency; if they are idle, none of them has the code of the step",
            )
    elif seq in found.due_ms and now_ms - found.due_ms[seq] > after_ms:
        due = _when(found.due_ms[seq])
        advice = "see the workers' logs, and the server's clock"
        yield _stuck(found, "overdue", f"{what or 'a timer'} was due at {due} and was not started since", advice)
    elif place.startswith("pool:"):
        pool, ask = command.permit.split(":")
        if now_ms - _entry_ms(ask) > after_ms:
            yield _stuck(
                found,
                "waits_for_permit",
                f"{what} waits for a permit of the pool {pool!r} since {_when(_entry_ms(ask))}",
                "see headrace queues: a limit of 0 pauses the pool, none at all means that no worker has declared it",
                "note",
            )
    elif place == "wait":
        yield from _wait(found, seq, name, now_ms=now_ms, after_ms=after_ms)
    elif place.startswith("held") and command.worker not in workforce.about:
        text = f"{what} is held by {command.worker}, which is no worker that lives"
        yield _stuck(found, "abandoned", text, "workers take it over within half a minute; else see their logs")


def _wait(found: Slice, seq: int, name: str, *, now_ms: int, after_ms: int) -> Iterator[Finding]:
    command = read_command(found.actor.journal[f"c{seq}"])
    since_ms = _told_ms(found, command.at)
    if command.kind == "wait" and since_ms and now_ms - since_ms > after_ms:
        advice = f"headrace send-event {_id(found)} {name}, if it should have come; else nothing"
        yield _stuck(found, "waits_for_event", f"waits for the event {name!r} since {_when(since_ms)}", advice, "note")


def _told_ms(found: Slice, number: int) -> int:
    """Return when an event was told; 0: it cannot be seen any more."""
    journal = found.actor.journal
    if field := journal.get(f"e{number}"):
        return other_event(field).at_ms
    for name, field in journal.items():
        if name[0] == "r" and name != "result" and event_number(field[:40].partition(b"|")[0].decode()) == number:
            return outcome_event(int(name[1:]), field).at_ms
    return 0


def _stuck(found: Slice, code: str, text: str, advice: str, severity: Severity = "problem") -> Finding:
    return Finding(kind="stuck", code=code, subject=_id(found), text=text, advice=advice, severity=severity)


def _id(found: Slice) -> str:
    return found.actor.address.removeprefix("wf/")


def _entry_ms(entry: str) -> int:
    return int(entry.partition("-")[0])


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
