"""Views: what people see of an instance, read from its hashes. Values and pure functions only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from actors.definitions import DEFAULT_VERSION
from actors.errors import Failure, InvalidArguments, InvalidReturn, UnknownDefinition
from actors.options import read_tags
from actors.payload import pack, unpack
from actors.results import Canceled, Completed, Failed, InProgress, RunningStep, Scheduled, Status, Stopped
from actors.retrier import Completion
from kernel import WITHOUT_OUTCOME, Command, Event, Outcome, other_event, outcome_event, read_command, read_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from actors.registry import Registry
    from kernel import PayloadUnusable

Record = dict[str, bytes]
TRIED_MIN: Final = 5
"""How often a journal could not be read before it is said that nobody can."""
_ENDED: Final = frozenset({b"completed", b"failed", b"canceled"})
StepState = Literal["queued", "running", "waiting", "retrying", "completed", "failed", "canceled", "detached"]


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt that failed and was followed by another."""

    attempt: int
    error: Failure
    worker: str
    started: datetime | None
    finished: datetime


@dataclass(frozen=True, slots=True)
class StepView:
    """One command of a workflow: a step, a timer, a wait or a child; last, what is called on its completion."""

    seq: int
    name: str
    kind: str
    """query, mutation, action; or sleep, event, workflow, value, update_handler, reply, on_complete; ``step`` where
    this process does not know the code."""
    state: StepState
    """``detached``: a child that its parent, ended since, has left to itself."""
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    """Positional and keyword arguments; None where they cannot be decoded here."""
    result: Any = None
    error: Failure | None = None
    attempt: int = 1
    attempts: tuple[AttemptView, ...] = ()
    worker: str = ""
    queued: datetime | None = None
    """When it was asked for; it waits from then on, or from when it is ``due``."""
    started: datetime | None = None
    finished: datetime | None = None
    due: datetime | None = None
    """Timers and delayed steps: when they are due."""
    pool: str = ""
    """Steps of a pool: which. One that is ``waiting`` without being ``due`` waits for a permit of it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An instance at one moment."""

    id: str
    workflow: str
    status: Status[Any]
    steps: tuple[StepView, ...]
    values: dict[str, Any]
    created: datetime
    ended: datetime | None
    tags: dict[str, str] = field(default_factory=dict[str, str])
    version: str = DEFAULT_VERSION
    """The version under which it runs."""


def moment(ms: str | int | bytes) -> datetime | None:
    """Return milliseconds since the epoch as a time; None for nothing."""
    number = int(ms or 0)
    return datetime.fromtimestamp(number / 1000, UTC) if number else None


def read_status(record: Record, opened: Record, result: bytes | None, decode: Callable[[bytes], Any]) -> Status[Any]:
    """Return where an instance is; ``result``: its journal's result field (a scheduled one: its first event)."""
    status = record["status"].decode()
    match status:
        case "completed" | "failed":
            payload = (result or b"\n").partition(b"\n")[2]
            return Completed(decode(payload)) if status == "completed" else Failed(Failure.decode(payload))
        case "canceled":
            return Canceled()
        case "scheduled":
            at = moment((result or b"||0|").split(b"|", 3)[2])
            return Scheduled(at or datetime.now(UTC))
        case "stopped":
            return Stopped(Failure.decode(record["reason"]))
        case _:
            return InProgress(_running(opened))


def unreadable(record: Record) -> str:
    """Return why an instance that could go on does not: no worker that tried could read its journal. Empty: it can be.

    What it says is sure once workers have tried several times; before that one that can read it may be on its way.
    """
    consumed, _, rest = record.get("unread", b"").decode(errors="replace").partition("|")
    times, *reasons = rest.splitlines() or ["0"]
    if consumed.encode() != record["consumed"] or record["appended"] == record["consumed"] or int(times) < TRIED_MIN:
        return ""
    return f"no worker that tried could read its journal: {'; or: '.join(reasons)}"


CODEC_ADVICE: Final = "start a worker with the codec and keys that it was written with, or cancel it"


def mark_unreadable(name: str, head: bytes, error: PayloadUnusable) -> bytes:
    """Return what stands for a payload that cannot be read where people look: a text, as a value, call or failure."""
    mark = f"<unreadable: {error}>"
    if name[:1] in {"c", "k"} and head.partition(b"|")[0] in {b"step", b"child"}:
        return pack([[mark]])
    if _is_failure(name, head.partition(b"\n")[0].split(b"|")):
        return Failure("StepFailed", "PayloadUnusable", mark).encode()
    return pack(mark)


def _is_failure(name: str, head: list[bytes]) -> bool:
    """Whether the payload of a journal field is a failure."""
    match name[:1]:
        case "a":
            return True
        case "e":
            return b"event_failed" in head[1:2]
        case "r" if name != "result":
            return head[2:3] in ([b"failed"], [b"canceled"])
        case "r" | "u":
            return head[0] in {b"failed", b"rejected", b"canceled"}
        case _:
            return False


def _running(opened: Record) -> tuple[RunningStep, ...]:
    steps: list[RunningStep] = []
    for seq, value in sorted(opened.items(), key=lambda item: int(item[0])):
        attempt, worker, *_ = value.decode().split("|")
        steps.append(RunningStep(int(seq), "", int(attempt), worker))
    return tuple(steps)


def read_steps(record: Record, opened: Record, journal: Record, registry: Registry) -> list[StepView]:
    """Return every command of an instance."""
    attempts = _attempts(journal)
    times = {event.number: event.at_ms for event in journal_events(journal)}
    count = int(record["commands"])
    emitted = count if record["status"] in _ENDED else int(record["emitted"])
    steps: list[StepView] = []
    for seq in range(1, count + 1):
        if field := journal.get(f"c{seq}"):
            # A decision of many commands is carried out in parts: the rest is not in the open table yet.
            opened_as = opened.get(str(seq)) or (_NOT_EMITTED if seq > emitted else None)
            command, tried = read_command(field), attempts.get(seq, ())
            step = _step(seq, command, opened_as, journal=journal, attempts=tried, registry=registry)
            steps.append(replace(step, queued=moment(times.get(command.at, 0)), pool=command.scheduling.pool))
    return steps


def read_completion(
    asked: bytes, record: Record, opened: Record, journal: Record, *, seq: int, registry: Registry
) -> StepView:
    """Return what is called on completion, from the hashes of its actor (empty: it has not begun).

    ``asked``: the workflow's field ``on_complete``.
    """
    steps = read_steps(record, opened, journal, registry) if record.get("commands", b"0") != b"0" else []
    if steps:
        return replace(steps[0], seq=seq, kind="on_complete")
    command = Completion.decode(asked).command
    state: StepState = "canceled" if record.get("status") == b"canceled" else "queued"
    return StepView(seq, command.label, "on_complete", state)


def command_name(field: bytes) -> str | None:
    """Return what people call a command, from its journal field; None for an update handler, which only listens."""
    command = read_command(field)
    return None if command.kind == "handler" else command.label or "sleep"


def name_running(status: InProgress, names: Mapping[int, str | None]) -> InProgress:
    """Return the status with its steps named, as far as ``names`` (by number) goes; those named None are left out."""
    named = ((step, names.get(step.seq, "")) for step in status.running)
    return replace(
        status,
        running=tuple(RunningStep(s.seq, name, s.attempt, s.worker) for s, name in named if name is not None),
    )


def read_snapshot(
    workflow_id: str,
    record: Record,
    opened: Record,
    *,
    journal: Record,
    values: Record,
    result: bytes | None,
    decode: Callable[[bytes], Any],
    registry: Registry,
) -> Snapshot:
    """Return an instance whole."""
    steps = tuple(read_steps(record, opened, journal, registry))
    status = read_status(record, opened, result, decode)
    if isinstance(status, InProgress):
        status = name_running(status, {s.seq: None if s.kind == "update_handler" else s.name for s in steps})
    return Snapshot(
        id=workflow_id,
        workflow=record["name"].decode(),
        status=status,
        steps=steps,
        values={key: unpack(value) for key, value in values.items()},
        created=moment(record["created"]) or datetime.now(UTC),
        ended=moment(record.get("ended", b"")),
        tags=read_tags(record.get("tags", b"")),
        version=record.get("version", DEFAULT_VERSION.encode()).decode(),
    )


def journal_events(journal: Record) -> Iterator[Event]:
    """Yield the events in a journal, in no order."""
    for name, value in journal.items():
        if name[0] == "e":
            yield other_event(value)
        elif name[0] == "r" and name != "result":
            yield outcome_event(int(name[1:]), value)


def _attempts(journal: Record) -> dict[int, tuple[AttemptView, ...]]:
    found: dict[int, list[AttemptView]] = {}
    for name, value in journal.items():
        if not name.startswith("a") or "." not in name:
            continue
        seq, _, attempt = name[1:].partition(".")
        head, _, error = value.partition(b"\n")
        at, begun, worker = head.decode().split("|")
        view = AttemptView(int(attempt), Failure.decode(error), worker, moment(begun), moment(at) or datetime.now(UTC))
        found.setdefault(int(seq), []).append(view)
    return {seq: tuple(sorted(views, key=lambda view: view.attempt)) for seq, views in found.items()}


def _step(
    seq: int,
    command: Command,
    opened: bytes | None,
    *,
    journal: Record,
    attempts: tuple[AttemptView, ...],
    registry: Registry,
) -> StepView:
    kind, arguments = _what(command, registry)
    due = moment(command.due_ms)
    if field := journal.get(f"r{seq}"):
        outcome = read_outcome(field)
        return _ended(seq, command, outcome, kind=kind, arguments=arguments, attempts=attempts, registry=registry)
    if opened is None:
        mark = journal.get(f"x{seq}", b"")
        if (number := answered_by(mark)) and (event := journal.get(f"e{number}")):
            return _answered(seq, command, other_event(event))
        state = _closed(command, mark)
        return StepView(seq, command.label or kind, kind, state, arguments, attempts=attempts, due=due)
    attempt, worker, _, place, begun, _ = opened.decode().split("|")
    return StepView(
        seq,
        command.label or kind,
        kind,
        _state(place),
        arguments,
        attempt=int(attempt),
        attempts=attempts,
        worker=worker,
        started=moment(begun),
        due=due,
    )


def _answered(seq: int, command: Command, event: Event) -> StepView:
    """Return a wait with the event that has answered it."""
    failed = event.status == "failed"
    return StepView(
        seq,
        command.label,
        "event",
        "failed" if failed else "completed",
        result=None if failed else unpack(event.payload),
        error=Failure.decode(event.payload) if failed else None,
        finished=moment(event.at_ms),
    )


def _closed(command: Command, mark: bytes) -> StepState:
    """Return the state of a command without an outcome that is not open; ``mark``: its field ``x<seq>``."""
    if command.kind in WITHOUT_OUTCOME or command.kind == "handler" or answered_by(mark) is not None:
        return "completed"
    return "detached" if command.detached and not mark else "canceled"


def answered_by(mark: bytes) -> int | None:
    """Return the number of the event that has answered a wait, from its field ``x<seq>``; None: none has."""
    _, _, what = mark.partition(b"|")[2].partition(b"|")
    word, _, event = what.partition(b"|")
    return int(event or 0) if word == b"answered" else None


_NOT_EMITTED: Final = b"1|||q:||0"
"""An open table's field of what will be in its queue presently."""


def _state(place: str) -> StepState:
    match place.partition("@")[0].partition(":")[0]:
        case "held":
            return "running"
        case "retries":
            return "retrying"
        case "q":
            return "queued"
        case _:
            return "waiting"


def _ended(
    seq: int,
    command: Command,
    outcome: Outcome,
    *,
    kind: str,
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None,
    attempts: tuple[AttemptView, ...],
    registry: Registry,
) -> StepView:
    result, error = None, None
    state: StepState = "completed"
    if outcome.status == "failed":
        state, error = "failed", Failure.decode(outcome.payload)
    elif outcome.status == "canceled":
        state = "canceled"
    elif outcome.payload:
        result = _result(command, outcome.payload, registry)
    return StepView(
        seq,
        command.label or kind,
        kind,
        state,
        arguments,
        result=result,
        error=error,
        attempt=outcome.attempt,
        attempts=attempts,
        worker=outcome.worker,
        started=moment(outcome.begun_ms),
        finished=moment(outcome.at_ms),
        due=moment(command.due_ms),
    )


def _what(  # noqa: PLR0911 - one a kind
    command: Command, registry: Registry
) -> tuple[str, tuple[tuple[Any, ...], dict[str, Any]] | None]:
    """Return a command's kind in people's words, and its arguments where they can be decoded."""
    match command.kind:
        case "timer":
            return "sleep", ((int(command.arguments) / 1000,), {})
        case "wait":
            return "event", None
        case "handler":
            return "update_handler", None
        case "value":
            return "value", ((unpack(command.arguments),), {})
        case "reply":
            return "reply", None
        case "local":
            return "local", None
        case "child" | "step":
            return _called(command, registry)


def _called(command: Command, registry: Registry) -> tuple[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """The same of a step or child; where its code is unknown or has changed, as plain values."""
    kind = "workflow" if command.kind == "child" else "step"
    try:
        if command.kind == "child":
            return kind, registry.get_workflow(command.target).decode_arguments(command.arguments)
        definition = registry.get_step(command.target)
        kind = definition.kind
        return kind, definition.decode_arguments(command.arguments)
    except (UnknownDefinition, InvalidArguments):
        return kind, _plain_arguments(command.arguments)


def _plain_arguments(data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not data:
        return (), {}
    args, *rest = unpack(data)
    return tuple(args), dict(rest[0]) if rest else {}


def _result(command: Command, payload: bytes, registry: Registry) -> Any:  # noqa: ANN401 - whatever it returned
    try:
        if command.kind == "child":
            return registry.get_workflow(command.target).decode_result(payload)
        return registry.get_step(command.target).decode_result(payload)
    except (UnknownDefinition, InvalidReturn):
        return unpack(payload)
