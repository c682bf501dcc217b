"""``headrace resume``: let a stopped instance try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.cli.errors import CommandError
from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import write_json

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("resume", help="let a stopped workflow try again")
    parser.add_argument("id", help="the workflow's id, as headrace list --status stopped shows it")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=resume)


def resume(said: argparse.Namespace) -> int:
    """Resume, or say that it is not stopped."""

    async def inside(manager: WorkflowManager) -> bool:
        return await manager.handle(said.id).resume()

    if not connected(said, inside):
        raise CommandError(
            f"workflow {said.id!r} is not stopped, so there is nothing to resume: see headrace show {said.id}"
        )
    if said.json:
        write_json({"id": said.id, "resumed": True})
    else:
        print(f"{said.id}: resumed")
    return 0
