"""Replicated: connections whose answers are given only once a replica has all that the answers tell of.

Every pipeline with a script call in it ends with one WAIT, so the calls of one tick share its round trip. Too few
acknowledgements count as a lost connection: the calls are repeated, with the same arguments, until a replica follows.

A pipeline may write nothing, where a repeated call finds its work done. WAIT counts what its own connection wrote last,
so a write that changes nothing, the barrier, stands before it: what an answer reveals came before the barrier.
Source: https://redis.io/docs/latest/commands/wait/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from kernel.store.lanes import REPLY_S_MAX, Connector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis

    from kernel.store.link import Lane, Words

REPLICAS: Final = 1
"""Replicas that must have acknowledged."""
WAIT_MS: Final = 1000
"""How long one pipeline waits for them, before its calls are repeated."""
_SCRIPT_CALLS: Final = ("EVALSHA", "EVAL")
_KEY_AT: Final = 3
"""Where a script call names its key: EVALSHA, hash, number of keys, key."""


class NotReplicated(RedisConnectionError):
    """No replica has acknowledged in time. What was written may be lost in a failover; it is asked for again."""

    def __init__(self, acknowledged: int) -> None:
        super().__init__(f"{acknowledged} of {REPLICAS} replicas have acknowledged within {WAIT_MS / 1000:.0f} s")


class ReplicatedLane:
    """A lane that gives no answer to a script call before a replica knows what the answer tells."""

    def __init__(self, lane: Lane) -> None:
        """``lane`` is closed with this one."""
        self._lane = lane

    async def send(self, commands: Sequence[Words], *, reply_s: float = REPLY_S_MAX) -> list[object]:
        """Send commands as one pipeline. Raises NotReplicated, a loss like any other."""
        key = next((words[_KEY_AT] for words in reversed(commands) if words[0] in _SCRIPT_CALLS), None)
        if key is None:
            return await self._lane.send(commands, reply_s=reply_s)
        fence: list[Words] = [("SET", barrier(str(key)), ""), ("WAIT", REPLICAS, WAIT_MS)]
        # The barrier may be refused, at maxmemory: the pipeline's own writes are waited for all the same.
        *replies, _barrier, acknowledged = await self._lane.send([*commands, *fence], reply_s=reply_s)
        if isinstance(acknowledged, ResponseError):  # a replica's own answer: this node is no primary any more
            raise RedisConnectionError(str(acknowledged))
        if not isinstance(acknowledged, int) or acknowledged < REPLICAS:
            raise NotReplicated(acknowledged if isinstance(acknowledged, int) else 0)
        return replies

    async def close(self) -> None:
        """Close the connection."""
        await self._lane.close()


class ReplicatedConnector(Connector):
    """The same connections as another connector's, each of them replicated."""

    def __init__(self, inner: Connector) -> None:
        """``inner`` is closed with this one."""
        self.url = inner.url
        self.is_cluster = inner.is_cluster
        self.is_memory = inner.is_memory
        self._inner = inner

    async def start(self) -> None:
        """Learn the topology."""
        await self._inner.start()

    async def refresh(self) -> None:
        """Learn the topology anew."""
        await self._inner.refresh()

    async def open(self, tag: str) -> Lane:
        """Open a connection."""
        return ReplicatedLane(await self._inner.open(tag))

    def node(self, tag: str) -> str:
        """Name the node that serves a tag."""
        return self._inner.node(tag)

    def client(self, tag: str) -> Redis:
        """Return the client of that node."""
        return self._inner.client(tag)

    def blocking_client(self) -> BlockingRedis:
        """Return a client for a thread."""
        return self._inner.blocking_client()

    async def close(self) -> None:
        """Close all that is open."""
        await self._inner.close()


def barrier(key: str) -> str:
    """Return the key of the barrier in the slot of another key."""
    before, brace, rest = key.partition("{")
    inside, end, _ = rest.partition("}")
    return f"{{{inside if brace and end and inside else before + brace + rest}}}:barrier"
