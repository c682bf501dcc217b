"""``headrace workers``: who works in a namespace, on what, and whether they beat."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from actors.cli.options import add_common, add_connection, connected, seconds
from actors.cli.output import console, counted, printable, table, write_json
from actors.cli.output import seconds as length
from actors.fleet import read_workers

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.fleet import WorkerView
    from actors.manager import WorkflowManager


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("workers", help="show the workers: where they run, on what, whether they beat")
    parser.add_argument(
        "--watch", type=seconds, metavar="SECONDS", help="how long to wait for heartbeats (default: 1.5 of their beats)"
    )
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=workers)


def workers(said: argparse.Namespace) -> int:
    """Print a line for each worker."""

    async def inside(manager: WorkflowManager) -> tuple[list[WorkerView], float]:
        return await read_workers(await manager.store(), watch_s=said.watch)

    found, watched_s = connected(said, inside)
    if said.json:
        for view in found:
            write_json(view)
        return 0
    if not found:
        print(f"no workers in {said.namespace!r}: start one with headrace worker module:manager")
        return 0
    _print(found)
    silent = sum(not view.beats and not view.gone for view in found)
    if silent:
        print(
            f"{counted(silent, 'worker')} without a heartbeat in {watched_s:.1f} s: dead, stuck or cut off; the others "
            "take over what it has after its timeout"
        )
    return 0


def _heartbeat(view: WorkerView) -> Text:
    if view.gone:
        return Text("gone", style="red")
    return Text("beats", style="green") if view.beats else Text("silent", style="red")


def _print(found: list[WorkerView]) -> None:
    shown = table("worker", "host", "pid", "python", "heartbeat", "up", "running", "queues", "workflows")
    now = datetime.now(UTC)
    for view in found:
        shown.add_row(
            view.id[:8],
            printable(view.host),
            str(view.pid),
            view.python,
            _heartbeat(view),
            length(view.started, now),
            f"{view.running} of {view.concurrency}",
            ", ".join(view.queues),
            str(len(view.workflows)),
        )
    console().print(shown)
