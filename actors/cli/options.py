"""Options that several commands share, and the manager of those that need no code."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import TYPE_CHECKING, Final, TypeVar

from actors.cli.errors import CommandError
from actors.cli.loading import load_codec
from actors.manager import WorkflowManager
from kernel import CodecMissing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

Subparsers = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it

IN_MEMORY: Final = "memory://"


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of tables")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more to stderr")


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add where the workflows are, for commands that need no code."""
    parser.add_argument(
        "--url", help="the Redis server; default: HEADRACE_URL, else the embedded server of this folder"
    )
    parser.add_argument(
        "--namespace",
        default=os.environ.get("HEADRACE_NAMESPACE") or "default",
        help="the deployment's name in that Redis; default: HEADRACE_NAMESPACE, else default",
    )
    parser.add_argument(
        "--codec", metavar="MODULE:NAME", help="what payloads pass through: a codec, or a manager that has one"
    )


def connected(said: argparse.Namespace, use: Callable[[WorkflowManager], Awaitable[T]]) -> T:
    """Use a manager without code, connected as the options say, and close it. It makes no namespace."""
    codec = None if said.codec is None else load_codec(said.codec)
    manager = WorkflowManager(said.url, namespace=said.namespace, codec=codec)
    manager.founds = False
    refuse_memory(manager)
    try:
        return run(manager, lambda: use(manager))
    except CodecMissing as error:
        raise CommandError(
            f"what {error.address.partition('/')[2]!r} holds was written through a codec: add --codec MODULE:NAME, the "
            "codec or the manager that has it, such as --codec shop.flows:manager"
        ) from None


def run(manager: WorkflowManager, use: Callable[[], Awaitable[T]]) -> T:
    """Run something that uses the manager, which connects then, in an event loop of its own."""

    async def inside() -> T:
        try:
            return await use()
        finally:
            await manager.close()

    return asyncio.run(inside())


def refuse_memory(manager: WorkflowManager) -> None:
    """Refuse a server that lives in this process alone."""
    if manager.url is not None and manager.url.startswith(IN_MEMORY):
        raise CommandError(
            f"{manager.url} is a server inside one process, which no other sees: give the URL of a Redis server "
            "(--url, HEADRACE_URL, or the manager's), or none for the embedded one"
        )


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, 1 or more")
    return number


def seconds(text: str) -> float:
    """Read a length of time in seconds."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give seconds, 0 or more")
    return number
