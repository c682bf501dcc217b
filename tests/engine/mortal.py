"""A process that dies at a chosen write: its connections count what they send and let nothing through afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ExecAbortError, OutOfMemoryError

from kernel.store.lanes import Connector
from kernel.store.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis

    from kernel.store.link import Lane, Words

When = Literal["before", "after"]

_READ = frozenset({script.sha for name, script in SCRIPTS.items() if name in {"fetch", "adopt"}})
_EMPTY = ("MULTI", "EXEC")
_WRITES = frozenset({"EVALSHA", "EVAL", "EXEC", "XREADGROUP", "XACK", "XDEL", "XGROUP", "HDEL", "HSET", "SET", "ZREM"})


class Life:
    """When a process dies, and whether it has. ``die_at`` 0: never."""

    def __init__(self, die_at: int = 0, when: When = "before", *, survives: bool = False, full: bool = False) -> None:
        self.die_at = die_at
        self.when = when
        self.survives = survives
        """Only the connection breaks; the process goes on."""
        self.full = full
        """The server takes no transactions, as at maxmemory; only what mutations send in their place is counted."""
        self.writes = 0
        self.last = ""
        """The write at which it died."""
        self.died = asyncio.Event()

    def count(self, words: Words) -> bool:
        """Count a write; True: this is the one."""
        self.writes += 1
        if self.writes != self.die_at:
            return False
        self.last = describe(words)
        return True

    @property
    def over(self) -> bool:
        return self.died.is_set()

    def end(self) -> None:
        """Die now."""
        self.died.set()

    def strike(self) -> None:
        """The write has come at which it dies, or loses a connection."""
        if self.survives:
            raise RedisConnectionError("the connection broke")
        self.end()


class MortalLane:
    """A lane that sends one command after another, so that a death may fall between any two."""

    def __init__(self, lane: Lane, life: Life) -> None:
        self._lane = lane
        self._life = life

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        replies: list[object] = []
        queued: list[Words] = []
        for words in commands:
            if words[0] == "MULTI" or queued:
                # What lies between MULTI and EXEC takes effect with EXEC: one write.
                queued.append(words)
                if words[0] != "EXEC":
                    continue
            batch, queued = queued or [words], []
            if self._life.full and len(batch) > len(_EMPTY):
                replies += await self._refuse(batch)
            else:
                replies += await self._one(batch, reply_s)
        return replies

    async def _refuse(self, batch: list[Words]) -> list[object]:
        """Answer a transaction as a server at maxmemory does, which then watches no more."""
        await self._alive()
        await self._lane.send([("UNWATCH",)])
        refused = [OutOfMemoryError("command not allowed when used memory > 'maxmemory'.") for _ in batch[1:-1]]
        return [b"OK", *refused, ExecAbortError("Transaction discarded because of previous errors.")]

    async def _one(self, batch: list[Words], reply_s: float) -> list[object]:
        life = self._life
        await self._alive()
        last = self._counts(batch[-1]) and not _blocks(batch[-1]) and life.count(batch[-1])
        if last and life.when == "before":
            life.strike()
        await self._alive()
        replies = await self._lane.send(batch, reply_s=reply_s)
        if _blocks(batch[-1]) and replies[0] and not life.full and not life.over and life.count(batch[-1]):
            # A read that finds nothing changes nothing; "before" the one that does is after the write that woke it.
            life.strike()
        if last and life.when == "after":
            life.strike()
        await self._alive()
        return replies

    def _counts(self, words: Words) -> bool:
        return words[0] == "EVAL" if self._life.full else is_write(words)

    async def _alive(self) -> None:
        """Never return to a dead process: its code goes no further than where it waits for Redis."""
        if self._life.over:
            await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        await self._lane.close()


class MortalConnector(Connector):
    """The connections of one process."""

    def __init__(self, inner: Connector, life: Life) -> None:
        self.url = inner.url
        self.is_cluster = inner.is_cluster
        self.is_memory = inner.is_memory
        self._inner = inner
        self._life = life

    async def start(self) -> None:
        await self._inner.start()

    async def open(self, tag: str) -> Lane:
        if self._life.over:
            await asyncio.get_running_loop().create_future()
        return MortalLane(await self._inner.open(tag), self._life)

    def node(self, tag: str) -> str:
        return self._inner.node(tag)

    def client(self, tag: str) -> Redis:
        return self._inner.client(tag)

    def blocking_client(self) -> BlockingRedis:
        client = self._inner.blocking_client()
        execute = cast("Any", client.execute_command)

        def unless_dead(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as redis-py has it
            if self._life.over:
                raise RedisConnectionError("this process is dead")
            return execute(*arguments, **options)

        client.execute_command = unless_dead  # type: ignore[method-assign]
        return client

    async def close(self) -> None:
        await self._inner.close()


def is_write(words: Words) -> bool:
    """Tell whether a command may change anything."""
    return words[0] in _WRITES and not (words[0] == "EVALSHA" and words[1] in _READ)


def _blocks(words: Words) -> bool:
    return "BLOCK" in words[:8]


def describe(words: Words) -> str:
    """Say in a few words what a command was."""
    names = {script.sha: name for name, script in SCRIPTS.items()} | {s.text: name for name, s in SCRIPTS.items()}
    if words[0] in {"EVALSHA", "EVAL"}:
        return f"script {names[str(words[1])]} {[str(word)[:60] for word in words[4:10]]}"
    return " ".join(str(word)[:60] for word in words[:12])
