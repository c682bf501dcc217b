"""A process dies before or after every single write to Redis; the run ends as if it had not."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from kernel.memory import drop_memory_server
from tests.engine.journey import RESULT, Ran, check, define
from tests.engine.mortal import Life, When
from tests.engine.process import MortalManager, Process

RESULT_S_MAX = 10.0


async def run_with_death(url: str, die_at: int, when: When, namespace: str = "t") -> Life:
    """Run the journey in a process that dies at a write, let another end it, check; return the first one's life."""
    ran, life = Ran(), Life(die_at, when)
    first = Process(MortalManager(url, life, namespace=namespace))
    first.journey = define(first.manager, ran)

    async def begin() -> object:
        await first.start()
        handle = await first.manager.start(first.journey.with_options(id="j"))
        return await handle.result()

    working = asyncio.ensure_future(begin())
    death = asyncio.ensure_future(life.died.wait())
    await asyncio.wait([working, death], return_when=asyncio.FIRST_COMPLETED, timeout=RESULT_S_MAX)
    ended = working.done()
    for task in (working, death):
        task.cancel()
    await asyncio.gather(working, death, return_exceptions=True)
    dead = first.incarnation
    await first.die()
    assert ended or life.last, f"it neither ended nor died: {life.writes} writes"
    second = Process(MortalManager(url, namespace=namespace))
    journey = define(second.manager, ran)
    await second.start()
    try:
        if dead:
            await second.take_over(dead)
        handle = await second.manager.start(journey.with_options(id="j"))
        assert await handle.result(timeout=RESULT_S_MAX) == RESULT
        await settled(second)
        await check(await second.manager.store(), "j", ran, deaths=1)
    finally:
        await second.stop()
    return life


async def settled(process):
    await process.worker.host.hands.empty()
    await asyncio.wait_for(process.worker.host.idle(), 5) if hasattr(process.worker.host, "idle") else None


if __name__ == "__main__":
    import sys
    def one(k, when):
        url = f"memory://{uuid4().hex}"
        t = time.time()
        try:
            life = asyncio.run(run_with_death(url, k, when))
            return life, time.time() - t, None
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt): raise
            import traceback
            return None, time.time() - t, traceback.format_exc()
        finally:
            drop_memory_server(url)
    if len(sys.argv) > 2:
        print(one(int(sys.argv[1]), sys.argv[2]))
        sys.exit()
    k = 0
    T = time.time()
    while True:
        k += 1
        lasts = []
        for when in ("before", "after"):
            life, dt, err = one(k, when)
            lasts.append(life and life.last)
            print(k, when, f"{dt:.3f}", life and life.last[:120], err and err[-1500:], flush=True)
        if lasts[0] == "" : break
    print("total", time.time() - T)
