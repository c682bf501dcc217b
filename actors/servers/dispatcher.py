"""Dispatcher: takes actors that have unconsumed events and has their turns run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from actors.servers.server import Server
from kernel import Entry, Reader, draw_nonce

if TYPE_CHECKING:
    from actors.servers.host import Host

TURNS_BESIDE_STEPS: Final = 8
"""Turns that may be under way though every slot is taken: they need no slot, and what they decide may be a timer."""


class Dispatcher(Server):
    """Reads the ready streams, as far as this worker can take what comes of it."""

    name: ClassVar[str] = "dispatcher"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._alone = asyncio.Lock()

    async def run(self) -> None:
        """Read and turn until cancelled."""
        async with asyncio.TaskGroup() as group:
            for streams in self._host.stream_groups("ready"):
                group.create_task(self._serve(streams))

    async def _serve(self, streams: tuple[str, ...]) -> None:
        host = self._host
        reader = Reader(
            host.store.space,
            group="dispatchers",
            consumer=host.incarnation,
            streams=streams,
            on_restored=host.auditor.soon,
        )
        try:
            while True:
                await host.hands.until(lambda: self._capacity() > 0)
                entries = await reader.wait()
                while entries:
                    for entry in entries:
                        self.take(entry)
                    room = self._capacity()
                    entries = await reader.more(room) if room > 0 else []
        finally:
            await reader.close()

    def take(self, entry: Entry) -> None:
        """Have an entry's actor turned."""
        host = self._host
        key = (entry.stream, entry.id)
        if not entry.fields or key in host.hands.entries:
            return
        host.hands.entries.add(key)
        host.spawn(self._turn(entry, key), name="turn")

    async def _turn(self, entry: Entry, key: tuple[str, bytes]) -> None:
        host = self._host
        address, ready = entry.fields[1].decode(), entry.id.decode()
        try:
            if entry.deliveries > 1:
                await self._turn_alone(address, ready)
            else:
                await host.turner.take(address, ready)
        finally:
            host.hands.entries.discard(key)

    async def _turn_alone(self, address: str, ready: str) -> None:
        """Turn an actor whose ready entry was in a dead worker's hands, among others that have done no harm.

        One at a time, and noted: so what is counted is deaths during its own turn, and the innocent are not condemned.
        """
        host, turns = self._host, self._host.store.turns
        async with self._alone:
            risks = await turns.risk(address, ready, token=f"{draw_nonce():x}")
            # The death that made it suspect counts, and those in the turns that were noted before this one.
            handle = host.turner.condemn if risks >= host.deaths_max else host.turner.take
            try:
                await handle(address, ready)
            except asyncio.CancelledError:
                raise
            except Exception:
                await turns.survived(address)
                raise
            await turns.survived(address)

    def _capacity(self) -> int:
        hands = self._host.hands
        return max(TURNS_BESIDE_STEPS, hands.free) - len(hands.turning)
