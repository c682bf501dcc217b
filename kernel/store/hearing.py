"""Hearing: one subscription of this process, shared by all who want to know when something changes.

A message is a hint; who hears it reads the record. After each (re)connection everybody is rung, since messages may have
been missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.store.link import BACKOFF_S_MAX, LOST
from kernel.store.pump import refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from redis.asyncio.client import PubSub

    from kernel.store.space import Space

log = structlog.get_logger(__name__)

MESSAGES_MAX: Final = 10_000
"""Messages kept for a listener that is slow; older ones are dropped, they are hints."""
PROBE_S: Final = 2.0
"""How often a subscription is asked for a sign of life, and how long that may take.

Less than other replies may: a client that waits for a result notices nothing else of a frozen server, and to be wrong
costs no more than to subscribe again.
"""


REREAD_S: Final = 30.0
"""An ear that heard nothing for so long is rung once: what it waits for may have gone without a word (a FLUSHALL)."""


class Ear:
    """One listener."""

    def __init__(self) -> None:
        """Nothing is heard yet."""
        self._rung = asyncio.Event()
        self.rung_at = asyncio.get_running_loop().time()
        """Loop time at which it was rung last, or made."""
        self.messages: deque[str] | None = None
        """What was said, for who wants to know; None for who only wants to know that."""

    def ring(self) -> None:
        """Something changed, or may have."""
        self.rung_at = asyncio.get_running_loop().time()
        self._rung.set()

    async def heard(self) -> None:
        """Wait until something was heard since the last call returned."""
        await self._rung.wait()
        self._rung.clear()


class Hearing:
    """Channels of one namespace, over one connection that is made when the first listener comes."""

    def __init__(self, space: Space) -> None:
        """Connect later."""
        self._space = space
        self._ears: dict[str, dict[Ear, None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._pubsub: PubSub | None = None
        self._changed = asyncio.Event()
        self._heard_at = 0.0

    @contextlib.asynccontextmanager
    async def listen(self, *channels: str) -> AsyncGenerator[Ear, None]:
        """Listen to channels; the ear is rung as soon as the subscription stands, and then at every message."""
        ear = Ear()
        for channel in channels:
            self._ears.setdefault(channel, {})[ear] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._hear(), name="hearing")
        self._changed.set()
        try:
            yield ear
        finally:
            for channel in channels:
                ears = self._ears.get(channel, {})
                ears.pop(ear, None)
                if not ears:
                    self._ears.pop(channel, None)
            self._changed.set()

    async def messages(self, *channels: str) -> AsyncIterator[str]:
        """Yield what is said on the channels. Said while nobody is connected, it is lost."""
        async with self.listen(*channels) as ear:
            ear.messages = deque(maxlen=MESSAGES_MAX)
            while True:
                await ear.heard()
                while ear.messages:
                    yield ear.messages.popleft()

    async def close(self) -> None:
        """End the subscription."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _hear(self) -> None:
        while True:
            try:
                await self._hear_once()
            except ResponseError as error:
                refusal = refused("SUBSCRIBE", error)
                if self._space.throttle.due(str(refusal)):
                    log.warning("a subscription is refused, trying again", error=str(refusal))
            except (*LOST, RedisError) as error:
                log.debug("subscription lost, making it anew", error=str(error))
            except Exception:
                log.exception("a subscription failed and is made anew")
            self._ring_late()
            # Who waits for a message asks for nothing else, and so nobody else may have learned who serves now.
            await self._space.learn_topology()
            await asyncio.sleep(BACKOFF_S_MAX / 5)

    async def _hear_once(self) -> None:
        """Hear until the connection breaks."""
        pubsub = self._space.connector.client(self._space.keys.tags[0]).pubsub()
        loop, parts = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        try:
            # A channel that nobody speaks on keeps the connection subscribed while listeners come and go.
            await pubsub.subscribe(f"{self._space.keys.tags[0]}:silence")
            parts += [loop.create_task(self._subscribe(pubsub)), loop.create_task(self._read(pubsub))]
            if not self._space.connector.is_memory:
                parts.append(loop.create_task(self._probe(pubsub)))
            # Neither is of use without the other.
            async with self._space.link(self._space.keys.tags[0]).unbroken():
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            ended = await asyncio.gather(*parts, return_exceptions=True)
            with contextlib.suppress(*LOST, RedisError):
                await cast("Any", pubsub).aclose()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _read(self, pubsub: PubSub) -> None:
        task = asyncio.current_task()
        # asyncio.wait_for, with which some clients read, loses a cancellation that comes with a message (3.11).
        while task is not None and not task.cancelling():
            message = cast("object", await cast("Any", pubsub).get_message(timeout=None))
            self._heard_at = asyncio.get_running_loop().time()
            if message is not None and cast("dict[str, Any]", message)["channel"] is not None:
                heard = cast("dict[str, Any]", message)
                said: bytes | None = heard["data"] if heard["type"] == "message" else None
                self._ring(heard["channel"].decode(), said)

    async def _probe(self, pubsub: PubSub) -> None:
        """Ask for a sign of life now and then: a machine that lost its power closes no connection."""
        while True:
            asked_at = asyncio.get_running_loop().time()
            await cast("Any", pubsub).ping()
            await asyncio.sleep(PROBE_S)
            if self._heard_at < asked_at:
                raise RedisTimeoutError(f"the subscription gave no sign of life for {PROBE_S:g} s")
            self._ring_late()

    def _ring_late(self) -> None:
        """Ring who has heard nothing for long."""
        now = asyncio.get_running_loop().time()
        for ears in self._ears.values():
            for ear in ears:
                if now - ear.rung_at >= REREAD_S:
                    ear.ring()

    async def _subscribe(self, pubsub: PubSub) -> None:
        """Keep the subscription as wide as there are listeners."""
        known: set[str] = set()
        while True:
            self._changed.clear()
            wanted = set(self._ears)
            if new := wanted - known:
                await pubsub.subscribe(*sorted(new))
            if old := known - wanted:
                await pubsub.unsubscribe(*sorted(old))
            known = wanted
            await self._changed.wait()

    def _ring(self, channel: str, said: bytes | None) -> None:
        for ear in self._ears.get(channel, ()):
            if said is not None and ear.messages is not None:
                ear.messages.append(said.decode())
            ear.ring()
