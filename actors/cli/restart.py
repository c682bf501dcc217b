"""``headrace restart``: let instances that have ended run again from one of their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.bulk import ENDED
from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import write_json
from actors.cli.selecting import add_bulk, is_bulk, run_bulk

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("restart", help="let workflows that have ended run again")
    add_bulk(parser, ENDED)
    parser.add_argument(
        "--from-step",
        metavar="STEP",
        help="the step's number or name, as headrace show has it (default: the first that failed or is unfinished)",
    )
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=restart)


def restart(said: argparse.Namespace) -> int:
    """Restart, or say why not."""
    if is_bulk(said):
        if said.from_step is not None:
            said.refuse("--from-step goes with an id")
        return run_bulk(said, "restarted", lambda manager, which: manager.restart_many(**which))

    async def inside(manager: WorkflowManager) -> None:
        step: str | None = said.from_step
        await manager.handle(said.id).restart(from_step=int(step) if step and step.isdecimal() else step)

    connected(said, inside)
    if said.json:
        write_json({"id": said.id, "restarted": True})
    else:
        print(f"{said.id}: restarted")
    return 0
