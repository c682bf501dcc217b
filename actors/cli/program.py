"""Program: parses the command line, runs a command, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import errno
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
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

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
    command = words[0] if words else ""
    try:
        said = _parser(words).parse_args(words)
        configure_logs(verbose=getattr(said, "verbose", False), worker=said.command == "worker")
        code = int(said.func(said) or OK)
        sys.stdout.flush()
        return code
    except (CommandError, HeadraceError, KernelError) as error:
        sys.stderr.write(f"headrace {command}: {one_line(str(error))}\n")
        return FAILED
    except Interrupted as waited:
        sys.stderr.write(f"headrace {command}: {one_line(str(waited))}\n")
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # whoever reads the output (`head`) has seen enough
        return OK
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _write_no_more()
        sys.stderr.write(f"headrace {command}: the output cannot be written: {error.strerror}; free room for it\n")
        return FAILED


def _write_no_more() -> None:
    """Let nothing more be flushed to where the output went, at the end of the process either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
