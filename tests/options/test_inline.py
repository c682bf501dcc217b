"""Inline queries and mutations: begun in the turn, exactly once whoever dies."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from actors import Step, Transaction, WorkflowManager
from actors.definitions import Workflow
from tests.engine.mortal import When
from tests.options.dying import die_at_every_write

RUNS = 3
POINTS_MIN = 8


def define(manager: WorkflowManager) -> Workflow[[], list[int]]:
    """Define a workflow of inline steps, side by side and one after another."""

    @manager.mutation(name="bump", inline=True)
    async def bump(tx: Transaction) -> int:
        before = int(await tx.get(tx.key("total")) or 0)
        tx.incrby(tx.key("total"), 1)
        return before + 1

    @manager.query(name="look", inline=True)
    async def look(tx: Transaction) -> int:
        return int(await tx.get(tx.key("total")) or 0)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        for _ in range(RUNS):
            await step.run_mutation(bump)
        both = await asyncio.gather(step.run_mutation(bump), step.run_mutation(bump))
        return [*sorted(both), await step.run_query(look)]

    return flow


RESULT = [RUNS + 1, RUNS + 2, RUNS + 2]


async def test_inline_steps_need_no_queue(manager: WorkflowManager) -> None:
    flow = define(manager)
    async with manager.worker(queues=("other",)):
        assert await (await manager.start(flow)).result(timeout=5) == RESULT


async def test_inline_steps_need_no_slot(manager: WorkflowManager) -> None:
    flow, entered = define(manager), asyncio.Event()
    leave = asyncio.Event()

    @manager.action(name="busy")
    async def busy() -> None:
        entered.set()
        await leave.wait()

    @manager.workflow(name="full")
    async def full(step: Step) -> None:
        await step.run_action(busy)

    async with manager.worker(concurrency=1):
        await manager.start(full)
        await entered.wait()
        assert await (await manager.start(flow)).result(timeout=5) == RESULT
        leave.set()


async def test_inline_steps_of_a_very_large_decision_need_no_queue_either(manager: WorkflowManager) -> None:
    @manager.query(name="look", inline=True)
    async def look(tx: Transaction, number: int) -> int:
        return number

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return sum(await asyncio.gather(*(step.run_query(look, number) for number in range(450))))

    async with manager.worker(queues=("other",), concurrency=2):
        assert await (await manager.start(flow)).result(timeout=15) == sum(range(450))


@pytest.mark.parametrize("when", get_args(When))
def test_a_death_at_any_write_changes_nothing(when: When) -> None:
    assert die_at_every_write(when, define=define, result=RESULT) >= POINTS_MIN
