"""Connecting: a worker that is started while its server is away waits for it. Every other command says so and ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from kernel import ServerUnreachable

if TYPE_CHECKING:
    from actors.manager import WorkflowManager

log = structlog.get_logger(__name__)

WAIT_S: Final = 60.0
"""How long a server is waited for, unless it is said: longer than a failover or a restart takes."""
DELAY_S_MIN: Final = 0.5
DELAY_S_MAX: Final = 5.0


async def connect(manager: WorkflowManager, *, wait_s: float, stop: asyncio.Event) -> bool:
    """Connect to the manager's server; False: ``stop`` was set before one answered.

    Raises:
        ServerUnreachable: none has within ``wait_s`` seconds, or waiting does not mend why.
        KernelError: what a person must change, at once.
    """
    tasks = asyncio.create_task(_connect(manager, wait_s)), asyncio.create_task(stop.wait())
    trying, _ = tasks
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if trying.done():
            trying.result()
            return True
        log.info("stopped before a Redis server answered")
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _connect(manager: WorkflowManager, wait_s: float) -> None:
    loop, delay_s = asyncio.get_running_loop(), DELAY_S_MIN
    until = loop.time() + wait_s
    while True:
        try:
            await manager.store()
        except ServerUnreachable as error:
            left_s = until - loop.time()
            if not error.may_pass or left_s <= 0:
                raise
            delay_s = min(delay_s, left_s)
            log.warning(
                "waiting for the Redis server", error=str(error), again_in_s=round(delay_s, 1), at_most_s=round(left_s)
            )
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, DELAY_S_MAX)
        else:
            return
