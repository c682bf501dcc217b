"""Courier: carries messages between actors that may live in other slots. At least once, with a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from actors.servers.server import Server
from kernel import Entry, LinkChanged, Reader, read_message

if TYPE_CHECKING:
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

CARRIED_MAX: Final = 64
"""Messages under way at once."""


class Courier(Server):
    """Reads the outboxes. What a message means to its receiver is in ``delivery``."""

    name: ClassVar[str] = "courier"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._room = asyncio.Semaphore(CARRIED_MAX)

    async def run(self) -> None:
        """Read and deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for streams in self._host.stream_groups("outbox"):
                group.create_task(self._serve(streams))

    async def _serve(self, streams: tuple[str, ...]) -> None:
        host = self._host
        reader = Reader(
            host.store.space,
            group="couriers",
            consumer=host.incarnation,
            streams=streams,
            on_restored=host.auditor.soon,
        )
        try:
            while True:
                for entry in await reader.wait():
                    self.take(entry)
                    for further in await reader.more(CARRIED_MAX):
                        self.take(further)
        finally:
            await reader.close()

    def take(self, entry: Entry) -> None:
        """Have a message delivered."""
        key = (entry.stream, entry.id)
        if not entry.fields or key in self._host.hands.entries:
            return
        self._host.hands.entries.add(key)
        self._host.spawn(self._deliver(entry, key, self._host.store.space.stamp), name="deliver")

    async def _deliver(self, entry: Entry, key: tuple[str, bytes], since: int) -> None:
        try:
            async with self._room:
                await self._deliver_to_its_end(entry, since)
        finally:
            self._host.hands.entries.discard(key)

    async def _deliver_to_its_end(self, entry: Entry, since: int) -> None:
        """Deliver a message and take it out; both once more if the server may have lost the delivery in between.

        ``since``: the space's stamp when it was read. What the server has lost since, as if it was never sent, is left.
        """
        store, message = self._host.store, read_message(entry)
        while True:
            try:
                if not await self._host.delivery.deliver(message, since=since):
                    return
                await store.outbox.sent(message, since=since)
                return
            except LinkChanged:
                since = store.space.stamp
                if not await store.outbox.has(message):
                    return
