"""Timekeeper: moves what is due. It sleeps until then, and is told when something falls due earlier."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from actors.errors import Failure
from actors.servers.server import Server
from kernel import keys

if TYPE_CHECKING:
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

LOOK_S_MAX: Final = 5.0
"""It looks at least so often: an announcement may be lost."""
LOOK_AFTER_S: Final = 60.0
"""How often stopped instances are tried with the code at hand, if it is not the code that stopped them, and pools are
looked after."""

_TIMEOUT: Final = Failure(
    kind="WorkflowFailed",
    error_type="WorkflowTimedOut",
    message="the workflow did not end within its timeout: raise with_options(timeout=…), or see its steps for what it "
    "was waiting for",
).encode()


class Timekeeper(Server):
    """Promotes due members of every partition."""

    name: ClassVar[str] = "timekeeper"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._earlier = asyncio.Event()

    async def run(self) -> None:
        """Promote, sleep, promote, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look_after())
            await self._keep()

    async def _keep(self) -> None:
        while True:
            self._earlier.clear()
            wait_s = await self._promote_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._earlier.wait()

    async def _promote_all(self) -> float:
        """Move all that is due; return how long nothing more will be, s."""
        waits = await asyncio.gather(*(self._promote(tag) for tag in self._host.store.space.keys.tags))
        return min(*waits, LOOK_S_MAX)

    async def _promote(self, tag: str) -> float:
        host = self._host
        while True:
            promoted = await host.store.timers.promote(tag, timeout_payload=_TIMEOUT)
            for timed_out in promoted.timed_out:
                host.spawn(host.runner.time_out(timed_out), name="time out")
            for address in promoted.to_reconcile:
                host.spawn(self._reconcile(address), name="reconcile")
            if promoted.due_ms is None:
                return LOOK_S_MAX
            if promoted.due_ms > promoted.now_ms:
                return (promoted.due_ms - promoted.now_ms) / 1000

    async def _reconcile(self, address: str) -> None:
        again, healed, asking = await self._host.store.timers.reconcile(address)
        for pool in dict.fromkeys(one.permit.pool for one in asking):
            await self._host.store.pools.acquire([one for one in asking if one.permit.pool == pool])
        if healed:
            log.error(
                "commands had lost their place and were put back; please report it",
                workflow_id=keys.id_of(address),
                count=healed,
            )
        elif again:
            log.info("children were asked for news again", workflow_id=keys.id_of(address), count=again)

    async def _listen(self) -> None:
        """Wake when a script announces an earlier due time."""
        host = self._host
        async for _ in host.listen(*(f"{tag}:due" for tag in host.store.space.keys.tags)):
            self._earlier.set()

    async def _look_after(self) -> None:
        """Let stopped instances go on whose code has been put right; find permits that nobody wants any more."""
        while True:
            await self._host.resume_stopped()
            if self._host.registry.pools:
                self._host.spawn(self._host.recheck_pools(), name="look after pools")
            await asyncio.sleep(LOOK_AFTER_S)
