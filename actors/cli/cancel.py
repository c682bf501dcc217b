"""``headrace cancel``: end instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.bulk import LIVE
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
    parser = commands.add_parser("cancel", help="cancel workflows")
    add_bulk(parser, LIVE)
    parser.add_argument(
        "--cleanup",
        action="store_true",
        help="let the workflow's finally blocks and compensations run first; to end it without them, cancel without",
    )
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=cancel)


def cancel(said: argparse.Namespace) -> int:
    """Cancel, or say that it is too late."""
    if is_bulk(said):
        return run_bulk(said, "canceled", lambda manager, which: manager.cancel_many(cleanup=said.cleanup, **which))

    async def inside(manager: WorkflowManager) -> bool:
        handle = manager.handle(said.id)
        done = await handle.cancel(cleanup=said.cleanup)
        if not done:
            await handle.status()  # raises, if it has not ended but is damaged
        return done

    if not connected(said, inside):
        raise CommandError(f"workflow {said.id!r} had ended before: see headrace show {said.id}")
    if said.json:
        write_json({"id": said.id, "canceled": True, "cleanup": said.cleanup})
    else:
        print(f"{said.id}: {'asked to clean up and end' if said.cleanup else 'canceled'}")
    return 0
