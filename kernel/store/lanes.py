"""Lanes: single connections to a Redis node, and where they come from. What is sent over them is others' business."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry as BlockingRetry

from kernel.store.pump import Unsendable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.store.link import Lane, Words

REPLY_S_MAX: Final = 5.0
"""A server that owes a reply for longer is taken for lost; the connection is made anew."""
CONNECT_S_MAX: Final = 5.0
ASK_S_MAX: Final = 1.0
"""How long a Sentinel, or a node of a Cluster, may take to tell who serves, before another is asked."""
SETTINGS: Final[dict[str, Any]] = {
    "protocol": 2,
    "decode_responses": False,
    "socket_connect_timeout": CONNECT_S_MAX,
    "socket_timeout": None,
    "driver_info": None,
    # Trying again is for those who use the connection: they ask first who serves now. (redis-py waits for seconds.)
    "retry": Retry(NoBackoff(), 0),
}
"""What every connection of redis-py is made with."""
BLOCKING_SETTINGS: Final[dict[str, Any]] = {
    **SETTINGS,
    "socket_timeout": REPLY_S_MAX,
    "retry": BlockingRetry(NoBackoff(), 0),
}
"""The same for threads."""


_pack: Final = cast("Callable[[Words], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


def pack_all(commands: Sequence[Words]) -> list[bytes]:
    """Return commands as they are sent. Raises Unsendable."""
    try:
        return [_pack(words) for words in commands]
    except Exception as error:
        raise Unsendable from error


class RedisLane:
    """A connection of redis-py, used as one pipeline at a time."""

    def __init__(self, connection: AbstractConnection) -> None:
        """Take over a connection that nobody else uses."""
        self._connection = connection

    async def send(self, commands: Sequence[Words], *, reply_s: float = REPLY_S_MAX) -> list[object]:
        """Send commands as one pipeline; error replies are values. ``reply_s``: how long all replies may take."""
        connection: Any = self._connection  # redis-py says nothing of what is read
        replies: list[object] = []
        packed = pack_all(commands)
        async with asyncio.timeout(reply_s):
            await connection.send_packed_command(packed)
            for _ in commands:
                try:
                    replies.append(await connection.read_response(disable_decoding=True, timeout=math.inf))
                except ResponseError as error:
                    replies.append(error)
        return replies

    async def close(self) -> None:
        """Close the socket without waiting for the other side."""
        await self._connection.disconnect(nowait=True)


class Connector(ABC):
    """Where connections come from: one server, a Sentinel's primary, the nodes of a Cluster, or memory."""

    url: str
    is_cluster = False
    is_memory = False

    @abstractmethod
    async def open(self, tag: str) -> Lane:
        """Open a new connection to the node that serves a tag."""

    @abstractmethod
    def node(self, tag: str) -> str:
        """Name the node that serves a tag; tags of one node may share a link."""

    @abstractmethod
    def client(self, tag: str) -> Redis:
        """Return redis-py's client for that node: for publish and subscribe, and for people."""

    @abstractmethod
    def blocking_client(self) -> BlockingRedis:
        """Return a new client for a thread beside the loop; close it when done."""

    async def start(self) -> None:  # noqa: B027 - most have no topology
        """Learn the topology, where there is one."""

    async def refresh(self) -> None:  # noqa: B027 - as above
        """Learn the topology anew, after a node said that a slot moved, or a connection broke."""

    @abstractmethod
    async def close(self) -> None:
        """Close all that the connector itself opened."""


class ServerConnector(Connector):
    """One server by TCP, TLS or unix socket."""

    def __init__(self, url: str) -> None:
        """``url``: redis://, rediss:// or unix://."""
        self.url = url
        self._pool: Any = ConnectionPool.from_url(url, **SETTINGS)
        self._client: Redis | None = None

    async def open(self, tag: str) -> Lane:  # noqa: ARG002 - one server serves every tag
        """Open a connection."""
        return await connected(self._pool.make_connection())

    def node(self, tag: str) -> str:  # noqa: ARG002 - see open
        """There is one node."""
        return ""

    def client(self, tag: str) -> Redis:  # noqa: ARG002 - see open
        """Return the client."""
        if self._client is None:
            self._client = Redis.from_url(self.url, **SETTINGS)
        return self._client

    def blocking_client(self) -> BlockingRedis:
        """Return a client for a thread."""
        return BlockingRedis.from_url(self.url, **BLOCKING_SETTINGS)

    async def close(self) -> None:
        """Close the client's connections."""
        if self._client is not None:
            await self._client.aclose()


async def connected(connection: Any) -> RedisLane:  # noqa: ANN401 - redis-py leaves its pools untyped
    """Connect what redis-py's pool has made, and take it over."""
    try:
        await connection.connect()
    except BaseException:
        # Cancelled, or refused after the socket was open: nobody else would close it.
        await connection.disconnect(nowait=True)
        raise
    return RedisLane(connection)
