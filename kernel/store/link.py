"""Link: one Redis node's way for script calls, with group commit. Not for blocking reads; see ``reader``.

Calls that concurrent tasks issue in one loop tick leave as one pipeline. Two connections take turns, so that the next
pipeline is made while the server works on the last. A call whose reply is lost is repeated, with the same arguments,
until there is an answer: every script is written so that a repetition changes nothing. So calls that depend on one
another must not be issued before the first is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

import structlog

from kernel.errors import ServerRefused, ServerUnreachable, masked
from kernel.store.pump import BACKOFF_S_MAX, LOST, Call, Lane, Pump, Words, error_word, fail, is_denied, refused
from kernel.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from redis.exceptions import ResponseError

    from kernel.store.scripts import Script

log = structlog.get_logger(__name__)

PUMPS: Final = 2
TELL_FIRST_S: Final = 5.0
"""How long a link fails before it is said again, and why: a failover, or a restart of the server, takes less."""
TELL_AGAIN_S: Final = 30.0
"""How often from then on."""


class Link:
    """The way to one node. ``epoch`` changes when it breaks: what was cached before is no longer certain."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Lane]],
        *,
        url: str,
        patience_s: float | None,
        epochs: Iterator[int] | None = None,
    ) -> None:
        """``patience_s``: after so many seconds without the server calls fail; None: they wait.

        ``epochs``: rising numbers that the links of a namespace share, so that whoever goes from one link to another
        (a slot moved, a replica took over) sees another epoch; None: this link is alone.
        """
        self.url: Final = url
        self.patience_s: Final = patience_s
        self._epochs = epochs or count()
        self.epoch = next(self._epochs)
        self.opened = 0
        """How many connections were made."""
        self.on_restored: list[Callable[[], None]] = []
        """To be told of each connection that is not the namespace's first."""
        self.on_moved: Callable[[Call], None] | None = None
        """Takes a call whose slot may be served elsewhere by now; None: there is only this node."""
        self.pending: Final[deque[Call]] = deque()
        """Calls that no pump has taken yet."""
        self._pumps = tuple(Pump(self, connect) for _ in range(PUMPS))
        self._closed = False
        self.broken = False
        """Whether the loss of a connection was told, and nothing was answered since."""
        self.failing: Final[set[Pump]] = set()
        """Those that could not do the last that they were asked for, and try again."""
        self._failing_since = self._tell_at = 0.0
        self._failed_at = -math.inf
        self._watched: Final[dict[asyncio.Timeout, None]] = {}  # in an order, so that simulations repeat themselves
        """Blocks that are to be left when it breaks."""
        self._refused: Final[dict[asyncio.Future[object], str]] = {}
        """Those calls, wherever they wait, and their names."""
        self._taken = False
        """Whether one of them was taken since the last was refused."""
        self._throttle = Throttle()
        self._apart: list[Call] = []
        """Those of them that wait apart, for want of a right, so that the pumps serve others meanwhile."""
        self._putting_back: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether calls wait that the server refused and that can be sent again until it takes them."""
        return bool(self._refused)

    def call(
        self,
        script: Script,
        tag: str,
        *arguments: str | bytes | float,
        holds: Callable[[], bool] | None = None,
    ) -> asyncio.Future[object]:
        """Call a script on the keys of one tag; await the future for its reply.

        ``holds``: asked each time before it is sent; when it says no, the call fails with LinkChanged.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        return self.add(Call(tag, ("EVALSHA", script.sha, 1, tag, *arguments), script, future, holds))

    def send(self, key: str, *words: str | bytes | float) -> asyncio.Future[object]:
        """Send a plain command on a key, one that may be repeated without harm."""
        return self.add(Call(key, words, None, asyncio.get_running_loop().create_future()))

    def add(self, call: Call) -> asyncio.Future[object]:
        """Have a call sent; return its future."""
        if self._closed:
            call.future.set_exception(ServerUnreachable(self.url, "the connection was closed"))
            return call.future
        self.pending.append(call)
        if len(self.pending) == 1:
            self.wake_another()
        return call.future

    def wake_another(self) -> None:
        """Have what is pending taken by a pump that is free; if none is, the first that becomes free takes it."""
        if self._closed:
            return  # a pump that was closed would begin anew
        for pump in self._pumps:
            if pump.wake():
                return

    def broke(self, error: BaseException) -> None:
        """A pump lost its connection."""
        self.epoch = next(self._epochs)
        if not self.broken:
            self.broken = True
            reason = str(error) or type(error).__name__
            log.warning("connection to Redis lost, trying again", server=masked(self.url), error=reason)
        # Also if nothing was answered since the last time: who waits may have connected since.
        while self._watched:
            self._watched.popitem()[0].reschedule(0)

    @contextlib.asynccontextmanager
    async def unbroken(self) -> AsyncGenerator[None]:
        """Run a block that waits on another connection to the same node.

        Raises:
            TimeoutError: the link broke meanwhile. A node that is frozen or cut off closes no connection, so whoever
                only listens would wait on.
        """
        async with asyncio.timeout(None) as limit:
            self._watched[limit] = None
            try:
                yield
            finally:
                self._watched.pop(limit, None)

    def restored(self) -> None:
        """A pump has a connection."""
        self.opened += 1
        if self.epoch:
            for heard in self.on_restored:
                heard()

    def failed(self, pump: Pump, error: BaseException) -> None:
        """A pump could not do what it was asked for, and tries again; who waits without an end says so now and then."""
        now = asyncio.get_running_loop().time()
        if now - self._failed_at > TELL_AGAIN_S:
            self._failing_since, self._tell_at = now, now + TELL_FIRST_S
        self._failed_at = now
        self.failing.add(pump)
        if self.patience_s is None and now >= self._tell_at:
            self._tell_at = now + TELL_AGAIN_S
            why = str(ServerUnreachable(self.url, str(error) or type(error).__name__))
            log.warning("still waiting for Redis", for_s=round(now - self._failing_since), why=why)

    def succeeded(self, pump: Pump) -> None:
        """A pump has got what it asked for, after something had failed."""
        self.failing.discard(pump)
        if self.failing:
            return  # of a server that takes reads alone the one has its answer, while the other waits to write
        self._failed_at = -math.inf
        if self.broken:
            self.broken = False
            log.warning("connection to Redis is back", server=masked(self.url))

    def gave_up(self, pump: Pump) -> None:
        """A pump leaves what it could not do to others, or has told its callers so."""
        self.failing.discard(pump)

    def found_full(self, call: Call, error: ResponseError) -> None:
        """A call was refused, by a full disk or for want of a right; it is sent again until it is taken."""
        self._taken = False
        if call.future not in self._refused:
            self._refused[call.future] = call.name
            call.future.add_done_callback(self._answered)
        denied = is_denied(error)
        if self._throttle.due("a right" if denied else error_word(error)):
            what = ", ".join(sorted(set(self._refused.values()))) if denied else "what is to be written"
            why = str(refused(what, error))
            log.warning("Redis takes no writes, waiting until it does", server=masked(self.url), why=why)

    def _answered(self, future: asyncio.Future[object]) -> None:
        """A call that was refused once waits no more: it was taken, here or by another node, or was given up."""
        del self._refused[future]
        if not future.cancelled():
            error = future.exception()
            self._taken |= error is None or isinstance(error, ServerRefused)
        if self._taken and not self._refused:
            self._throttle = Throttle()
            log.warning("Redis takes writes again", server=masked(self.url))

    def set_apart(self, call: Call) -> None:
        """Have a call that was refused for want of a right sent again after a pause, in which the pumps serve others.

        Unlike a full disk, a right may be missing for what one rare script does, while all else goes on.
        """
        self._apart.append(call)
        if self._putting_back is None:
            self._putting_back = asyncio.get_running_loop().call_later(BACKOFF_S_MAX, self._put_back)

    def _put_back(self) -> None:
        self._putting_back = None
        apart, self._apart = self._apart, []
        for call in apart:
            if call.future.done():
                continue
            if self.on_moved is None:
                self.pending.append(call)
            else:
                # A node has rights of its own, and looks at them before it says that it does not serve the slot.
                self.on_moved(call)
        if self.pending:
            self.wake_another()

    async def close(self) -> None:
        """End all connections; calls without an answer fail."""
        self._closed = True
        for pump in self._pumps:
            await pump.close()
        if self._putting_back is not None:
            self._putting_back.cancel()
        fail([*self.pending, *self._apart], ServerUnreachable(self.url, "the connection was closed"))
        self.pending.clear()
        self._apart.clear()


__all__ = ["BACKOFF_S_MAX", "LOST", "Call", "Lane", "Link", "Words"]
