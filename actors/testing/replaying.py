"""Replay of a recorded history: its events go into the code of today, which must ask for the very same things."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from actors.definitions import DEFAULT_VERSION
from actors.determinism import Watch, install
from actors.errors import Failure, NondeterminismError
from actors.testing.recording import RecordedHistory
from actors.testing.strict import Violations, strictly
from actors.workflow import Instance, restarts_in
from actors.workflow.replay import show, show_end

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from actors.registry import Registry
    from kernel import End

_ENDED_FROM_OUTSIDE: Final = frozenset({"WorkflowTimedOut", "JournalTooLarge"})
"""Failures that the workflow's code has no part in."""


def replay_history(registry: Registry, history: RecordedHistory | str | Path, *, strict: bool = True) -> None:
    """Feed a recorded history into the workflow's code as it is now. Nothing is run and nothing is written.

    Args:
        registry: a manager, or another registry, with the workflow's code.
        history: what ``record_history`` returned, or the path of its file.
        strict: whether calls that no replay can repeat (the clock, randomness, I/O) are errors, wherever they are made.

    Raises:
        NondeterminismError: the code asks for something else, or ends otherwise, than recorded.
        DeterminismViolation: strict, and it asked for what cannot be repeated.
        TurnTooLong: it blocks for more than 2 s.
        UnknownDefinition: the workflow, or its version, is not registered.
    """
    if not isinstance(history, RecordedHistory):
        history = RecordedHistory.read(history)
    workflow = registry.get_workflow(history.workflow, history.version or DEFAULT_VERSION)
    instance = Instance(
        workflow=workflow,
        workflow_id=history.id,
        recorded=history.commands,
        restarts=restarts_in(history.events),
    )
    watching: AbstractContextManager[Violations] = strictly() if strict else nullcontext(Violations())
    guards = install()
    try:
        with watching as violations:
            _feed(instance, history, guards.watch, violations, workflow.site)
        _check_end(instance, history, workflow.site)
    finally:
        guards.close()
        instance.dispose()


def _feed(instance: Instance, history: RecordedHistory, watch: Watch, violations: Violations, site: str) -> None:
    for event in history.events:
        watch.feed(instance, event)
        if violations.first is not None:
            raise violations.first
    instance.check_complete()
    if len(instance.commands) > len(history.commands):
        seq = len(history.commands) + 1
        asked = instance.commands[seq - 1]
        raise NondeterminismError(
            f"workflow {history.id!r}: its code asks for {asked.label!r} as number {seq}, of "
            "which the recorded history has nothing: put the code back, or give the changed workflow a new version",
            seq=seq,
            was="nothing: it was not asked for then",
            now=show(asked, None),
            site=site,
        )


def _check_end(instance: Instance, history: RecordedHistory, site: str) -> None:
    end = instance.end
    if history.status in {"completed", "failed"}:
        if history.status == "failed" and _was_ended_from_outside(Failure.decode(history.result)):
            return
        if end is None or end.status != history.status:
            raise _other_end(history, "goes on" if end is None else f"ends as {end.status}", end, site)
        if end.status == "completed" and end.payload != history.result:
            raise _other_end(history, "returns something else", end, site)
    elif end is not None and history.status != "canceled":
        raise _other_end(history, f"ends as {end.status}", end, site)


def _was_ended_from_outside(failure: Failure) -> bool:
    """Tell it from a child's end of that kind which the code let through: that has a traceback."""
    return failure.error_type in _ENDED_FROM_OUTSIDE and not failure.traceback


def _other_end(history: RecordedHistory, now: str, end: End | None, site: str) -> NondeterminismError:
    return NondeterminismError(
        f"workflow {history.id!r}: it was recorded as {history.status}, with the code of today it {now}: "
        "put the code back, or give the changed workflow a new version",
        seq=len(history.commands) + 1,
        was=show_end(history.status, history.result),
        now="goes on: it waits for something else" if end is None else show_end(end.status, end.payload),
        site=site,
    )
