"""Compares what replayed code asks for with what its journal holds, and says how they differ."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from actors.errors import Failure
from actors.payload import unpack
from actors.starting import ChildOptions
from actors.workflow.errors import JournalMismatch
from actors.workflow.frames import author_site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.definitions import Definition
    from kernel import Command

_SHOWN_CHARACTERS_MAX = 400
_ADVICE = (
    "Put the code back as it was when this instance came here, or give the changed workflow a new version; "
    "the instance then goes on."
)


def differs(recorded: Command, asked: Command, definition: Definition[..., object] | None) -> bool:
    """Tell whether ``asked`` is something else than ``recorded``: by kind, target, label, a child's id, arguments."""
    if recorded.kind != asked.kind or recorded.target != asked.target or recorded.label != asked.label:
        return True
    if recorded.options != asked.options and recorded.kind == "child" and _child_id(recorded) != _child_id(asked):
        return True
    if recorded.arguments == asked.arguments:
        return False
    if asked.kind == "reply" and not asked.arguments.startswith(b"ok\n"):
        # The text of a traceback changes with every line of code above it.
        return recorded.arguments.partition(b"\n")[0] != asked.arguments.partition(b"\n")[0]
    options = getattr(definition, "options", None)
    return not getattr(options, "unstable_args", False)


def describe_difference(
    workflow_id: str, seq: int, recorded: Command | None, asked: Command, definition: Definition[..., object] | None
) -> JournalMismatch:
    """Return the error that shows both sides; called from within the author's call, whose line it names."""
    site = author_site()
    journal = "nothing: it was not asked for then" if recorded is None else show(recorded, definition)
    now = show(asked, definition)
    message = (
        f"workflow {workflow_id!r}: its code no longer fits its journal at step {seq} ({asked.label!r}).\n"
        f"  the journal has: {journal}\n"
        f"  the code asks for: {now}\n"
        f"  at {site or 'an unknown line'}\n{_ADVICE}"
    )
    return JournalMismatch(message, seq=seq, recorded=recorded, asked=asked, was=journal, now=now, site=site)


def describe_unkept(
    workflow_id: str, seq: int, kept: Command, asked: Command, definition: Definition[..., object] | None
) -> JournalMismatch:
    """Return the error for a command whose number has the kept outcome of another; for its line see above."""
    site, was, now = author_site(), show(kept, definition), show(asked, definition)
    same = kept._replace(arguments=asked.arguments, options=asked.options)
    only_arguments = asked.kind in {"step", "child"} and not differs(same, asked, definition)
    unstable = " If its arguments alone may differ, give it unstable_args=True." if only_arguments else ""
    message = (
        f"workflow {workflow_id!r}: the restart has kept the outcome of step {seq} ({kept.label!r}), and the code asks "
        f"for something else there.\n"
        f"  the kept outcome is of: {was}\n"
        f"  the code asks for: {now}\n"
        f"  at {site or 'an unknown line'}\n"
        f"To run it from there, cancel the instance, then restart(from_step={seq}). To use the outcome, put the code "
        f"back, so that it asks for the same whatever step.attempt is; the instance then goes on.{unstable}"
    )
    return JournalMismatch(message, seq=seq, recorded=kept, asked=asked, was=was, now=now, site=site)


def describe_missing(workflow_id: str, seq: int, recorded: Command, *, ended: str, site: str) -> JournalMismatch:
    """Return the error for a command that the journal holds and the code did not ask for.

    ``ended``: how the code ended before it, empty if it did not. ``site`` is where the workflow is defined.
    """
    was = show(recorded, None)
    now = f"nothing: the workflow {ended} before it" if ended else "nothing: it waits for something else"
    message = (
        f"workflow {workflow_id!r}: its code no longer fits its journal at step {seq} ({recorded.label!r}).\n"
        f"  the journal has: {was}\n"
        f"  the code asks for: {now}\n"
        f"  in the workflow at {site}\n{_ADVICE}"
    )
    return JournalMismatch(message, seq=seq, recorded=recorded, asked=None, was=was, now=now, site=site)


def show(command: Command, definition: Definition[..., object] | None) -> str:  # noqa: PLR0911 - one a kind
    """Return one line that says what ``command`` asks for, arguments decoded if ``definition`` is its own."""
    match command.kind:
        case "timer":
            return f"a timer of {command.arguments.decode()} ms"
        case "wait":
            return f"a wait for the event {command.target!r}"
        case "value":
            return f"the value {command.target!r} set to {_shorten(repr(unpack(command.arguments)))}"
        case "handler":
            return f"a handler of updates named {command.target!r}"
        case "reply":
            status, _, payload = command.arguments.partition(b"\n")
            said = f" {_shorten(repr(unpack(payload)))}" if status == b"ok" else f": {status.decode()}"
            return f"the reply to update {command.label!r} (event {command.target}){said}"
        case "local":
            return f"the marker {command.target!r}"
        case "step" | "child":
            named = "" if command.label == command.target else f" (named {command.label!r})"
            if command.kind == "child" and (chosen := _child_id(command)):
                named += f" (with the id {chosen!r})"
            return f"{command.kind} {command.target}({_arguments(command, definition)}){named}"


def show_end(status: str, payload: bytes) -> str:
    """Return one line that says how a workflow ended; its result decoded without annotations."""
    match status:
        case "completed":
            return f"completed with {_shorten(repr(unpack(payload) if payload else None))}"
        case "failed":
            failure = Failure.decode(payload)
            return f"failed with {failure.error_type}: {_shorten(failure.message)}"
        case "continued":
            return f"begins anew with ({_shorten(_as_written(*_plain(payload))) if payload else ''})"
        case _:
            return status


def _child_id(command: Command) -> str:
    return ChildOptions.decode(command.options).id


def _arguments(command: Command, definition: Definition[..., object] | None) -> str:
    data = command.arguments
    if not data:
        return ""
    # They need not fit the annotations of today, and the author's validators may raise anything.
    with suppress(Exception):
        if definition is not None and definition.name == command.target:
            return _shorten(_as_written(*definition.decode_arguments(data)))
    return _shorten(_as_written(*_plain(data)))


def _plain(data: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments without their annotations (see actors.signature for the encoding)."""
    encoded: list[Any] = unpack(data)
    return encoded[0], encoded[1] if len(encoded) > 1 else {}


def _as_written(args: Iterable[Any], kwargs: dict[str, Any]) -> str:
    return ", ".join([repr(value) for value in args] + [f"{name}={value!r}" for name, value in kwargs.items()])


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}…"
