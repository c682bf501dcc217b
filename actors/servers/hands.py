"""Hands: what this worker holds at the moment, and how much more it may take. The audit compares Redis with this."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Begun, Held

REMEMBERED_MIN: Final = 50_000
"""How many commands that were started are remembered, and up to twice as many (about 15 MB): a rollback of the server
may show them again."""


class Hands:
    """Commands in hand by their ``Held``, slots, and tokens whose replies are awaited."""

    def __init__(self, concurrency: int) -> None:
        """``concurrency``: steps that may run at once."""
        self.concurrency = concurrency
        self.held: dict[Held, asyncio.Task[None] | None] = {}
        self.awaited: set[str] = set()
        """Tokens of calls under way that may bring commands into hand."""
        self._revoked: set[Held] = set()
        """Commands that were taken back while the reply that brings them into hand is awaited."""
        self.turning: set[str] = set()
        """Addresses whose turn is under way."""
        self.entries: set[tuple[str, bytes]] = set()
        """Stream entries being looked at, (stream, id)."""
        self.alone: Held | None = None
        """A command that killed workers before: nothing else is started beside it."""
        self.closed = False
        """The worker is leaving: nothing more is taken."""
        self._reserved = 0
        self._finishing: set[Held] = set()
        self._started: set[int] = set()
        self._started_before: set[int] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def free(self) -> int:
        """Slots that are neither used nor promised."""
        if self.closed or self.alone is not None:
            return 0
        return max(0, self.concurrency - len(self.held) + len(self._finishing) - self._reserved)

    @property
    def takes(self) -> bool:
        """Whether a command that needs no slot may be begun."""
        return not self.closed and self.alone is None

    def reserve(self, wanted: int) -> int:
        """Promise up to ``wanted`` slots; return how many. Give them back by ``unreserve``."""
        granted = min(wanted, self.free)
        self._reserved += granted
        return granted

    def unreserve(self, count: int) -> None:
        """Give back promised slots."""
        self._reserved -= count
        self._changed()

    def take(self, held: Held) -> bool:
        """Enter a command, checked and set: False if it is in hand already, or nothing more is taken."""
        if self.closed or held in self.held:
            return False
        self.held[held] = None
        return True

    def revoke(self, held: Held) -> bool:
        """Note that a command was taken back; True: it is in hand, and to be broken off."""
        if held not in self.held and held.token in self.awaited:
            self._revoked.add(held)
        return held in self.held

    def was_revoked(self, held: Held) -> bool:
        """Tell, once, whether a command was taken back before it came into hand; it is out of hand then."""
        if not self._revoked or held not in self._revoked:  # mostly there are none, and a hash costs
            return False
        self._revoked.discard(held)
        self.drop(held)
        return True

    def forget_revoked(self) -> None:
        """Forget what never came into hand: its reply has come, or will not."""
        self._revoked = {held for held in self._revoked if held.token in self.awaited}

    def finishing(self, held: Held) -> None:
        """A command's code has run; only its completion is under way, and its slot is free for others."""
        if held in self.held:
            self._finishing.add(held)

    def is_finishing(self, held: Held) -> bool:
        """Tell whether only a command's completion is under way."""
        return held in self._finishing

    def was_started(self, held: Held) -> bool:
        """Tell whether a command's code began to run here; remembered of those that may run at most once."""
        key = hash(held)
        return key in self._started or key in self._started_before

    def drop(self, held: Held) -> None:
        """A command's completion was answered, or it is not ours."""
        self.held.pop(held, None)
        self._finishing.discard(held)
        if self.alone == held:
            self.alone = None
        self._changed()

    def started(self, begun: Begun) -> bool:
        """Remember that a command's code begins to run; False: it did before (the server was rolled back).

        If the server forgot also that the command was begun, it comes under another token: so the same call in the same
        place of its instance counts too.
        """
        held, command, started = begun.held, begun.command, self._started
        call = hash((held.address, held.generation, held.seq, held.attempt, command.target, command.arguments))
        if call in started or call in self._started_before:
            return False
        if len(started) >= 2 * REMEMBERED_MIN:
            self._started_before = started
            self._started = started = set[int]()
        started.add(call)
        started.add(hash(held))
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the hands holds."""
        while not condition():
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    async def room(self) -> None:
        """Wait until a slot is free."""
        await self.until(lambda: self.free > 0)

    def close(self) -> None:
        """Take nothing more, for good."""
        self.closed = True

    async def make_way(self, held: Held, *, reserved: int, limit_s: float = 30.0) -> bool:
        """Take nothing more but ``held``, and wait until nothing else runs; False: another is alone, or it takes long.

        ``reserved``: slots that are promised to ``held`` itself. It stays alone until it is dropped.
        """
        if self.alone is not None:
            return False
        self.alone = held
        try:
            async with asyncio.timeout(limit_s):
                await self.until(lambda: not self.held and self._reserved <= reserved)
        except BaseException as error:
            self.drop(held)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    async def empty(self) -> None:
        """Wait until nothing is in hand and no turn is under way."""
        await self.until(lambda: not self.held and not self.turning)

    def _changed(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def turn_ended(self, address: str) -> None:
        """A turn is over."""
        self.turning.discard(address)
        self._changed()
