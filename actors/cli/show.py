"""``headrace show``: one instance: status, steps with attempts and times, errors."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import console, write_json
from actors.cli.snapshots import as_object, as_table
from actors.results import InProgress

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager
    from actors.views import Snapshot


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("show", help="show one workflow with its steps")
    parser.add_argument("id", help="the workflow's id, as headrace list shows it")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=show)


def show(said: argparse.Namespace) -> int:
    """Print an instance as it is now."""

    async def inside(manager: WorkflowManager) -> Snapshot:
        handle = manager.handle(said.id)
        async with aclosing(handle.watch()) as snapshots:
            snapshot = await anext(snapshots)
        if isinstance(snapshot.status, InProgress):
            status = await handle.status()
            if isinstance(status, InProgress):
                snapshot = replace(snapshot, status=replace(snapshot.status, waiting=status.waiting))
        return snapshot

    snapshot = connected(said, inside)
    if said.json:
        write_json(as_object(snapshot))
    else:
        console().print(as_table(snapshot))
    return 0
