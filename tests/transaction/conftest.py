"""A harness around `Transaction`: one Redis, the runner's part in miniature, and a twin for redis-py's own methods."""

# ruff: noqa: ANN401 - replies and arguments of redis-py are of any type

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import fakeredis
import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from actors.transaction import Transaction

APPLY = """
local at = 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local write = {}
  for i = 1, count do write[i] = ARGV[at + i] end
  local reply = redis.pcall(unpack(write))
  if type(reply) == 'table' and reply.err then return {err = reply.err} end
  at = at + count + 1
end
return 'OK'
"""


class Client(Protocol):
    """The part of a redis-py client that the harness uses by hand."""

    async def execute_command(self, *words: Any, **options: Any) -> Any: ...


class Harness:
    """Transactions against one Redis. ``raw`` has no response callbacks, ``native`` is redis-py as users know it."""

    def __init__(self, raw: Client, native: Any) -> None:
        self.raw = raw
        self.native = native
        self.watched: list[bytes] = []
        self.sent: list[tuple[bytes, ...]] = []

    def transaction(self, *, read_only: bool = False, same_slot: bool = False) -> Transaction:
        return Transaction(
            read=self.read,
            watch=self.watch,
            tag="{default:0}",
            namespace="default",
            read_only=read_only,
            same_slot=same_slot,
        )

    async def read(self, words: tuple[bytes, ...]) -> object:
        self.sent.append(words)
        return await self.raw.execute_command(*words)

    async def watch(self, keys: Sequence[bytes]) -> None:
        self.watched.extend(keys)

    async def read_many(self, questions: Sequence[tuple[bytes, ...]]) -> list[object]:
        return [await self.raw.execute_command(*words) for words in questions]

    async def commit(self, tx: Transaction) -> None:
        """Verify, then apply the writes as the completion script does."""
        tx.close()
        await tx.verify(self.read_many)
        await self.apply(tx)

    async def apply(self, tx: Transaction) -> None:
        """Apply without asking; raises what Redis answers."""
        if any(words[0] == b"INCRBYFLOAT" for words in tx.writes) and not await self.is_redis_7():
            raise ResponseError("INCRBYFLOAT in a script damages the memory of Redis 6.2")
        flat = [part for words in tx.writes for part in (len(words), *words)]
        await self.raw.execute_command("EVAL", APPLY, 0, *flat)

    async def fails_in_redis(self, tx: Transaction) -> bool:
        """Whether Redis refuses a write of the step."""
        try:
            await self.apply(tx)
        except ResponseError:
            return True
        return False

    async def is_redis_7(self) -> bool:
        [command] = await self.read_many([(b"COMMAND", b"INFO", b"expire")])
        return cast("list[list[int]]", command)[0][1] < 0

    async def dump(self, *keys: str) -> list[object]:
        """What keys hold and whether they expire, comparable between keys."""
        return [await self._dump(key) for key in keys]

    async def _dump(self, key: str) -> object:
        kind = (await self.raw.execute_command("TYPE", key)).decode()
        expires = await self.raw.execute_command("PTTL", key) >= 0
        commands: dict[str, tuple[Any, ...]] = {
            "string": ("GET", key),
            "hash": ("HGETALL", key),
            "list": ("LRANGE", key, 0, -1),
            "set": ("SMEMBERS", key),
            "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
            "stream": ("XRANGE", key, "-", "+"),
        }
        value = await self.raw.execute_command(*commands[kind]) if kind in commands else None
        if kind == "set":
            value = sorted(cast("list[bytes]", value))
        if kind == "stream":
            value = [fields for _, fields in cast("list[tuple[bytes, list[bytes]]]", value)]
        return kind, expires, value


Session = Callable[[Harness], Awaitable[None]]
Run = Callable[[Session], None]


def clients(connect: Callable[[], Any]) -> tuple[Any, Any]:
    raw, native = connect(), connect()
    raw.response_callbacks.clear()
    return raw, native


async def session(connect: Callable[[], Any], body: Session) -> None:
    raw, native = clients(connect)
    try:
        await native.flushall()
        await body(Harness(raw, native))
    finally:
        await raw.aclose()
        await native.aclose()


@pytest.fixture(scope="session")
def server_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Redis server of the tests' own, on a socket and no port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on PATH")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "s"
    arguments = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "ready to accept connections" in line.lower() and path.exists():
            break
    # Its log is read on: a server whose pipe is full stops in the middle of a command.
    drain = threading.Thread(target=deque[str]().extend, args=(process.stdout,))
    drain.start()
    try:
        yield path
    finally:
        process.terminate()
        process.wait(timeout=10)
        drain.join(timeout=10)
        process.stdout.close()


@pytest.fixture(params=["memory", pytest.param("server", marks=pytest.mark.server)])
def run(request: pytest.FixtureRequest) -> Run:
    """Run an async test body against an empty Redis: fakeredis, then a real server."""
    if request.param == "memory":
        server = fakeredis.FakeServer(version=(7,))
        return lambda body: asyncio.run(session(lambda: fakeredis.FakeAsyncRedis(server=server, protocol=2), body))
    path = str(request.getfixturevalue("server_socket"))
    return lambda body: asyncio.run(session(lambda: redis.asyncio.Redis(unix_socket_path=path, protocol=2), body))
