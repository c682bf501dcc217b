"""Pruner: deletes ended instances whose retention is over."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ClassVar, Final

from actors.servers.server import Server
from kernel import Refused

if TYPE_CHECKING:
    from actors.servers.host import Host

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
