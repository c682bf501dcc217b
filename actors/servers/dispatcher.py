"""Dispatcher: takes actors that have unconsumed events and has their turns run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from actors.servers.server import Server
from kernel import Entry, Reader

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
            if entry.deliveries >= host.deaths_max:
                # It came back so often from dead workers that it is not turned again: the actor is stopped.
                await host.turner.condemn(address, ready)
            else:
                await host.turner.take(address, ready)
        finally:
            host.hands.entries.discard(key)

    def _capacity(self) -> int:
        hands = self._host.hands
        return max(TURNS_BESIDE_STEPS, hands.free) - len(hands.turning)
