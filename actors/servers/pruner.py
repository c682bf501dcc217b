"""Pruner: deletes ended instances whose retention is over, and what was set aside long ago."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from actors.servers.server import Server
from kernel import Refused

if TYPE_CHECKING:
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

PRUNE_S: Final = 30.0


class Pruner(Server):
    """Looks every 30 s for what is past its retention."""

    name: ClassVar[str] = "pruner"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host

    async def run(self) -> None:
        """Delete until cancelled."""
        while True:
            await self.prune()
            await self.prune_dead()
            await asyncio.sleep(PRUNE_S)

    async def prune(self) -> int:
        """Delete what is due; return how many instances went."""
        instances, gone = self._host.store.instances, 0
        for tag in self._host.store.space.keys.tags:
            while due := await instances.expired(tag, now_ms=self._host.now_ms()):
                before = gone
                for address in due:
                    with contextlib.suppress(Refused):
                        await instances.cleanup(address, only_if_due=True)
                        gone += 1
                if gone == before:
                    break
        return gone

    async def prune_dead(self) -> int:
        """Delete dead letters that nobody has looked after for long; return how many went."""
        host = self._host
        gone = await host.store.dead.prune(before_ms=host.now_ms() - host.dead_retention_ms)
        if gone:
            log.warning("dead letters were deleted: they were too old or too many", count=gone)
        return gone
