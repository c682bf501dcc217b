"""Custody: which workers live, and taking over what a dead one held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from kernel.errors import ServerRefused
from kernel.store import keys
from kernel.store.damage import is_damage
from kernel.store.reader import Entry, Reader, found_group
from kernel.store.replies import listed
from kernel.store.space import Space, draw_nonce
from kernel.store.steps import read_queued

if TYPE_CHECKING:
    from collections.abc import Sequence

TAKE_MAX: Final = 100
"""Entries or members that one call takes over at most."""
NONCE_BASE_DIGITS: Final = 15


class Heartbeat(NamedTuple):
    """A worker and the value of its last heartbeat."""

    worker: str
    value: str


def nonce_base() -> str:
    """Draw fifteen digits; a script appends three of its own, so that each event gets another nonce."""
    return str(10**14 + draw_nonce() % (9 * 10**14))


class Custody:
    """Transitions of workers' lives."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def register(self, worker: str, about: str) -> None:
        """Let a new incarnation appear among the living."""
        await self._space.call("register", self._space.keys.workers, worker, about)

    async def found(self, streams: Sequence[tuple[str, str]]) -> None:
        """Make the streams and groups that a worker reads, so that no read meets a missing one."""
        await asyncio.gather(*(found_group(self._space, stream, group) for stream, group in streams))

    async def bands(self) -> set[str]:
        """Return the bands that steps were put into so far, as ``default!7``."""
        replies = await asyncio.gather(
            *(self._space.send(tag, "SMEMBERS", keys.shared(tag, "bands")) for tag in self._space.keys.tags)
        )
        return {cast("bytes", name).decode() for reply in replies for name in listed(reply)}

    async def give_back(self, tag: str, worker: str, queues: Sequence[str]) -> None:
        """Put step and ready entries that a leaving worker had read and not begun at the ends of their streams."""
        streams = [(keys.shared(tag, "ready"), keys.DISPATCHERS)]
        streams += [(keys.queue(tag, queue), keys.WORKERS) for queue in queues]
        for stream, group in streams:
            reader = Reader(self._space, group=group, consumer=worker, streams=(stream,))
            for entry in await reader.pending():
                try:
                    await self._give_back(tag, stream, group, entry)
                except ServerRefused as error:
                    if not is_damage(error):
                        raise  # else what it is about is damaged: it stays, for whoever takes over

    async def _give_back(self, tag: str, stream: str, group: str, entry: Entry) -> None:
        if not entry.fields:
            await self._space.send(stream, "XACK", stream, group, entry.id)
            return
        name = stream.removeprefix(f"{tag}:")
        if name == "ready":
            address = entry.fields[1].decode()
            await self._space.call("postpone", tag, self._space.clock, address, entry.id, 0, "", 0, "")
            return
        queued = read_queued(tag, name.removeprefix("q:"), entry.id, entry.fields)
        held = (queued.address, queued.generation, queued.seq, queued.attempt, "", "")
        await self._space.call("release", tag, self._space.clock, *held, queued.queue, queued.entry, 0, 0, b"")

    async def heartbeat(self, worker: str, value: int) -> bool:
        """Beat; False: this incarnation was declared dead."""
        return await self._space.call("heartbeat", self._space.keys.workers, worker, value) == b"OK"

    async def fence(self, worker: str, seen: str) -> bool:
        """Declare a worker dead if its value is still the one seen (empty: it says so itself)."""
        return await self._space.call("fence", self._space.keys.workers, worker, seen) == b"FENCED"

    async def living(self) -> list[Heartbeat]:
        """List the workers that are registered, with their values."""
        key = self._space.keys.workers
        reply = listed(await self._space.send(key, "ZRANGE", key, 0, -1, "WITHSCORES"))
        return [Heartbeat(reply[i].decode(), reply[i + 1].decode()) for i in range(0, len(reply), 2)]

    async def about(self) -> dict[str, str]:
        """Return what each worker says of itself."""
        key = self._space.keys.workers
        reply = listed(await self._space.send(key, "HGETALL", f"{{{key}}}:about"))
        return {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}

    async def consumers(self, stream: str, group: str) -> list[str]:
        """Return the names of a group's consumers; none if there is no such group."""
        try:
            reply = await self._space.send(stream, "XINFO", "CONSUMERS", stream, group)
        except ServerRefused as error:
            if "no such key" in error.error.lower() or "NOGROUP" in error.error:
                return []
            raise
        items: list[list[bytes]] = listed(reply)
        return [dict(zip(item[::2], item[1::2], strict=True))[b"name"].decode() for item in items]

    async def holders(self, tag: str) -> set[str]:
        """Return the workers that hold something in a partition, by skipping from one to the next."""
        found: set[str] = set()
        low = "-"
        while True:
            reply = await self._space.send(tag, "ZRANGEBYLEX", keys.shared(tag, "held"), low, "+", "LIMIT", 0, 1)
            members: list[bytes] = listed(reply)
            if not members:
                return found
            worker = members[0].decode().partition("|")[0]
            found.add(worker)
            low = f"({worker}}}"

    async def claim(self, stream: str, group: str, *, dead: str, me: str) -> list[Entry]:
        """Take over what a dead consumer had read from a stream; up to 100 entries a call."""
        tag = stream[: stream.index("}") + 1] if "}" in stream else stream
        reply = listed(await self._space.call("claim", tag, stream, group, dead, me, TAKE_MAX))
        return [Entry(stream, entry[0], entry[1], int(entry[2])) for entry in reply]

    async def forget(self, stream: str, group: str, consumer: str) -> bool:
        """Delete a dead consumer on which nothing is pending."""
        tag = stream[: stream.index("}") + 1] if "}" in stream else stream
        return await self._space.call("forget", tag, stream, group, consumer) == 1

    async def requeue(
        self, tag: str, dead: str, *, convict_at: int, unknown: bytes, died: bytes, until_ms: int | None = None
    ) -> int:
        """Take what a dead worker had begun out of its hands; return how many commands, up to 100 a call.

        ``until_ms``: what it began later, by the server's clock, does not count as a crash; None: all does.
        """
        until = "" if until_ms is None else until_ms
        reply = await self._space.call(
            "requeue", tag, self._space.clock, dead, nonce_base(), TAKE_MAX, convict_at, unknown, died, until
        )
        assert isinstance(reply, int)
        return reply

    async def take_all(self, dead: str, *, convict_at: int, unknown: bytes, died: bytes, was_crash: bool = True) -> int:
        """Requeue until nothing is left in any partition.

        One that only stood still begins steps until it hears that it is dead, the same ones again and again: what it
        begins from now on is no crash of theirs, and nothing is if ``was_crash`` is false.
        """

        async def take(tag: str) -> int:
            total, until_ms = 0, await self._time_ms(tag) if was_crash else 0
            while taken := await self.requeue(
                tag, dead, convict_at=convict_at, unknown=unknown, died=died, until_ms=until_ms
            ):
                total += taken
            return total

        return sum(await asyncio.gather(*(take(tag) for tag in self._space.keys.tags)))

    async def _time_ms(self, tag: str) -> int:
        """Return the time by the clock that scripts go by there."""
        if self._space.clock:
            return int(self._space.clock)
        seconds, micros = listed(await self._space.send(tag, "TIME"))
        return int(seconds) * 1000 + int(micros) // 1000
