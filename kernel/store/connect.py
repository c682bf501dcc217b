"""Connect: from a URL to where connections come from; and one command for a person."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from redis.exceptions import RedisError, ResponseError

from kernel.errors import InvalidUrl, ServerUnreachable
from kernel.store.cluster import ClusterConnector
from kernel.store.lanes import CONNECT_S_MAX, Connector, ServerConnector
from kernel.store.link import LOST
from kernel.store.pump import refused
from kernel.store.replicated import ReplicatedConnector
from kernel.store.sentinel import SentinelConnector

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from kernel.store.memory_server import MemoryServer

COMMAND_S_MAX: Final = 60.0
"""How long a person's command may take."""


def connector(url: str) -> Connector:
    """Return the connector for a URL; nothing is connected yet.

    Raises:
        InvalidUrl: the scheme is none of redis, rediss, unix, redis+sentinel, redis+cluster, memory; or no address
            follows, or no number where the database's stands.
    """
    scheme = url.partition("://")[0]
    try:
        match scheme:
            case "redis" | "rediss":
                database = urlsplit(url).path.strip("/")
                if database and not database.isdecimal():  # redis-py would take database 0 in its place
                    raise InvalidUrl(url, f"{database!r} is no number of a database")
                return ServerConnector(url)
            case "unix":
                return ServerConnector(url)
            case "redis+sentinel":
                return SentinelConnector(url)
            case "redis+cluster":
                return ClusterConnector(url)
            case "memory":
                # fakeredis takes half a second to import; who has a server should not pay for it.
                from kernel.store.memory_lane import MemoryConnector  # noqa: PLC0415

                return MemoryConnector(url)
            case _:
                raise InvalidUrl(url, f"{scheme!r} is no scheme known here")
    except (ValueError, TypeError, RedisError) as error:
        raise InvalidUrl(url, str(error)) from error


def replicated(source: Connector) -> Connector:
    """Return the same connections, whose answers to script calls wait until a replica has what they tell of."""
    return ReplicatedConnector(source)


def drop_memory(url: str) -> None:
    """Forget an in-memory server and what it holds; the next user of its name finds it empty."""
    from kernel.memory import drop_memory_server  # noqa: PLC0415 - as above

    drop_memory_server(url)


def look_into_memory(url: str) -> MemoryServer:
    """Return the in-memory server at ``url`` with what it allows beyond a real one."""
    from kernel.store.memory_server import MemoryServer  # noqa: PLC0415 - as above

    return MemoryServer.at(url)


@contextlib.contextmanager
def virtual_memory_time(now_ms: Callable[[], int]) -> Generator[None]:
    """Let all in-memory servers of this process live at another time while the block runs: also what expires."""
    from kernel.store.memory_server import virtual_time  # noqa: PLC0415 - as above

    with virtual_time(now_ms):
        yield


async def run_command(url: str, command: str, *words: str) -> object:
    """Run one command of a person's on the server at ``url`` and return its reply, as redis-py reads it.

    In a Cluster it goes to the node that serves the second word as a key.

    Raises:
        InvalidUrl, ServerUnreachable: nothing was sent.
        ServerRefused: with the server's own words.
    """
    source = connector(url)
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            await source.start()
            lane = await source.open(words[0] if words else command)
        try:
            (reply,) = await lane.send([(command, *words)], reply_s=COMMAND_S_MAX)
        finally:
            await lane.close()
    except (*LOST, RedisError) as error:
        raise ServerUnreachable(url, str(error) or type(error).__name__) from error
    finally:
        await source.close()
    if isinstance(reply, ResponseError):
        raise refused(command, reply)
    return reply
