"""Lanes to a Redis server in this process (``memory://``), for tests: the same calls, nothing durable."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from fakeredis import FakeAsyncRedis, FakeServer, FakeStrictRedis
from redis.exceptions import ResponseError

from kernel.memory import memory_client, memory_server
from kernel.store.lanes import REPLY_S_MAX, Connector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis

    from kernel.store.link import Lane, Words

_waiting: Final[WeakKeyDictionary[FakeServer, dict[asyncio.Future[None], int]]] = WeakKeyDictionary()
"""Blocked reads, with the number of their coming: as on a real server, who has waited longest is served first."""
_arrivals: Final = count()


class MemoryLane:
    """A connection to a server in this process. A blocking read waits for any command of another lane."""

    def __init__(self, server: FakeServer) -> None:
        """Open a connection of its own, so that WATCH works as on a real one."""
        self._server = server
        # Without a timeout: redis-py enforces it by wait_for, which on Python 3.11 may swallow a cancellation.
        self._redis: Any = FakeAsyncRedis(server=server, protocol=2, single_connection_client=True, socket_timeout=None)
        self._redis.response_callbacks.clear()

    async def send(self, commands: Sequence[Words], *, reply_s: float = REPLY_S_MAX) -> list[object]:
        """Send commands one after another; error replies are values."""
        replies: list[object] = []
        for words in commands:
            if "BLOCK" in words[:8]:
                replies.append(await self._blocking(list(words), reply_s))
                continue
            replies.append(await self._one(words))
        waiting = _waiting.pop(self._server, {})
        for future in sorted(waiting, key=waiting.__getitem__):
            if not future.done():
                future.get_loop().call_soon_threadsafe(_wake, future)
        return replies

    async def _one(self, words: Sequence[object]) -> object:
        try:
            return await self._redis.execute_command(*words)
        except ResponseError as error:
            return error

    async def _blocking(self, words: list[str | bytes | int | float], reply_s: float) -> object:
        at = words.index("BLOCK")
        limit_s = min(int(words[at + 1]) / 1000, reply_s)
        del words[at : at + 2]
        deadline = asyncio.get_running_loop().time() + limit_s
        arrival = next(_arrivals)
        while True:
            # In the waiting room before looking: what comes between the look and the wait is then not missed.
            future = asyncio.get_running_loop().create_future()
            waiters = _waiting.setdefault(self._server, {})
            waiters[future] = arrival
            try:
                reply = await self._one(words)
                left = deadline - asyncio.get_running_loop().time()
                if reply or left <= 0:
                    return reply or None
                async with asyncio.timeout(left):
                    await future
            except TimeoutError:
                return None
            finally:
                waiters.pop(future, None)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class MemoryConnector(Connector):
    """A server in this process, by name."""

    is_memory = True

    def __init__(self, url: str) -> None:
        """``url``: memory:// or memory://name."""
        self.url = url
        self._server = memory_server(url)
        self._client: Redis | None = None

    async def open(self, tag: str) -> Lane:  # noqa: ARG002 - one server serves every tag
        """Open a connection."""
        return MemoryLane(self._server)

    def node(self, tag: str) -> str:  # noqa: ARG002 - see open
        """There is one node."""
        return ""

    def client(self, tag: str) -> Redis:  # noqa: ARG002 - see open
        """Return the client."""
        if self._client is None:
            self._client = memory_client(self.url)
        return self._client

    def blocking_client(self) -> BlockingRedis:
        """Return a client for a thread."""
        return FakeStrictRedis(server=self._server)

    async def close(self) -> None:
        """Close the client; the server stays for others."""
        if self._client is not None:
            await self._client.aclose()
