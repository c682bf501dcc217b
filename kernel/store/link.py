"""Link: one Redis node's lane for script calls, with group commit. Not for blocking reads; see ``reader``.

Calls that concurrent tasks issue in one loop tick leave as one pipeline. A call whose reply is lost is repeated, with the
same arguments, until there is an answer: every script is written so that a repetition changes nothing. So calls that
depend on one another must not be issued before the first is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.errors import ServerRefused, ServerUnreachable
from kernel.store.scripts import SCRIPTS, Script

log = structlog.get_logger(__name__)

Words = tuple[str | bytes | int | float, ...]
LOST: Final = (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError, EOFError)
AWAY: Final = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED")
"""Error words of a node that cannot serve now, or is no longer the one to ask."""
BATCH_MAX: Final = 512
BACKOFF_S_MAX: Final = 0.5


class Lane(Protocol):
    """One connection: sends commands as one pipeline, returns the replies in order, errors as values."""

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        """Raise one of ``LOST`` if any reply did not come within ``reply_s``."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


class _Call:
    __slots__ = ("future", "script", "words")

    def __init__(self, words: Words, script: Script | None, future: asyncio.Future[object]) -> None:
        self.words = words
        self.script = script
        self.future = future


class Link:
    """The lane to one node. ``epoch`` counts how often it broke: what was cached before is no longer certain."""

    def __init__(self, connect: Callable[[], Awaitable[Lane]], *, url: str, patience_s: float | None) -> None:
        """``patience_s``: after so many seconds without the server calls fail; None: they wait."""
        self.epoch = 0
        self.on_restored: list[Callable[[], None]] = []
        self.on_moved: Callable[[str, _Call], None] | None = None
        self._connect = connect
        self._url = url
        self._patience_s = patience_s
        self._pending: deque[_Call] = deque()
        self._lane: Lane | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._closed = False

    def call(self, script: Script, tag: str, *arguments: str | bytes | int | float) -> asyncio.Future[object]:
        """Call a script on the keys of one tag; await the future for its reply."""
        return self._add(_Call(("EVALSHA", script.sha, 1, tag, *arguments), script, self._future()))

    def send(self, *words: str | bytes | int | float) -> asyncio.Future[object]:
        """Send a plain command that may be repeated without harm."""
        return self._add(_Call(words, None, self._future()))

    def _future(self) -> asyncio.Future[object]:
        return asyncio.get_running_loop().create_future()

    def _add(self, call: _Call) -> asyncio.Future[object]:
        if self._closed:
            call.future.set_exception(ServerUnreachable(self._url, "the connection was closed"))
            return call.future
        self._pending.append(call)
        wake = self._wake
        if wake is not None:
            if not wake.done():
                wake.set_result(None)
        elif self._pump_task is None:
            self._pump_task = asyncio.get_running_loop().create_task(self._pump(), name="link")
        return call.future

    async def close(self) -> None:
        """End the lane; calls without an answer fail."""
        self._closed = True
        if self._pump_task is not None:
            self._pump_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump_task
        self._fail(self._pending, ServerUnreachable(self._url, "the connection was closed"))
        self._pending.clear()
        if self._lane is not None:
            await self._lane.close()

    async def _pump(self) -> None:
        batch: list[_Call] = []
        try:
            while True:
                if not self._pending:
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
                    self._wake = None
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH_MAX))]
                await self._exchange(batch)
                batch = []
        finally:
            self._wake = None
            self._pump_task = None
            self._fail(batch, ServerUnreachable(self._url, "the connection was closed"))

    async def _exchange(self, batch: list[_Call]) -> None:
        """Send a batch until each call has an answer."""
        loop = asyncio.get_running_loop()
        since: float | None = None
        backoff_s = 0.02
        while batch:
            try:
                lane = self._lane or await self._open_lane()
                replies = await lane.send([call.words for call in batch])
            except (*LOST, RedisError) as error:
                since = since or loop.time()
                await self._break(error)
                if self._patience_s is not None and loop.time() - since > self._patience_s:
                    self._fail(batch, ServerUnreachable(self._url, str(error) or type(error).__name__))
                    return
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
                continue
            batch = await self._resolve(batch, replies)

    async def _open_lane(self) -> Lane:
        lane = await self._connect()
        try:
            await lane.send([("SCRIPT", "LOAD", script.text) for script in SCRIPTS.values()])
        except BaseException:
            await lane.close()
            raise
        self._lane = lane
        if self.epoch:
            for restored in self.on_restored:
                restored()
        return lane

    async def _break(self, error: BaseException) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            self.epoch += 1
            log.warning("connection to Redis lost, trying again", server=self._url, error=str(error))
            with contextlib.suppress(*LOST, RedisError):
                await lane.close()

    async def _resolve(self, batch: list[_Call], replies: list[object]) -> list[_Call]:
        """Answer the calls; return those that have to be sent again."""
        again: list[_Call] = []
        away: ResponseError | None = None
        for call, reply in zip(batch, replies, strict=True):
            if not isinstance(reply, ResponseError):
                if not call.future.done():
                    call.future.set_result(reply)
                continue
            word = _word(reply)
            if word == "NOSCRIPT" and call.script is not None:
                again.append(call)
            elif word == "MOVED" and self.on_moved is not None:
                self.on_moved(str(reply), call)
            elif word in AWAY:
                away = reply
                again.append(call)
            elif not call.future.done():
                name = call.script.name if call.script else str(call.words[0])
                call.future.set_exception(ServerRefused(name, str(reply)))
        if away is not None:
            raise_away = RedisConnectionError(str(away))
            await self._break(raise_away)
            await asyncio.sleep(0.05)
        elif again and self._lane is not None:
            await self._lane.send([("SCRIPT", "LOAD", call.script.text) for call in again if call.script])
        return again

    @staticmethod
    def _fail(calls: Sequence[_Call] | deque[_Call], error: Exception) -> None:
        for call in calls:
            if not call.future.done():
                call.future.set_exception(error)


def _word(error: ResponseError) -> str:
    """Return the first word of an error reply; redis-py strips it into the class for some."""
    name = type(error).__name__
    known = {"NoScriptError": "NOSCRIPT", "ReadOnlyError": "READONLY", "BusyLoadingError": "LOADING", "MovedError": "MOVED"}
    return known.get(name) or str(error).partition(" ")[0]
