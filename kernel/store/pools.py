"""Pools: how many of their steps may be under way at once, and who is next. A pool lies in one slot, its steps in any.

Steps and pools tell one another by messages of the outbox. A permit is named by who asked for it and by the message
that asked, so nothing said of one is ever taken for another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from kernel.errors import LinkChanged
from kernel.store import keys
from kernel.store.replies import listed
from kernel.store.snapshot import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.store.outbox import Message
    from kernel.store.space import Space

MEMBERS_MAX: Final = 100
"""Members that one call takes, permits that one call grants."""
LOOKS_MAX: Final = 5
"""How often it is looked whether permits are wanted, while connections break."""
RECHECK_MS: Final = 60_000
"""A permit that was out for so long without a look is looked after."""


class Permit(NamedTuple):
    """A permit that is out, or that is waited for."""

    pool: str
    address: str
    """The step's actor."""
    generation: str
    seq: int
    attempt: int
    ask: str
    """The entry of the message that asked for it."""

    @property
    def member(self) -> str:
        """Its member of the pool's sorted sets."""
        return f"permit|{self.generation}|{self.seq:06d}|{self.attempt}|{self.ask}|{self.address}"

    @classmethod
    def of(cls, pool: str, member: str) -> Permit:
        """Read a member."""
        _, generation, seq, attempt, ask, address = Member.of(member)
        return cls(pool, address, generation, seq, attempt, ask)

    @classmethod
    def in_message(cls, message: Message) -> Permit:
        """Return the permit that a message ``acquire``, ``grant`` or ``free`` is about."""
        asks = message.what == "acquire"
        granted = message.what == "grant"
        return cls(
            (message.sender if granted else message.to).partition("/")[2],
            message.to if granted else message.sender,
            message.generation,
            int(message.seq),
            message.attempt,
            message.entry if asks else message.token,
        )


class Asking(NamedTuple):
    """A step that waits for a permit."""

    permit: Permit
    priority: int
    """0 to 9; the higher comes first."""

    @classmethod
    def of(cls, pool: str, priority: str, member: str) -> Asking:
        """Read what ``reconcile`` says of one."""
        return cls(Permit.of(pool, member), int(priority))


class PoolStatus(NamedTuple):
    """A pool at one moment."""

    max_parallelism: int | None
    """How many of its steps may be under way at once; None: no worker has said it yet, so none may."""
    under_way: int
    """Steps that have a permit: they run, or wait in their queue for a worker."""
    waiting: int
    """Steps that wait for a permit."""


class Pools:
    """Transitions of permits."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    def _tag(self, pool: str) -> str:
        return self._space.keys.tag_of(keys.pool_address(pool))

    async def declare(self, pool: str, limit: int, *, if_unknown: bool = False) -> int:
        """Say what the code says; what was set since it said so the first time stays. Return the limit that holds.

        ``if_unknown``: only if Redis has no limit at all.
        """
        return await self._resize(pool, "?" if if_unknown else "", declared=limit)

    async def resize(self, pool: str, limit: int, *, declared: int) -> None:
        """Set the limit, until code declares another one than it did last (``declared``, if none has so far)."""
        await self._resize(pool, limit, declared=declared)

    async def _resize(self, pool: str, limit: int | str, *, declared: int) -> int:
        tag = self._tag(pool)
        while True:
            holds, granted = listed(await self._space.call("resize", tag, self._space.clock, pool, limit, declared))
            if granted < MEMBERS_MAX:
                return int(holds)

    async def acquire(self, asking: Sequence[Asking], *, since: int | None = None) -> None:
        """Ask a pool for permits; who has one is told again, who waits goes on waiting. All of one pool.

        ``since``: the space's stamp before it was looked up who asks. Raises LinkChanged: look again.
        """
        for at in range(0, len(asking), MEMBERS_MAX):
            page = asking[at : at + MEMBERS_MAX]
            words = [word for one in page for word in (one.permit.member, one.priority)]
            await self._call("acquire", page[0].permit.pool, words, since)

    async def free(self, permits: Sequence[Permit], *, since: int | None = None) -> None:
        """Give permits back, or take back that they were asked for. All of one pool, 1 to 100. Raises LinkChanged."""
        await self._call("free", permits[0].pool, [permit.member for permit in permits], since)

    async def _call(self, script: str, pool: str, words: Iterable[str | int], since: int | None) -> object:
        tag, space = self._tag(pool), self._space
        if since is None:
            return await space.call(script, tag, space.clock, pool, *words)
        return await space.call_if(since, script, tag, space.clock, pool, *words)

    async def admit(self, permit: Permit, *, only_look: bool = False) -> bool:
        """Let the step that a permit is for go to its queue; False: it does not want it any more, so give it back."""
        reply = await self._space.actor_call(
            "admit",
            permit.address,
            self._space.clock,
            permit.address,
            permit.generation,
            permit.seq,
            permit.attempt,
            permit.pool,
            permit.ask,
            int(only_look),
        )
        return bool(listed(reply)[0] != b"OBSOLETE")

    async def recheck(self, pool: str) -> int:
        """Ask those that have had a permit for long, and some that wait, whether they want it; return how many not."""
        freed = 0
        while True:
            tag = self._tag(pool)
            reply = listed(await self._space.call("recheck", tag, self._space.clock, pool, RECHECK_MS, MEMBERS_MAX))
            held, members = int(reply[0]), [Permit.of(pool, cast("bytes", one).decode()) for one in reply[1:]]
            freed += await self._free_unwanted(members, held=held)
            if held < MEMBERS_MAX:
                return freed

    async def _free_unwanted(self, permits: Sequence[Permit], *, held: int) -> int:
        """Give back what is not wanted, of permits of which the first ``held`` are out; return how many."""
        for _ in range(LOOKS_MAX):
            since = self._space.stamp
            wanted = await asyncio.gather(
                *(self.admit(permit, only_look=number >= held) for number, permit in enumerate(permits))
            )
            unwanted = [permit for permit, keep in zip(permits, wanted, strict=True) if not keep]
            try:
                for at in range(0, len(unwanted), MEMBERS_MAX):
                    await self.free(unwanted[at : at + MEMBERS_MAX], since=since)
            except LinkChanged:  # what was read may have been undone: look again
                continue
            return len(unwanted)
        return 0

    async def names(self) -> list[str]:
        """Return the pools that there are, sorted."""
        replies = await asyncio.gather(
            *(self._space.send(tag, "SMEMBERS", keys.shared(tag, "pools")) for tag in self._space.keys.tags)
        )
        return sorted(cast("bytes", name).decode() for reply in replies for name in listed(reply))

    async def status(self, pool: str) -> PoolStatus:
        """Return how a pool stands; not quite of one moment."""
        tag = self._tag(pool)
        limit, under_way, waiting = await asyncio.gather(
            self._space.send(tag, "HGET", keys.pool(tag, pool), "limit"),
            self._space.send(tag, "ZCARD", keys.pool(tag, pool, "held")),
            self._space.send(tag, "ZCARD", keys.pool(tag, pool, "waiting")),
        )
        return PoolStatus(
            int(limit) if isinstance(limit, bytes) else None, cast("int", under_way), cast("int", waiting)
        )
