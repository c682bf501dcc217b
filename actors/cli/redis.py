"""``headrace redis``: the URL of the server in use, or one command on it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final, cast

from actors.cli.errors import CommandError
from actors.cli.options import IN_MEMORY, add_common
from actors.cli.output import write_json
from actors.manager import EMBEDDED_FOLDER
from kernel import EmbeddedServer, ServerRefused, connector, run_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.cli.options import Subparsers

_ENDLESS: Final = frozenset({"MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "SYNC", "PSYNC"})


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "redis",
        help="print the Redis server's URL, or run a Redis command",
        description="Without a command: print the URL of the server in use. With one: run it and print the reply.",
    )
    add_common(parser)
    parser.add_argument("--url", help="the Redis server; default: HEADRACE_URL, else this folder's embedded server")
    parser.add_argument(
        "--hold", action="store_true", help="keep the embedded server running until interrupted, for other programs"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="[COMMAND …]", help="such as: INFO server")
    parser.set_defaults(func=redis)


def redis(said: argparse.Namespace) -> int:
    """Print the URL, or the reply."""
    url = said.url or os.environ.get("HEADRACE_URL")
    if url and url.startswith(IN_MEMORY):
        raise CommandError(f"{url} is a server inside one process: there is nothing to connect to")
    words = cast("list[str]", said.words)
    if words and words[-1] == "--json":  # no argument of any command of Redis
        said.json = True
        words = words[:-1]
    if words and words[0].upper() in _ENDLESS:
        raise CommandError(
            f"{words[0].upper()} never ends: run redis-cli -s with the socket that headrace redis prints"
        )
    if url:
        connector(url)
        return _use(said, url, words, wait=None)
    with EmbeddedServer.open(EMBEDDED_FOLDER) as server:
        return _use(said, server.url, words, wait=_wait if said.hold else None)


def _use(said: argparse.Namespace, url: str, words: list[str], *, wait: Callable[[], None] | None) -> int:
    if words:
        try:
            reply = asyncio.run(run_command(url, *words))
        except ServerRefused as error:
            raise CommandError(f"Redis answers: {error.error}") from error
        if said.json:
            write_json({"reply": _text(reply)})
        else:
            _print(reply)
    elif said.json:
        write_json({"url": url})
    else:
        print(url, flush=True)
    if wait is not None:
        wait()
    return 0


def _wait() -> None:
    """Wait for SIGINT or SIGTERM."""
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _text(reply: object) -> object:
    """Return a reply with text for bytes."""
    if isinstance(reply, bytes):
        return reply.decode(errors="backslashreplace")
    if isinstance(reply, list):
        return [_text(item) for item in cast("list[object]", reply)]
    return reply


def _print(reply: object, indent: str = "") -> None:
    """Print a reply as redis-cli does: items numbered, text as it is."""
    if not isinstance(reply, list):
        text = "(nil)" if reply is None else str(_text(reply))
        print(f"{indent}{text}")
        return
    items = cast("list[object]", reply)
    if not items:
        print(f"{indent}(empty)")
    for number, item in enumerate(items, 1):
        if isinstance(item, list):
            print(f"{indent}{number})")
            _print(cast("object", item), f"{indent}   ")
        else:
            print(f"{indent}{number}) {'(nil)' if item is None else _text(item)}")
