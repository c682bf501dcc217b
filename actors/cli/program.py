"""Program: parses the command line, runs a command, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, NoReturn

from actors.cli.errors import CommandError, Interrupted
from actors.cli.logs import configure_logs
from actors.cli.output import one_line
from actors.errors import HeadraceError
from kernel import KernelError

if TYPE_CHECKING:
    from collections.abc import Sequence

OK: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130

_GROUPS: Final = (
    "demo", "worker", "start", "list", "show", "history", "watch", "send-event", "cancel", "restart", "resume",
    "cleanup", "queues", "workers", "doctor", "dead", "key", "check", "replay", "bench", "redis",
)  # fmt: skip
"""The commands, in the order of the help. Each has a module of its name."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. ``arguments``: without the program's name; None: those of the process."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    said = _parser(words).parse_args(words)
    configure_logs(verbose=getattr(said, "verbose", False), worker=said.command == "worker")
    try:
        return int(said.func(said) or OK)
    except (CommandError, HeadraceError, KernelError) as error:
        sys.stderr.write(f"headrace {said.command}: {one_line(str(error))}\n")
        return FAILED
    except Interrupted as waited:
        sys.stderr.write(f"headrace {said.command}: {one_line(str(waited))}\n")
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever reads the output (`head`) has seen enough. Nothing may be flushed there any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser(words: Sequence[str]) -> Parser:
    """Return the parser: with all commands, or with the one that is meant, which alone is then imported."""
    parser = Parser(
        prog="headrace", description="Durable workflows in ordinary async Python, on Redis and nothing else."
    )
    parser.add_argument("--version", action="version", version=f"headrace {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for group in words[:1] if words and words[0] in _GROUPS else _GROUPS:
        importlib.import_module(f"actors.cli.{group.replace('-', '_')}").register(commands)
    return parser


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "(not installed)"
