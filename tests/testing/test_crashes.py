from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

import pytest

from actors import NondeterminismError, OutcomeUnknown, RetryPolicy, Step, Transaction, WorkflowManager
from actors.definitions import Workflow
from actors.testing import WorkflowTester

SEEDS = range(8)


def define(manager: WorkflowManager) -> Workflow[[], list[object]]:
    """Define a workflow with something of everything but steps that may run once only."""

    @manager.action(name="add", retry=RetryPolicy(max_attempts=3, initial_backoff=1))
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0.5)
        return a + b

    @manager.action(name="double", retry=RetryPolicy(max_attempts=3))
    def double(a: int) -> int:
        return 2 * a

    @manager.mutation(name="bump")
    async def bump(tx: Transaction, by: int) -> int:
        before = int(await tx.get("total") or 0)
        tx.incrby("total", by)
        return before + by

    @manager.query(name="look")
    async def look(tx: Transaction) -> int:
        return int(await tx.get("total") or 0)

    @manager.workflow(name="child")
    async def child(step: Step, number: int) -> int:
        await step.sleep(timedelta(days=number))
        return await step.run_mutation(bump, number)

    @manager.workflow(name="journey")
    async def journey(step: Step) -> list[object]:
        sums = await asyncio.gather(*(step.run_action(add, i, i) for i in range(4)))
        await step.sleep(timedelta(days=30))
        children = await asyncio.gather(*(step.run_workflow(child, i) for i in (1, 2)))
        doubled = await step.run_action(double, 4)
        late = False
        try:
            await step.await_event("never", timeout=60)
        except TimeoutError:
            late = True
        return [sums, children, doubled, late, await step.run_query(look)]

    return journey


@pytest.mark.parametrize("replay", ["cached", "always"])
def test_whoever_dies_the_result_is_the_same(manager: WorkflowManager, replay: Literal["cached", "always"]) -> None:
    journey = define(manager)
    expected = WorkflowTester(manager).run(journey)
    assert expected == [[0, 2, 4, 6], [1, 3], 8, True, 3]
    deaths = 0
    for seed in SEEDS:
        with WorkflowTester(manager, crash_seed=seed, replay=replay) as tester:
            assert tester.run(journey) == expected, f"crash_seed={seed}"
            deaths += tester.crashes
    assert deaths > 3 * len(SEEDS)


def test_one_seed_gives_the_same_deaths_and_the_same_journal(manager: WorkflowManager) -> None:
    journey = define(manager)

    async def scenario(tester: WorkflowTester) -> tuple[str, int]:
        handle = await tester.start(journey)
        await handle.result()
        return (await tester.history(handle)).to_json(), tester.crashes

    first, second, other = (WorkflowTester(manager, crash_seed=seed).play(scenario) for seed in (3, 3, 4))
    assert first == second
    assert first != other


async def test_an_action_that_may_run_once_may_become_unknown(manager: WorkflowManager) -> None:
    ran = 0

    @manager.action
    async def once() -> str:
        nonlocal ran
        ran += 1
        await asyncio.sleep(1)
        return "done"

    @manager.workflow
    async def flow(step: Step) -> str:
        try:
            return await step.run_action(once)
        except OutcomeUnknown:
            return "unknown"

    results: set[str] = set()
    for seed in range(20):
        ran = 0
        async with WorkflowTester(manager, crash_seed=seed) as tester:
            results.add(await (await tester.start(flow)).result())
        assert ran <= 1
    assert results == {"done", "unknown"}


async def test_always_replaying_finds_code_that_does_not_repeat_itself(manager: WorkflowManager) -> None:
    calls = 0

    @manager.action
    async def act(number: int) -> None: ...

    @manager.workflow
    async def forgetful(step: Step) -> None:
        nonlocal calls
        calls += 1
        await step.run_action(act, calls)
        await step.run_action(act, 0)

    async with WorkflowTester(manager) as tester:
        await (await tester.start(forgetful)).result()
    async with WorkflowTester(manager, replay="always") as tester:
        with pytest.raises(NondeterminismError, match="no longer fits its journal at step 1"):
            await (await tester.start(forgetful)).result()
