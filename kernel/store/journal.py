"""Journal: how commands, outcomes and events stand in an actor's hash, and how they are read back. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from kernel.decision import AT_THE_END_TOO, ORDINARY, Command, CommandKind, Scheduling
from kernel.event import Event, EventKind, event_number

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

EVENT_FAILED: Final = "event_failed"
"""How the journal calls an event that was sent with an error."""
RECORD_FIELDS: Final = 13
"""How many fields of a record ``fetch`` answers with."""


class Record(NamedTuple):
    """What transitions know of an actor; see ``lua/fetch.lua``."""

    status: str
    generation: str
    consumed: str
    appended: str
    commands: int
    emitted: int
    ready: str
    name: str
    version: str
    python: str
    parent: str
    kept: int
    """After a restart: commands up to this number may have kept their outcome; else 0."""
    first: int = 1
    """Number of the journal's first event; more than 1 after continue_as_new."""


def read_record(reply: list[bytes]) -> Record:
    """Read the fields that follow the word RECORD."""
    text = [field.decode() for field in reply[1 : 1 + RECORD_FIELDS]]
    return Record(
        status=text[0],
        generation=text[1],
        consumed=text[2],
        appended=text[3],
        commands=int(text[4]),
        emitted=int(text[5]),
        ready=text[6],
        name=text[7],
        version=text[8],
        python=text[9],
        parent=text[10],
        kept=int(text[11]),
        first=int(text[12]),
    )


def write_command(command: Command, *, token: str, void: bool, here: bool = True) -> bytes:
    """Return a command's journal field.

    The first line is text for scripts: ``kind|at|token|queue|due ms|timeout ms|flags|target|label``, flags ``o`` at
    most once, ``d`` detached, ``v`` void (asked for and taken back in one turn), and where its scheduling is not as
    usual ``s``, then ``i`` inline, ``l`` limited by a pool (the queue is ``queue@pool`` then), ``w<ms>`` the longest
    wait for a worker, ``h<ms>`` the longest silence, ``p<n>`` the priority. Then the length of the arguments in
    decimal, a line break, the arguments, the options. Without ``here`` an inline step goes through its queue after all.
    """
    queue = command.queue
    flags = ("o" if command.at_most_once else "") + ("d" if command.detached else "") + ("v" if void else "")
    if command.scheduling is not ORDINARY:
        flags += _flags_of(command.scheduling if here else command.scheduling._replace(inline=False))
        if command.scheduling.pool:
            queue = f"{queue}@{command.scheduling.pool}"
    label = "" if command.label == command.target else command.label
    head = (
        f"{command.kind}|{command.at}|{token}|{queue}|{command.due_ms}|{command.timeout_ms}|{flags}|"
        f"{command.target}|{label}\n"
    )
    if command.kind in AT_THE_END_TOO:
        return head.encode() + command.arguments
    return b"%s%d\n%s%s" % (head.encode(), len(command.arguments), command.arguments, command.options)


def _flags_of(scheduling: Scheduling) -> str:
    wait_ms, silence_ms, priority, inline, pool = scheduling
    numbers = (("w", wait_ms), ("h", silence_ms), ("p", priority))
    return (
        "s"
        + ("i" if inline else "")
        + ("l" if pool else "")
        + "".join(f"{letter}{number}" for letter, number in numbers if number)
    )


_NUMBERED: Final = re.compile(r"([whp])(\d+)")


def _scheduling_of(flags: str, pool: str) -> Scheduling:
    numbers = {letter: int(number) for letter, number in _NUMBERED.findall(flags)}
    return Scheduling(numbers.get("w", 0), numbers.get("h", 0), numbers.get("p", 0), "i" in flags, pool)


def read_command(field: bytes) -> Command:
    """Return the command in a journal field."""
    head, _, rest = field.partition(b"\n")
    kind, at, _token, where, due, timeout, flags, target, label = head.decode().split("|", 8)
    if kind in AT_THE_END_TOO:
        arguments, options = rest, b""
    else:
        length, _, body = rest.partition(b"\n")
        arguments, options = body[: int(length)], body[int(length) :]
    queue, _, pool = where.partition("@")
    return Command(
        kind=cast("CommandKind", kind),
        target=target,
        label=label or target,
        arguments=arguments,
        options=options,
        at=int(at),
        queue=queue,
        due_ms=int(due),
        timeout_ms=int(timeout),
        at_most_once="o" in flags,
        detached="d" in flags,
        scheduling=_scheduling_of(flags, pool) if "s" in flags else ORDINARY,
    )


class Outcome(NamedTuple):
    """A step's outcome as recorded."""

    event: str
    at_ms: int
    status: str
    attempt: int
    begun_ms: int
    """0: it never began (a timer, a canceled step)."""
    worker: str
    payload: bytes


def read_outcome(field: bytes) -> Outcome:
    """Return the outcome in a journal field ``r<seq>``."""
    head, _, payload = field.partition(b"\n")
    event, at, status, attempt, begun, worker = head.decode().split("|")
    return Outcome(event, int(at), status, int(attempt), int(begun or 0), worker, payload)


def outcome_event(seq: int, field: bytes) -> Event:
    """Return the event that an outcome field is."""
    head, _, payload = field.partition(b"\n")
    event, at, status, _ = head.decode().split("|", 3)
    return Event(event, "outcome", int(at), seq, status, "", payload)


def other_event(field: bytes) -> Event:
    """Return the event in a journal field ``e<n>``; one that was sent with an error has a kind of its own there."""
    head, _, payload = field.partition(b"\n")
    event, kind, at, name = head.decode().split("|", 3)
    if kind == EVENT_FAILED:
        return Event(event, "event", int(at), 0, "failed", name, payload)
    return Event(event, cast("EventKind", kind), int(at), 0, "", name, payload)


def as_fed(events: Sequence[Event]) -> list[Event]:
    """Return an actor's events, in their order, with the times at which the code is to see them.

    What a restart fed again happened, to the code, when it was restarted: a sleep or timeout that it asks for then
    begins then. A ``restarted`` event has in its name the number of the last event that was not fed again (journals of
    old: none).
    """
    fed = list(events)
    for event in events:
        if event.kind == "restarted" and event.name:
            since, at_ms = int(event.name), event.at_ms
            fed = [
                one._replace(at_ms=max(one.at_ms, at_ms)) if since < one.number < event.number else one for one in fed
            ]
    return fed


class Reply(NamedTuple):
    """How an update was answered."""

    status: str
    """``ok``, ``failed`` (its handler raised) or ``rejected`` (its arguments did not fit; no handler ran)."""
    payload: bytes
    """Encoded value or failure."""


def write_reply(reply: Reply) -> bytes:
    """Return a reply as the journal's field ``u<n>``, which is also what the command ``reply`` has for arguments."""
    return b"%s\n%s" % (reply.status.encode(), reply.payload)


def read_reply(field: bytes) -> Reply:
    """Return the reply in a journal field ``u<n>``."""
    status, _, payload = field.partition(b"\n")
    return Reply(status.decode(), payload)


def lost_events(generation: str, appended: str, there: Container[int], kept: Iterable[int] = ()) -> list[int]:
    """Return the numbers of events that are not ``there``: of a generation's, and of those ``kept`` of before it."""
    own = range(event_number(generation), event_number(appended) + 1)
    return [n for n in (*kept, *own) if n not in there]


def write_numbers(numbers: Iterable[int]) -> str:
    """Return ascending numbers as text, such as ``1-7,9``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def read_numbers(text: str) -> list[int]:
    """Return the numbers in what ``write_numbers`` has written. Raises ValueError: it has not."""
    runs = ((run.partition("-")[0], run.rpartition("-")[2]) for run in text.split(",") if run)
    return [number for first, last in runs for number in range(int(first), int(last) + 1)]


def kept_events(kept: str, numbers: str) -> list[int]:
    """Return the numbers of the events that a restart has kept, until its first turn is committed; then none.

    ``kept`` and ``numbers`` are the record's fields ``kept`` and ``kept_events``.
    """
    return read_numbers(numbers) if kept.endswith("*") else []


def is_detached(command: bytes) -> bool:
    """Tell whether the command in a journal field is a detached child."""
    return b"d" in command.split(b"|", 7)[6]


SHOWN_MAX: Final = 10


def some_of(many: Sequence[object]) -> str:
    """Return the first of them as text, separated by commas."""
    return ", ".join(map(str, many[:SHOWN_MAX])) + (f" and {len(many) - SHOWN_MAX:,} more" * (len(many) > SHOWN_MAX))


def mailbox_event(value: bytes) -> Event:
    """Return the event in one of ``fetch``'s values, ``<seq or nothing>|<journal field>``."""
    seq, _, field = value.partition(b"|")
    return outcome_event(int(seq), field) if seq else other_event(field)
