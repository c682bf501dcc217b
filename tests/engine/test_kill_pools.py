"""A process dies before or after every single write of a workflow whose steps share a pool: nothing keeps a permit.

One point alone: ``KILL_AT=37 pytest tests/engine/test_kill_pools.py -k after``.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import pytest

from actors import RetryPolicy, Step, Workpool, current_step
from kernel.memory import drop_memory_server
from kernel.store.audit import audit
from tests.engine.mortal import Life, When
from tests.engine.process import MortalManager, Process, until

if TYPE_CHECKING:
    from actors.definitions import Workflow

RESULT_S_MAX = 15.0
POINTS_MAX = 200
WRITES_MIN = 40
"""The workflow makes about 60 writes; fewer mean that it is no longer what this test needs."""
STRIDE = 9
"""The suite takes every ninth point; ``KILL_EACH=1`` all."""
FAILURES_MAX = 5
AGAIN = RetryPolicy(max_attempts=3, initial_backoff=0.002, jitter=False)


class Ran:
    """How often each step's code began, and how many run now, over all processes."""

    def __init__(self) -> None:
        self.began: Counter[tuple[int, int]] = Counter()
        self.inside = 0
        self.most = 0


def define(manager: MortalManager, ran: Ran) -> Workflow[[], list[int]]:
    """Define the workflow, its steps and their pool."""
    Workpool(manager, "one", max_parallelism=1)

    @manager.action(name="add", retry=AGAIN, pool="one")
    async def add(n: int) -> int:
        step = current_step()
        ran.began[step.seq, step.attempt] += 1
        ran.inside += 1
        ran.most = max(ran.most, ran.inside)
        try:
            await asyncio.sleep(0)
            if n == 1 and step.attempt == 1:
                raise ConnectionError("not yet")
        finally:
            ran.inside -= 1
        return n + 1

    @manager.workflow(name="crowd")
    async def crowd(step: Step) -> list[int]:
        late = step.run_action(add.with_options(run_after=600), 9)
        sums = await asyncio.gather(*(step.run_action(add, n) for n in range(3)))
        late.cancel()
        lost = step.run_action(add, 7)
        lost.cancel()
        return sums

    return crowd


async def run_with_death(url: str, die_at: int, when: When) -> Life:
    """Run in a process that dies at a write, let another end it, check; return the first one's life."""
    namespace = uuid4().hex
    ran, life = Ran(), Life(die_at, when)
    first = Process(MortalManager(url, life, namespace=namespace))
    second = Process(MortalManager(url, namespace=namespace))
    crowds = [define(process.manager, ran) for process in (first, second)]

    async def begin() -> None:
        await first.start()
        await (await first.manager.start(crowds[0].with_options(id="c"))).result()

    tasks: list[asyncio.Task[object]] = [asyncio.create_task(begin()), asyncio.create_task(life.died.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=RESULT_S_MAX)
        assert done, f"stuck after {life.writes} writes"
        life.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await first.die()
        await second.start()
        if first.incarnation:
            await second.take_over(first.incarnation)
        handle = await second.manager.start(crowds[1].with_options(id="c"))
        assert await handle.result(timeout=RESULT_S_MAX) == [1, 2, 3]
        await _check(second, ran)
    finally:
        await second.stop()
    return life


async def _check(process: Process, ran: Ran) -> None:
    store = await process.manager.store()

    async def is_empty() -> bool:
        (tag,) = store.space.keys.tags
        status = await store.pools.status("one")
        return tuple(status) == (1, 0, 0) and await store.space.send(tag, "XLEN", f"{tag}:outbox") == 0

    await until(is_empty, seconds_max=5)

    async def is_well() -> bool:
        return await audit(store.space) == []

    await until(is_well, seconds_max=5)
    assert ran.most == 1, "two were under way at once"
    assert all(count <= 2 for count in ran.began.values()), ran.began


@pytest.mark.parametrize("when", get_args(When))
def test_a_death_at_any_write_leaves_no_permit_and_lets_no_step_wait(when: When) -> None:
    asked = os.environ.get("KILL_AT")
    failed: list[str] = []
    last = 0
    for die_at in [int(asked)] if asked else range(1, POINTS_MAX, int(os.environ.get("KILL_EACH", STRIDE))):
        url = f"memory://{uuid4().hex}"
        try:
            life = asyncio.run(run_with_death(url, die_at, when))
        except (AssertionError, TimeoutError) as error:
            failed.append(f"KILL_AT={die_at} -k {when}: {type(error).__name__}: {error}")
            if len(failed) == FAILURES_MAX:
                break
            continue
        finally:
            drop_memory_server(url)
        if not life.last:
            break
        last = die_at
    assert not failed, "\n".join(failed)
    assert last >= WRITES_MIN or asked
