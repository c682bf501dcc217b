"""Everything at once, on purpose at awkward moments: in the end every account is balanced."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from actors import Canceled, Completed, Step, Transaction, WorkflowCanceled, WorkflowManager
from actors.definitions import Workflow
from actors.servers import Worker
from kernel.store.audit import audit
from tests.api.watching import Managers


@pytest.mark.parametrize("seed", range(3))
async def test_workflows_canceled_at_any_moment_leave_nothing_behind_in_redis_or_in_hand(
    managers: Managers, seed: int
) -> None:
    random, manager = Random(seed), managers(partitions=3, worker_timeout=0.5)
    applied: list[str] = []

    flow = _define(manager)
    async with manager.worker(concurrency=4, cache_instances=5) as one, manager.worker(concurrency=4) as two:
        handles = await manager.start_many(flow.with_options(id=f"{seed}.{i}").bind(i) for i in range(24))
        doomed = random.sample(handles, 12)

        async def cancel(index: int) -> None:
            for _ in range(random.randrange(400)):
                await asyncio.sleep(0)
            await doomed[index].cancel(cleanup=index % 2 == 0)

        await asyncio.gather(*(cancel(index) for index in range(len(doomed))))
        for handle in handles:
            try:
                await handle.result()
                applied.append(handle.id)
            except WorkflowCanceled:
                continue
        assert len(applied) >= 12
        for worker in (one, two):
            await _idle(worker)
        store = await manager.store()
        assert await audit(store.space) == []
        total = await store.space.send("total", "GET", "total") or b"0"
        steps = [step for handle in handles for step in await handle.steps()]
        counted = sum(step.name == "count" and step.state == "completed" for step in steps)
        assert total == str(counted).encode()
        for handle in handles:
            assert isinstance(await handle.status(), Completed if handle.id in applied else Canceled)


def _define(manager: WorkflowManager) -> Workflow[[int], int]:
    @manager.action(name="work", retry=True)
    async def work(i: int) -> int:
        for _ in range(i % 4):
            await asyncio.sleep(0)
        return i

    @manager.mutation(name="count")
    async def count(tx: Transaction) -> None:
        tx.incr("total")

    @manager.workflow(name="child")
    async def child(step: Step, i: int) -> int:
        return await step.run_action(work, i)

    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        total = 0
        for n in range(3):
            total += sum(await asyncio.gather(*(step.run_action(work, i + n + m) for m in range(2))))
            racers: list[asyncio.Future[Any]] = [step.run_action(work, n), step.sleep(3600)]
            done, rest = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
            for loser in rest:
                loser.cancel()
            total += len(done)
        await step.run_mutation(count)
        return total + await step.run_workflow(child, i)

    return flow


async def _idle(worker: Worker) -> None:
    """Wait until a worker has nothing in hand, and see that its account says so too."""
    hands = worker.host.hands
    while hands.held or hands.turning or hands.entries or hands.awaited:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.01)
    assert hands.free == hands.concurrency
    assert hands.alone is None


async def test_workers_that_come_and_die_all_the_time_lose_and_repeat_nothing(managers: Managers) -> None:
    random, manager = Random(7), managers(partitions=2, worker_timeout=0.5)

    @manager.action(name="work", retry=True)
    async def work(i: int) -> int:
        await asyncio.sleep(0)
        return i

    @manager.mutation(name="count")
    async def count(tx: Transaction) -> None:
        before = int(await tx.get("total") or 0)
        tx.set("total", before + 1)

    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        total = 0
        for _ in range(4):
            total += sum(await asyncio.gather(*(step.run_action(work, i + m) for m in range(2))))
            await step.run_mutation(count)
            await step.sleep(0.001)
        return total

    async def die(manager: WorkflowManager) -> None:
        async with manager.worker(concurrency=3) as victim:
            for _ in range(random.randrange(100, 600)):
                await asyncio.sleep(0)
            await victim.kill()

    async def die_again_and_again() -> None:
        for _ in range(6):
            await die(manager)

    handles = await manager.start_many(flow.bind(i) for i in range(10))
    dying = asyncio.create_task(die_again_and_again())
    await dying
    async with manager.worker() as last:
        assert [await handle.result() for handle in handles] == [4 * (2 * i + 1) for i in range(10)]
        await _idle(last)
        store = await manager.store()
        assert await store.space.send("total", "GET", "total") == b"40"
        assert await audit(store.space) == []
