"""``headrace start``: start an instance, and wait for its result if asked to."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

from actors.cli.errors import CommandError, Interrupted
from actors.cli.loading import load, manager_of
from actors.cli.options import add_common, refuse_memory, run, seconds
from actors.cli.output import as_json, write_json
from actors.definitions import Workflow
from actors.errors import HeadraceError
from actors.manager import WorkflowManager

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers

_EXAMPLE = """
examples:
  headrace start shop.flows:manager checkout '{"cart_id": "c-1"}' --id order-7 --wait
  headrace start shop.flows:checkout '["c-1"]'
"""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from argparse import RawDescriptionHelpFormatter  # noqa: PLC0415 - used here alone

    parser = commands.add_parser(
        "start", help="start a workflow", epilog=_EXAMPLE, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("path", help="module:manager, then the workflow's name; or module:workflow")
    parser.add_argument("words", nargs="*", metavar="[NAME] [ARGUMENTS]", help="ARGUMENTS: a JSON object or array")
    parser.add_argument("--id", help="the instance's id; the same id is the same instance, started once")
    parser.add_argument("--wait", action="store_true", help="wait until it has ended and print its result")
    parser.add_argument("--timeout", type=seconds, help="how long --wait waits, in seconds; it goes on meanwhile")
    add_common(parser)
    parser.set_defaults(func=start, refuse=parser.error)


def start(said: argparse.Namespace) -> int:
    """Start; print the id, or the result."""
    if said.timeout is not None and not said.wait:
        said.refuse("--timeout is how long --wait waits: add --wait, or leave --timeout out")
    manager, workflow, text = _what(said.path, said.words)
    refuse_memory(manager)
    args, kwargs = read_arguments(text)
    if said.id is not None:
        workflow = workflow.with_options(id=said.id)
    call = workflow.bind(*args, **kwargs)

    started: list[str] = []

    async def inside() -> None:
        (handle,) = await manager.start_many([call])
        started.append(handle.id)
        show = _show(manager, handle.id)
        if not said.wait:
            _tell(said, handle.id, {"id": handle.id, "workflow": workflow.name})
            return
        try:
            result = await handle.result(timeout=said.timeout)
        except TimeoutError:
            raise CommandError(
                f"workflow {handle.id!r} has not ended within {said.timeout:g} s; it goes on: see {show}, and "
                "whether a worker runs"
            ) from None
        except HeadraceError as error:
            raise CommandError(f"workflow {handle.id!r}: {error} (see {show})") from error
        _tell(said, as_json(result), {"id": handle.id, "workflow": workflow.name, "result": result})

    try:
        run(manager, inside)
    except KeyboardInterrupt:
        if not started:
            raise
        (workflow_id,) = started
        raise Interrupted(
            f"workflow {workflow_id!r} has not ended; it goes on: see {_show(manager, workflow_id)}"
        ) from None
    return 0


def _show(manager: WorkflowManager, workflow_id: str) -> str:
    """Return the command that shows an instance of this manager."""
    default = os.environ.get("HEADRACE_NAMESPACE") or "default"
    elsewhere = f" --namespace {manager.namespace}" if manager.namespace != default else ""
    return f"headrace show {workflow_id}{elsewhere}"


def _tell(said: argparse.Namespace, text: str, facts: dict[str, Any]) -> None:
    if said.json:
        write_json(facts)
    else:
        print(text)


def _what(path: str, words: list[str]) -> tuple[WorkflowManager, Workflow[..., Any], str]:
    """Return manager, workflow and the arguments' text."""
    module, found = load(path)
    if isinstance(found, WorkflowManager):
        if not words:
            known = ", ".join(sorted({flow.name for flow in found.workflows})) or "none"
            raise CommandError(f"{path!r} is a manager: name the workflow after it (it has: {known})")
        name, *rest = words
        manager, workflow = found, found.get_workflow(name)
    elif isinstance(found, Workflow):
        workflow = cast("Workflow[..., Any]", found)
        manager, rest = manager_of(module, workflow, path), words
    else:
        raise CommandError(f"{path!r} is a {type(found).__name__}: name a WorkflowManager or a workflow")
    if len(rest) > 1:
        raise CommandError(f"unexpected {rest[1]!r}: give all arguments as one JSON object or array, in quotes")
    return manager, workflow, rest[0] if rest else "[]"


def read_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments: a JSON array, or an object. Raises CommandError."""
    try:
        value = cast("dict[str, Any] | list[Any] | str | float | None", json.loads(text))
    except ValueError as error:
        raise CommandError(
            f"the arguments {text!r} are not JSON ({error}): give an object in quotes, "
            """such as '{"cart_id": "c-1"}', or an array"""
        ) from None
    if isinstance(value, dict):
        return [], value
    if isinstance(value, list):
        return value, {}
    raise CommandError(f"the arguments {text!r} are neither a JSON object nor an array: write [{text}]")
