"""What a worker keeps in memory between turns changes nothing but speed."""

from __future__ import annotations

import asyncio

import pytest

from actors import Step, WorkflowManager
from tests.api.watching import Managers


@pytest.mark.parametrize("instances", [0, 1, 2])
async def test_many_workflows_in_a_cache_that_is_too_small_end_as_they_should(
    managers: Managers, instances: int
) -> None:
    manager = managers(partitions=4)

    @manager.action(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @manager.workflow(name="flow")
    async def flow(step: Step, start: int) -> int:
        total = start
        for i in range(4):
            total += sum(await asyncio.gather(*(step.run_action(add, i, j) for j in range(3))))
            await step.sleep(0.001)
        return total

    async with manager.worker(cache_instances=instances, concurrency=7):
        handles = await manager.start_many(flow.bind(i) for i in range(12))
        results = [await handle.result() for handle in handles]
    assert results == [i + sum(a + b for a in range(4) for b in range(3)) for i in range(12)]


async def test_two_workers_that_take_turns_at_one_instance_agree(managers: Managers) -> None:
    manager = managers()

    @manager.action(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @manager.workflow(name="flow")
    async def flow(step: Step, start: int) -> int:
        total = start
        for i in range(20):
            first, second = await asyncio.gather(step.run_action(add, total, i), step.run_action(add, 0, 1))
            total = first + second
        return total

    async with manager.worker(concurrency=1), manager.worker(concurrency=1):
        handles = await manager.start_many(flow.bind(i) for i in range(6))
        assert [await handle.result() for handle in handles] == [i + sum(range(20)) + 20 for i in range(6)]


async def test_a_workflow_that_asks_for_hundreds_of_steps_at_once_gets_all_of_them(manager: WorkflowManager) -> None:
    @manager.action(name="double")
    async def double(x: int) -> int:
        return 2 * x

    @manager.workflow(name="flow")
    async def flow(step: Step, count: int) -> int:
        before = await step.run_action(double, 1)
        return before + sum(await asyncio.gather(*(step.run_action(double, i) for i in range(count))))

    async with manager.worker():
        assert await (await manager.start(flow, 450)).result() == 2 + 450 * 449
