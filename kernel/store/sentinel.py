"""Sentinel: connections to the primary that Sentinels name, asked anew for each connection; what they say is checked.

Sentinels are asked in turn, another one first each time: one that was cut off names a primary of the past.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import Sentinel as BlockingSentinel

from kernel.store.lanes import ASK_S_MAX, BLOCKING_SETTINGS, SETTINGS, Connector, connected
from kernel.store.link import LOST
from kernel.store.replies import listed

if TYPE_CHECKING:
    from redis import Redis as BlockingRedis

    from kernel.store.lanes import RedisLane

_BlockingSentinel: Final = cast("Any", BlockingSentinel)  # redis-py leaves it untyped
_PORT: Final = 26_379

Address = tuple[str, int]


class SentinelConnector(Connector):
    """The primary that Sentinels agree on: ``redis+sentinel://user:password@host:port,host:port/service/db``."""

    def __init__(self, url: str) -> None:
        """Keep where the Sentinels are. User and password are those of the primary.

        Raises:
            ValueError: a port or the database is no number.
        """
        self.url = url
        hosts, _, tail = url.partition("://")[2].partition("/")
        service, _, database = tail.partition("/")
        credentials, _, hosts = hosts.rpartition("@")
        user, _, password = credentials.partition(":")
        self._login: dict[str, Any] = {"db": int(database or 0), "username": user or None, "password": password or None}
        self._sentinels: list[Address] = [_address(host) for host in hosts.split(",")]
        self._service = service or "mymaster"
        self._turns = count()
        self._primary: Address | None = None
        self._clients: dict[Address, Redis] = {}

    async def start(self) -> None:
        """Ask who the primary is."""
        await self.refresh()

    async def refresh(self) -> None:
        """Ask who the primary is now, of the first Sentinel that answers.

        Raises:
            RedisError, OSError: none did, or none knows the service; what was known stays.
        """
        first = next(self._turns) % len(self._sentinels)
        failed: Exception | None = None
        for sentinel in (*self._sentinels[first:], *self._sentinels[:first]):
            try:
                async with asyncio.timeout(ASK_S_MAX):
                    self._primary = await self._named_by(sentinel)
            except (*LOST, RedisError) as error:
                failed = error
                continue
            return
        assert failed is not None
        raise failed

    async def _named_by(self, sentinel: Address) -> Address:
        host, port = sentinel
        client = Redis(host=host, port=port, **SETTINGS)
        lane = await connected(cast("Any", client.connection_pool).make_connection())
        try:
            (reply,) = await lane.send([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)])
        finally:
            await lane.close()
        if isinstance(reply, ResponseError):
            raise reply
        if reply is None:
            raise RedisConnectionError(f"the Sentinel at {host}:{port} knows no service {self._service!r}")
        found = listed(reply)
        return found[0].decode(), int(found[1])

    async def open(self, tag: str) -> RedisLane:  # noqa: ARG002 - one server serves every tag
        """Ask for the primary, connect, and make sure that it takes itself for one."""
        await self.refresh()
        lane = await connected(cast("Any", self._client().connection_pool).make_connection())
        try:
            (role,) = await lane.send([("ROLE",)])
            if isinstance(role, ResponseError) or listed(role)[0] != b"master":
                raise RedisConnectionError(f"{self._primary} was named as the primary and is none")
        except BaseException:
            await lane.close()
            raise
        return lane

    def node(self, tag: str) -> str:  # noqa: ARG002 - see open
        """There is one primary at a time."""
        return ""

    def client(self, tag: str) -> Redis:  # noqa: ARG002 - see open
        """Return the client of the primary that was named last."""
        return self._client()

    def _client(self) -> Redis:
        assert self._primary is not None, "start it first"
        if self._primary not in self._clients:
            host, port = self._primary
            self._clients[self._primary] = Redis(host=host, port=port, **SETTINGS | self._login)
        return self._clients[self._primary]

    def blocking_client(self) -> BlockingRedis:
        """Return a client of the primary for a thread."""
        settings = BLOCKING_SETTINGS | {"socket_timeout": ASK_S_MAX, "socket_connect_timeout": ASK_S_MAX}
        sentinel = _BlockingSentinel(self._sentinels, **settings)
        client: BlockingRedis = sentinel.master_for(self._service, **BLOCKING_SETTINGS | self._login)
        return client

    async def close(self) -> None:
        """Close the clients' connections."""
        for client in self._clients.values():
            await client.aclose()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":") if ":" in text else (text, "", "")
    return host or "127.0.0.1", int(port or _PORT)
