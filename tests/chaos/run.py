"""Run: load and injections for a while, then the oracle. Ends by itself, in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tests.chaos.injections import inject
from tests.chaos.oracle import Oracle
from tests.chaos.report import Report, make_report
from tests.chaos.schedule import plan
from tests.chaos.stage import Settings, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

BEYOND_S: Final = 240.0
"""What a run may take beyond its load: the start, the drain, the oracle."""


async def run(settings: Settings, say: Callable[[str], None]) -> Report:
    """Run once. ``say`` is told the schedule and what happens.

    Raises:
        NotHere: the place cannot be started on this machine.
        UnknownKind: of ``settings.only``.
        TimeoutError: it did not end in time.
    """
    planned = plan(
        settings.seed, place=settings.place, seconds=settings.seconds, only=settings.only, haste=settings.haste
    )
    say(f"{settings.place}, seed {settings.seed}: " + ", ".join(f"{at_s:.0f} s {kind}" for at_s, kind, _ in planned))
    async with asyncio.timeout(settings.seconds + settings.drain_s + BEYOND_S), Stage(settings, say) as stage:
        loop = asyncio.get_running_loop()
        began = loop.time()
        load = loop.create_task(stage.load.run(settings.rate))
        try:
            for at_s, kind, size in planned:
                await asyncio.sleep(began + at_s - loop.time())
                await inject(stage, kind, size)
            await asyncio.sleep(began + settings.seconds - loop.time())
        finally:
            load.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await load
        load_s = loop.time() - began
        await asyncio.gather(*stage.spawned)
        say(f"{load_s:6.1f} s  the load is over; the oracle looks")
        await stage.load.finish()
        oracle = Oracle(stage)
        verdict = await oracle.judge()
        return make_report(stage, verdict, oracle.records, load_s=load_s)
