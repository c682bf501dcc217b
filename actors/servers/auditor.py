"""Auditor: compares what Redis says this worker holds with what it has in hand, so a lost reply strands nothing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ClassVar, Final

from actors.servers.server import Server
from kernel import Entry, Held, KernelError, Obsolete, PayloadUnusable, Reader, is_damage

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.servers.host import Host

AUDIT_S: Final = 2.0


class Auditor(Server):
    """Audits every 2 s and after every reconnection."""

    name: ClassVar[str] = "auditor"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._now = asyncio.Event()
        self._missing: set[Held] = set()

    def soon(self) -> None:
        """Audit without waiting for the next time."""
        self._now.set()

    async def run(self) -> None:
        """Audit until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear_revoked())
            group.create_task(self._audit_forever())

    async def _hear_revoked(self) -> None:
        """Break off at once what a script took back while it ran here; what is about to come here does not begin."""
        host = self._host
        channels = tuple(f"{tag}:revoked" for tag in host.store.space.keys.tags)
        async for message in host.store.hearing.messages(*channels):
            held = Held.of(message)
            if held.worker == host.incarnation and host.hands.revoke(held):
                host.runner.cancel(held)

    async def _audit_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AUDIT_S):
                    await self._now.wait()
            self._now.clear()
            await self.audit()

    async def audit(self) -> None:
        """Take up what is held or delivered and not in hand; break off what is in hand and no longer held."""
        host, hands = self._host, self._host.hands
        hands.forget_revoked()
        before = set(hands.held)
        listed = dict.fromkeys(await host.store.steps.held_by(host.incarnation))
        for held in listed:
            if held not in hands.held and held.token not in hands.awaited and held.address not in host.left:
                await self._adopt(held)
        gone = {held for held in before & hands.held.keys() if held not in listed and held.worker == host.incarnation}
        for held in sorted(gone & self._missing):
            host.runner.cancel(held)
        self._missing = gone
        await self._entries()

    async def _adopt(self, held: Held) -> None:
        """Confirm by script; a listing alone starts nothing."""
        try:
            begun = await self._host.store.steps.adopt(held)
            self._host.runner.start_step(begun)
        except Obsolete:
            pass
        except PayloadUnusable as error:
            await self._host.runner.give_up(held, error)
        except KernelError as error:
            if not is_damage(error):
                raise
            await self._host.turner.damaged(held.address, error)

    async def _entries(self) -> None:
        """Take up stream entries that were delivered to this worker and are not being looked at."""
        host = self._host
        takers = (
            ("ready", "dispatchers", host.dispatcher.take),
            ("q", "workers", host.runner.take),
            ("outbox", "couriers", host.courier.take),
        )
        for name, group, take in takers:
            names = host.queue_streams if name == "q" else (name,)
            for streams in host.stream_groups(*names):
                await self._take_up(streams, group, take)
        await self._take_up((host.store.space.keys.gateway,), "gateways", host.gateway.take)

    async def _take_up(self, streams: tuple[str, ...], group: str, take: Callable[[Entry], None]) -> None:
        host = self._host
        reader = Reader(host.store.space, group=group, consumer=host.incarnation, streams=streams)
        for entry in await reader.pending(known=host.hands.entries):
            take(entry)
