"""``headrace cleanup``: delete everything of instances that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.bulk import ENDED
from actors.cli.errors import CommandError
from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import write_json
from actors.cli.selecting import add_bulk, is_bulk, run_bulk

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("cleanup", help="delete workflows that have ended")
    add_bulk(parser, ENDED)
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=cleanup)


def cleanup(said: argparse.Namespace) -> int:
    """Delete, or say why not."""
    if is_bulk(said):
        return run_bulk(said, "deleted", lambda manager, which: manager.cleanup_many(**which))

    async def inside(manager: WorkflowManager) -> bool:
        handle = manager.handle(said.id)
        # Asked first, so that an unknown id is told from one that still runs.
        await handle.status()
        return await handle.cleanup()

    if not connected(said, inside):
        raise CommandError(f"workflow {said.id!r} has not ended: wait for it, or end it by headrace cancel {said.id}")
    if said.json:
        write_json({"id": said.id, "deleted": True})
    else:
        print(f"{said.id}: deleted")
    return 0
