"""Snapshots as people and programs read them: shared by ``show`` and ``watch``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from actors.cli.output import as_json, error_line, printable, seconds, shorten, state, table, when
from actors.definitions import DEFAULT_VERSION
from actors.results import Completed, Failed, InProgress, Scheduled, Stopped

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actors.views import Snapshot, StepView


def as_object(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as an object for JSON."""
    return asdict(snapshot)


def as_table(snapshot: Snapshot, *, errors: bool = True) -> RenderableType:
    """Return a snapshot as people read it; ``errors``: with the tracebacks."""
    parts: list[RenderableType] = [_head(snapshot)]
    if snapshot.steps:
        parts += [Text(), _steps(snapshot.steps)]
    parts += [Text(f"{key} = {shorten(value)}") for key, value in snapshot.values.items()]
    if errors:
        parts += _errors(snapshot)
    return Group(*parts)


def _head(snapshot: Snapshot) -> Text:
    status = snapshot.status
    head = Text.assemble((snapshot.id, "bold"), "  ", printable(snapshot.workflow), "  ", state(status.type))
    match status:
        case Completed(result):
            head.append(f"  {shorten(result)}")
        case Failed(error) | Stopped(error):
            head.append(f"  {error_line(error)}")
        case InProgress(waiting=waiting) if waiting:
            head.append(f"  {printable(waiting)}")
        case Scheduled(at):
            head.append(f"  starts {when(at)}")
        case _:
            pass
    head.append(f"\nstarted {when(snapshot.created)}")
    if snapshot.ended is not None:
        head.append(f", ended {when(snapshot.ended)}, took {seconds(snapshot.created, snapshot.ended)}")
    if snapshot.version != DEFAULT_VERSION:
        head.append(f", version {printable(snapshot.version)}")
    if snapshot.tags:
        head.append("\ntags " + printable(", ".join(f"{key}={value}" for key, value in snapshot.tags.items())))
    return head


def _steps(steps: tuple[StepView, ...]) -> RenderableType:
    shown = table("#", "step", "kind", "state", "attempts", "started", "took", "worker", "arguments", "result")
    for step in steps:
        shown.add_row(
            str(step.seq),
            shorten(step.name),
            step.kind,
            state(step.state),
            str(step.attempt) if step.kind not in {"sleep", "event"} else "",
            when(step.started),
            seconds(step.started, step.finished),
            step.worker[:8],
            _arguments(step),
            _outcome(step),
        )
    return shown


def _arguments(step: StepView) -> str:
    if step.arguments is None:
        return ""
    args, kwargs = step.arguments
    if step.kind == "sleep":
        return f"{args[0]:g} s"
    words = [as_json(value) for value in args] + [f"{key}={as_json(value)}" for key, value in kwargs.items()]
    return shorten(", ".join(words), 40)


def _outcome(step: StepView) -> str:
    if step.error is not None:
        return error_line(step.error)
    if step.state == "completed":
        return "" if step.result is None else shorten(step.result, 40)
    if step.attempts:
        return f"attempt {step.attempts[-1].attempt}: {error_line(step.attempts[-1].error)}"
    if step.state != "waiting":
        return ""
    if step.due is None:
        return f"waits for a permit of the pool {step.pool}" if step.pool else ""
    return f"due {when(step.due)}"


def _errors(snapshot: Snapshot) -> list[RenderableType]:
    """Return failed attempts, and the traceback of what ended it."""
    parts: list[RenderableType] = []
    for step in snapshot.steps:
        parts += [
            Text(
                f"step {step.seq} {printable(step.name)}, attempt {attempt.attempt}, {when(attempt.finished)}: "
                f"{error_line(attempt.error)}"
            )
            for attempt in step.attempts
        ]
    if isinstance(snapshot.status, Failed | Stopped) and snapshot.status.error.traceback:
        lines = snapshot.status.error.traceback.rstrip().splitlines()
        parts += [Text(), Text("\n".join(printable(line) for line in lines), style="dim")]
    return [Text(), *parts] if parts else []
