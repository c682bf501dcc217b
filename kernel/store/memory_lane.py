"""Lanes to a Redis server in this process (``memory://``), for tests: the same calls, nothing durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fakeredis import FakeStrictRedis

from kernel.memory import memory_client, memory_server
from kernel.store.lanes import REPLY_S_MAX, Connector, pack_all
from kernel.store.memory_server import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis

    from kernel.store.link import Lane, Words


class MemoryLane:
    """A connection to a server in this process. A blocking read waits for entries that another one brings."""

    def __init__(self, server: MemoryServer) -> None:
        """Open a connection of its own, so that WATCH works as on a real one."""
        self._server = server
        self._session = server.session()
        self._waits: asyncio.Future[None] | None = None

    async def send(self, commands: Sequence[Words], *, reply_s: float = REPLY_S_MAX) -> list[object]:
        """Send commands one after another; error replies are values."""
        await asyncio.sleep(0)  # a real server answers no sooner
        pack_all(commands)  # what cannot be sent is refused as on a real connection: before anything is
        replies: list[object] = []
        for words in commands:
            if "BLOCK" in words[:8]:
                replies.append(await self._blocking(list(words), reply_s))
            else:
                replies.append(self._session.run(words))
        self._server.wake()
        return replies

    async def _blocking(self, words: list[str | bytes | int | float], reply_s: float) -> object:
        at = words.index("BLOCK")
        limit_s = min(int(words[at + 1]) / 1000, reply_s)
        del words[at : at + 2]
        streams = words[words.index("STREAMS") + 1 :]
        names = [str(name).encode() for name in streams[: len(streams) // 2]]
        deadline = asyncio.get_running_loop().time() + limit_s
        while True:
            # In the waiting room before looking: what comes between the look and the wait is then not missed.
            future = self._waits = self._server.wait(names)
            try:
                reply = self._session.run(words)
                left = deadline - asyncio.get_running_loop().time()
                if reply or left <= 0:
                    return reply or None
                async with asyncio.timeout(left):
                    await future
            except TimeoutError:
                return None
            finally:
                self._server.forget(future)
                self._waits = None

    def interrupt(self, error: Exception) -> None:
        """Let a blocked read fail."""
        if self._waits is not None and not self._waits.done():
            self._waits.set_exception(error)

    async def close(self) -> None:
        """Close the connection."""
        self._session.close()


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
        return MemoryLane(MemoryServer.of(self._server))

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
