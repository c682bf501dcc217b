"""``headrace check``: what in the code of workflows a replay may not repeat, with file and line. Runs no workflow."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from actors.checks import check_workflow, collecting
from actors.cli.errors import CommandError
from actors.cli.loading import load
from actors.cli.options import add_common
from actors.cli.output import printable, write_json
from actors.definitions import Workflow
from actors.registry import Registry

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from actors.checks import Finding
    from actors.cli.options import Subparsers

Found = tuple["Finding", str]
"""A finding, and the name of a workflow that runs the line."""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check", help="find what a replay may not repeat in the code of workflows; exit code 1 if there is any"
    )
    parser.add_argument(
        "path", help="module, module:manager or module:workflow, such as shop.flows; a module: all in it"
    )
    add_common(parser)
    parser.set_defaults(func=check)


def check(said: argparse.Namespace) -> int:
    """Print one line for each finding; return 1 if there is any."""
    with collecting():
        # Every module has a name: what is before the colon is then loaded with the same words for what is missing.
        module, found = load(said.path if ":" in said.path else f"{said.path}:__name__")
    workflows = _workflows(module, found, said.path)
    findings: dict[Finding, str] = {}
    for workflow in workflows:
        for finding in check_workflow(workflow.function):
            findings.setdefault(finding, workflow.name)
    for finding, name in sorted(findings.items()):
        if said.json:
            write_json({**finding._asdict(), "workflow": name})
        else:
            print(printable(str(finding)))
    if not said.json:
        print(f"{len(findings)} found in {len(workflows)} workflow{'s' if len(workflows) != 1 else ''}")
    return 1 if findings else 0


def _workflows(module: ModuleType, found: object, path: str) -> list[Workflow[..., Any]]:
    """Return the workflows that a path means. Raises CommandError if there are none."""
    candidates = [found] if ":" in path else list(vars(module).values())
    # One function under several versions or options is checked once.
    flows: dict[object, Workflow[..., Any]] = {}
    for candidate in candidates:
        listed = candidate.workflows if isinstance(candidate, Registry) else (candidate,)
        for flow in listed:
            if isinstance(flow, Workflow):
                known = cast("Workflow[..., Any]", flow)
                flows.setdefault(inspect.unwrap(known.function), known)
    if not flows:
        raise CommandError(f"{path!r} has no workflows: name a module or manager that has, such as shop.flows")
    return list(flows.values())
