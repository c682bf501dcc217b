"""Pump: one connection of a link: takes the calls that wait, sends them as one pipeline, answers them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.errors import DENIED_IN_SCRIPT, LinkChanged, ServerRefused, ServerUnreachable
from kernel.store.scripts import SCRIPTS, Script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from kernel.store.link import Link

Words = tuple[str | bytes | int | float, ...]
Waiting: TypeAlias = "tuple[Call, str, ResponseError]"
"""A call that was refused for now, why it has to be sent again, and the server's words."""
LaneLost: TypeAlias = RedisConnectionError
"""A lane broke: what was sent over it may have taken effect, or not."""
LaneTimedOut: TypeAlias = RedisTimeoutError
"""A reply did not come in time."""
LOST: Final = (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError, EOFError)
AWAY: Final = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED")
"""Error words of a node that cannot serve now, or is no longer the one to ask."""
FULL: Final = ("MISCONF",)
"""Error words of a node that cannot write its files now: whoever has the patience waits until it can."""
OUT_OF_MEMORY: Final = "OOM"
"""Error word of a node at maxmemory. Of a script it refuses the first write at most; of what is queued, everything."""
ELSEWHERE: Final = ("MOVED", "ASK")
"""Error words of a node that does not serve the slot any more, or not this key."""
_NESTED: Final = re.compile(r"@user_script: ?\d+: -([A-Z]+) ")
"""How Redis 6.2 says what a command in a script was refused with."""
BATCH_MAX: Final = 32
"""Calls of one pipeline. With more, the server would wait while this side works on replies, and this side for them."""
BACKOFF_S_MAX: Final = 0.5


class Unsendable(Exception):
    """A command has a word that cannot be sent; its cause says why. Nothing was sent: the connection is as it was."""


class Lane(Protocol):
    """One connection: sends commands as one pipeline, returns the replies in order, errors as values."""

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        """Raise one of ``LOST`` if any reply did not come within ``reply_s``, Unsendable before anything is sent."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


class Call:
    """One command under way."""

    __slots__ = ("future", "holds", "key", "script", "since", "words")

    def __init__(
        self,
        key: str,
        words: Words,
        script: Script | None,
        future: asyncio.Future[object],
        holds: Callable[[], bool] | None = None,
    ) -> None:
        self.key = key
        """By which its node is found again if the slot has moved."""
        self.words = words
        self.script = script
        self.future = future
        self.holds = holds
        """Whether it may still be sent."""
        self.since = 0.0
        """Loop time at which its node was first found away; 0: it was not."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.script.name if self.script else str(self.words[0])


class Pump:
    """One lane and the task that uses it."""

    def __init__(self, link: Link, connect: Callable[[], Awaitable[Lane]]) -> None:
        """Connect at the first call."""
        self._link = link
        self._connect = connect
        self._lane: Lane | None = None
        self._idle: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> bool:
        """Have the waiting calls taken; False: it is busy, and will look when it is done."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="pump")
            return True
        idle = self._idle
        if idle is None or idle.done():
            return False
        idle.set_result(None)
        return True

    async def close(self) -> None:
        """End the task and the lane."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        lane, self._lane = self._lane, None
        if lane is not None:
            with contextlib.suppress(*LOST, RedisError):
                await lane.close()

    async def _run(self) -> None:
        pending = self._link.pending
        while True:
            if not pending:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
                self._idle = None
            taken = [pending.popleft() for _ in range(min(len(pending), BATCH_MAX))]
            if pending:
                self._link.wake_another()
            # What its caller has given up since is not sent: nobody would know of what it brings.
            batch = [call for call in taken if not call.future.cancelled()]
            try:
                await self._serve(batch)
            except asyncio.CancelledError:
                fail(batch, ServerUnreachable(self._link.url, "the connection was closed"))
                raise

    async def _serve(self, batch: list[Call]) -> None:
        """Exchange a batch. An error that is a bug of ours reaches the call that causes it, and no other."""
        try:
            await self._exchange(batch)
        except Exception as caught:  # noqa: BLE001 - whatever it is, the pump must go on
            error: Exception = caught
            if isinstance(caught, Unsendable) and isinstance(caught.__cause__, Exception):
                error = caught.__cause__
            else:
                await self._break(error)  # what the connection still owes is not known any more
            self._link.gave_up(self)
            if len(batch) == 1:
                fail(batch, error)
                return
            for call in batch:
                if not call.future.done():
                    await self._serve([call])

    async def _exchange(self, batch: list[Call]) -> None:
        """Send a batch until each call has an answer, or waits elsewhere; only those that do not stay in it."""
        loop = asyncio.get_running_loop()
        since: float | None = None
        backoff_s = 0.02
        patience_s = self._link.patience_s
        while batch:
            try:
                lane = self._lane or await self._open_lane()
                sent = _that_hold(batch)
                again = sent and await self._resolve(sent, await lane.send([call.words for call in sent]))
                if not sent:
                    self._link.gave_up(self)
                elif self._link.broken or self._link.failing:
                    self._link.succeeded(self)
                if not again:
                    return
                batch[:] = again
            except (*LOST, RedisError) as error:
                since = since or loop.time()
                await self._break(error)
                batch[:] = [call for call in batch if not call.future.done()]
                if not batch:
                    self._link.gave_up(self)
                    return
                self._link.failed(self, error)
                if self._link.on_moved is not None:
                    for call in batch:
                        self._link.on_moved(call)
                    self._link.gave_up(self)
                    return
                if patience_s is not None and loop.time() - since > patience_s:
                    fail(batch, ServerUnreachable(self._link.url, str(error) or type(error).__name__))
                    self._link.gave_up(self)
                    return
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    async def _open_lane(self) -> Lane:
        lane = await self._connect()
        try:
            await lane.send([("SCRIPT", "LOAD", script.text) for script in SCRIPTS.values()])
        except BaseException:
            await lane.close()
            raise
        self._lane = lane
        self._link.restored()
        return lane

    async def _break(self, error: BaseException) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            self._link.broke(error)
            with contextlib.suppress(*LOST, RedisError):
                await lane.close()

    async def _resolve(self, batch: list[Call], replies: list[object]) -> list[Call]:
        """Answer the calls; return those that have to be sent again."""
        waiting: list[Waiting] = []
        for call, reply in zip(batch, replies, strict=True):
            future = call.future
            if not isinstance(reply, ResponseError):
                if not future.done():
                    future.set_result(reply)
                continue
            if reason := self._again(call, reply):
                waiting.append((call, reason, reply))
            elif not future.done():
                future.set_exception(refused(call.name, reply))
        return await self._sort(waiting) if waiting else []

    async def _sort(self, waiting: list[Waiting]) -> list[Call]:
        """Return which calls this pump sends again; what waits for something of its own is handed on.

        Nothing is handed on before all that can break off has gone well: who sends a batch again sends all of it.
        """
        for _, reason, error in waiting:
            if reason == "away":
                raise RedisConnectionError(error_text(error))
        waiting = await self._load(waiting)
        again: list[Call] = []
        holds_back = False
        for call, reason, error in waiting:
            if reason == "moved" and self._link.on_moved is not None:
                self._link.on_moved(call)
            elif reason == "denied":
                self._link.found_full(call, error)
                self._link.set_apart(call)
            else:
                again.append(call)
                if reason == "full":
                    self._link.found_full(call, error)
                    holds_back = True
        if holds_back:
            # The connection is as good as before, and nothing was lost. What others would write is refused as well.
            self._link.succeeded(self)
            await asyncio.sleep(BACKOFF_S_MAX)
        return again

    async def _load(self, waiting: list[Waiting]) -> list[Waiting]:
        """Load the scripts that the server lacks; a call whose script it will not take was refused for that reason."""
        lacking = [(call, call.script) for call, reason, _ in waiting if reason == "script" and call.script is not None]
        if not lacking or self._lane is None:
            return waiting
        replies = await self._lane.send([("SCRIPT", "LOAD", script.text) for _, script in lacking])
        errors = {
            call: reply for (call, _), reply in zip(lacking, replies, strict=True) if isinstance(reply, ResponseError)
        }
        left: list[Waiting] = []
        for one in waiting:
            call, error = one[0], errors.get(one[0])
            if error is None:
                left.append(one)
            elif (reason := self._again(call, error)) == "away":
                raise RedisConnectionError(error_text(error))
            elif reason:
                left.append((call, reason, error))
            else:
                fail([call], refused("SCRIPT LOAD", error))
        return left

    def _again(self, call: Call, error: ResponseError) -> str:
        """Return why a refused call has to be sent again; empty: it has not."""
        word = error_word(error)
        if word == "NOSCRIPT" and call.script is not None:
            return "script"
        if word in ELSEWHERE and self._link.on_moved is not None:
            return "moved"
        # The engine's own calls: a right that was taken away is given back one day, and then nothing was lost.
        if self._link.patience_s is None and word in FULL:
            return "full"
        if self._link.patience_s is None and call.script is not None and is_denied(error):
            return "denied"
        return "away" if word in AWAY else ""


def _that_hold(batch: list[Call]) -> list[Call]:
    """Return the calls that may be sent; the others fail."""
    for call in batch:
        if call.holds is not None and not call.holds():
            fail([call], LinkChanged(call.name))
    return [call for call in batch if not call.future.done()]


def fail(calls: Iterable[Call], error: Exception) -> None:
    """Answer calls with an error."""
    for call in calls:
        if not call.future.done():
            call.future.set_exception(error)
            # Whoever asked may be gone; that nobody hears of it is then no mistake to be reported.
            call.future.exception()


def refused(call: str, error: ResponseError) -> ServerRefused:
    """Return what to raise for an error reply to a call: the server's words, the first one included."""
    return ServerRefused(call, error_text(error))


def error_word(error: ResponseError) -> str:
    """Return the first word of an error reply; redis-py strips it into the class for some."""
    name = type(error).__name__
    known = {
        "NoScriptError": "NOSCRIPT",
        "ReadOnlyError": "READONLY",
        "BusyLoadingError": "LOADING",
        "MovedError": "MOVED",
        "AskError": "ASK",
        "TryAgainError": "TRYAGAIN",
        "ClusterDownError": "CLUSTERDOWN",
        "MasterDownError": "MASTERDOWN",
        "OutOfMemoryError": "OOM",
        "NoPermissionError": "NOPERM",
    }
    if name in known:
        return known[name]
    nested = _NESTED.search(str(error))
    return nested[1] if nested else str(error).partition(" ")[0]


def is_denied(error: ResponseError) -> bool:
    """Tell whether a call was refused since the user lacks a right for it, or for a command of its script."""
    text = str(error)
    # "NOPERM" in the middle: an EXEC is aborted "because of" it. Before 7.2 a script says it in words alone.
    return error_word(error) == "NOPERM" or "NOPERM" in text or DENIED_IN_SCRIPT in text


def error_text(error: ResponseError) -> str:
    """Return an error reply with its first word, also where redis-py took that off."""
    word, text = error_word(error), str(error)
    return text if text.startswith(word) else f"{word} {text}"
