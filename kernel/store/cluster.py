"""Cluster: connections to the nodes of a Redis Cluster, and which of them serves which slot. No call is sent from here.

The table of slots is asked of any node that answers, another one each time: one that was cut off tells the past.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

from redis.asyncio import Redis
from redis.cluster import ClusterNode as BlockingNode
from redis.cluster import RedisCluster as BlockingCluster
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from kernel.store.lanes import ASK_S_MAX, BLOCKING_SETTINGS, SETTINGS, Connector, connected
from kernel.store.link import LOST

if TYPE_CHECKING:
    from redis import Redis as BlockingRedis

    from kernel.store.lanes import RedisLane

_PORT: Final = 6379

_BlockingNode: Final = cast("Any", BlockingNode)  # redis-py leaves these untyped, or nearly
_BlockingCluster: Final = cast("Any", BlockingCluster)

Row = tuple[int, int, str]
"""First and last slot, and the node that serves them, ``host:port``."""


class ClusterConnector(Connector):
    """A Redis Cluster: ``redis+cluster://user:password@host:port,host:port``. Some of its nodes are enough."""

    is_cluster = True

    def __init__(self, url: str) -> None:
        """Keep the nodes to ask first.

        Raises:
            ValueError: no address follows.
        """
        self.url = url
        credentials, _, hosts = url.partition("://")[2].partition("/")[0].rpartition("@")
        user, _, password = credentials.partition(":")
        self._login: dict[str, Any] = {"username": user or None, "password": password or None}
        # A dict for its order; nodes that were heard of since come behind.
        self._nodes = dict.fromkeys(_address(host) for host in hosts.split(","))
        self._rows: list[Row] = []
        self._served: dict[str, str] = {}
        """Of each hash tag that was asked for: its node. There are few, and they are asked for at every call."""
        self._turns = count()
        self._clients: dict[str, Redis] = {}

    async def start(self) -> None:
        """Read the slots' owners."""
        await self.refresh()

    async def refresh(self) -> None:
        """Read the slots' owners again, of the first node that answers.

        Raises:
            RedisError, OSError: none did; what was known stays.
        """
        nodes = list(self._nodes)
        first = next(self._turns) % len(nodes)
        failed: Exception | None = None
        for node in (*nodes[first:], *nodes[:first]):
            try:
                async with asyncio.timeout(ASK_S_MAX):
                    self._learn(await self._told_by(node))
            except (*LOST, RedisError) as error:
                failed = error
                continue
            return
        assert failed is not None
        raise failed

    async def _told_by(self, node: str) -> list[Row]:
        lane = await self._open(node)
        try:
            (reply,) = await lane.send([("CLUSTER", "SLOTS")])
        finally:
            await lane.close()
        if isinstance(reply, ResponseError):
            raise reply
        rows = cast("list[tuple[int, int, tuple[bytes | None, int]]]", reply)
        own = node.rpartition(":")[0]
        return [(first, last, f"{_host(primary[0]) or own}:{primary[1]}") for first, last, primary, *_ in rows]

    def _learn(self, rows: list[Row]) -> None:
        if rows:
            self._rows = rows
            self._served.clear()
        for row in rows:
            self._nodes.setdefault(row[2])

    def node(self, tag: str) -> str:
        """Return host:port of the primary of the tag's slot, as last heard; of some node if nobody was heard of.

        That one will say that it does not serve the slot, and the call waits.
        """
        hashed = _hashed(tag)
        found = self._served.get(hashed)
        if found is None:
            slot = key_slot(hashed.encode())
            found = next((node for first, last, node in self._rows if first <= slot <= last), next(iter(self._nodes)))
            self._served[hashed] = found
        return found

    async def open(self, tag: str) -> RedisLane:
        """Connect to the primary of the tag's slot."""
        return await self._open(self.node(tag))

    async def _open(self, node: str) -> RedisLane:
        return await connected(cast("Any", self._client(node).connection_pool).make_connection())

    def client(self, tag: str) -> Redis:
        """Return the client of the primary of the tag's slot."""
        return self._client(self.node(tag))

    def _client(self, node: str) -> Redis:
        if node not in self._clients:
            host, _, port = node.rpartition(":")
            self._clients[node] = Redis(host=host, port=int(port), **SETTINGS | self._login)
        return self._clients[node]

    def blocking_client(self) -> BlockingRedis:
        """Return a client of the whole Cluster for a thread; it asks any of the nodes for the slots' owners."""
        nodes = [_BlockingNode(host, int(port)) for host, _, port in (node.rpartition(":") for node in self._nodes)]
        settings = BLOCKING_SETTINGS | self._login | {"socket_connect_timeout": ASK_S_MAX}
        client: BlockingRedis = _BlockingCluster(startup_nodes=nodes, require_full_coverage=False, **settings)
        return client

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()


def _address(text: str) -> str:
    host, _, port = text.rpartition(":") if ":" in text else (text, "", "")
    return f"{host or '127.0.0.1'}:{int(port or _PORT)}"


def _hashed(key: str) -> str:
    """Return the part of a key that decides on its slot."""
    _, opened, rest = key.partition("{")
    inner, closed, _ = rest.partition("}")
    return inner if opened and closed and inner else key


def _host(told: bytes | None) -> str:
    """Return a host as a node tells it; empty where it does not know its own."""
    host = (told or b"").decode()
    return "" if host == "?" else host
