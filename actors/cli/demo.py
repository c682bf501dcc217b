"""``headrace demo``: real files through durable workflows, with a worker killed in the middle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.cli.options import positive

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers

COUNT: Final = 24


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="see it work: real files, two workers, one of them killed in the middle",
        description=(
            "Starts a Redis server of its own and two workers, runs one workflow for each text file of a folder, kills "
            "a worker in the middle, and checks that nothing was lost and nothing was done twice."
        ),
    )
    parser.add_argument("--folder", type=Path, help="whose text files to take (default: this project's documents)")
    parser.add_argument("--count", type=positive, default=COUNT, help=f"how many files at most (default: {COUNT})")
    parser.add_argument("--no-kill", action="store_true", help="let both workers live")
    parser.add_argument("--keep", action="store_true", help="leave the workflows and totals in Redis")
    parser.add_argument("--url", help="the Redis server; default: HEADRACE_URL, else the embedded one of this folder")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end instead of tables")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more to stderr")
    parser.set_defaults(func=demo)


def demo(said: argparse.Namespace) -> int:
    """Run it; exit code 1 if the check fails."""
    # Imported here: other commands need not wait for it.
    from actors.demo import DemoSettings, run_demo  # noqa: PLC0415

    settings = DemoSettings(
        folder=said.folder, count=said.count, kill=not said.no_kill, url=said.url, json=said.json, keep=said.keep
    )
    return run_demo(settings, live=sys.stdout.isatty() and not said.json)
