"""``headrace watch``: one instance live, until it has ended."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.live import Live

from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import console, error_line, printable, shorten, when, write_json
from actors.cli.snapshots import as_object, as_table
from actors.results import Canceled, Completed, Failed, Stopped

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, AsyncIterator

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager
    from actors.views import Snapshot, StepView


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("watch", help="watch one workflow until it has ended; exit code 1 unless it completed")
    parser.add_argument("id", help="the workflow's id, as headrace list shows it")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=watch)


def watch(said: argparse.Namespace) -> int:
    """Follow an instance; a live table on a terminal, else a line for each change. 1: it did not complete."""
    last: list[Snapshot] = []

    async def inside(manager: WorkflowManager) -> None:
        async with aclosing(_noting(manager.handle(said.id).watch(), last)) as snapshots:
            if said.json:
                async for snapshot in snapshots:
                    write_json(as_object(snapshot))
            elif sys.stdout.isatty():
                await _follow_live(snapshots)
            else:
                await _follow_plainly(snapshots)

    connected(said, inside)
    return 1 if last and isinstance(last[-1].status, Failed | Canceled) else 0


async def _noting(snapshots: AsyncGenerator[Snapshot], last: list[Snapshot]) -> AsyncGenerator[Snapshot]:
    """Pass snapshots on; ``last`` keeps the last of them."""
    async with aclosing(snapshots):
        async for snapshot in snapshots:
            last[:] = [snapshot]
            yield snapshot


async def _follow_live(snapshots: AsyncIterator[Snapshot]) -> None:
    out = console()
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        last: Snapshot | None = None
        async for snapshot in snapshots:
            last = snapshot
            live.update(as_table(snapshot, errors=False), refresh=True)
        if last is not None:
            live.update(as_table(last), refresh=True)


async def _follow_plainly(snapshots: AsyncIterator[Snapshot]) -> None:
    seen: dict[int, str] = {}
    status = ""
    async for snapshot in snapshots:
        for step in snapshot.steps:
            line = _step_line(step)
            if seen.get(step.seq) != line:
                seen[step.seq] = line
                _say(line)
        line = _status_line(snapshot)
        if line != status:
            status = line
            _say(line)


def _say(line: str) -> None:
    print(f"{when(datetime.now(UTC))}  {line}", flush=True)


def _step_line(step: StepView) -> str:
    line = f"{step.seq} {printable(step.name)} ({step.kind}): {step.state}"
    if step.attempt > 1:
        line += f", attempt {step.attempt}"
    if step.error is not None:
        return f"{line}: {error_line(step.error)}"
    return line if step.result is None else f"{line}: {shorten(step.result)}"


def _status_line(snapshot: Snapshot) -> str:
    line = f"{printable(snapshot.id)}: {snapshot.status.type}"
    match snapshot.status:
        case Completed(result):
            return f"{line}: {shorten(result)}"
        case Failed(error) | Stopped(error):
            return f"{line}: {error_line(error)}"
        case _:
            return line
