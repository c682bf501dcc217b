"""Values that pass through steps and workflows: what is refused, and where; what each run has for itself."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, Field

from actors import InvalidArguments, InvalidReturn, RetryPolicy, Step, WorkflowFailed, WorkflowManager


class Amount(BaseModel):
    cents: int = Field(gt=0)


def changed(cents: int) -> Amount:
    made = Amount(cents=1)
    made.cents = cents
    return made


async def test_what_fits_no_more_is_refused_where_it_is_passed_and_nothing_is_started(manager: WorkflowManager) -> None:
    @manager.action(name="pay")
    async def pay(amount: Amount) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step, amount: Amount) -> str:
        try:
            await step.run_action(pay, changed(0))
        except InvalidArguments as error:
            return str(error)
        return ""

    async with manager.worker():
        with pytest.raises(InvalidArguments, match=r"amount: cents: Input should be greater than 0 \(got -5\)"):
            await manager.start(flow.with_options(id="f"), changed(-5))
        assert (await manager.list()).items == ()
        handle = await manager.start(flow, Amount(cents=3))
        assert "amount: cents: Input should be greater than 0 (got 0)" in await handle.result()
        assert await handle.steps() == []


async def test_a_result_that_fits_no_more_fails_the_attempt_and_the_workflow_readably(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="give", retry=RetryPolicy(max_attempts=3, initial_backoff=0.001))
    async def give(cents: int) -> Amount:
        return changed(cents)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> Amount:
        assert (await step.run_action(give, 3)).cents == 3
        with pytest.raises(InvalidReturn, match="cents: Input should be greater than 0"):
            await step.run_action(give, 0)
        return changed(-2)

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(WorkflowFailed, match=r"flow\(\) returned what its annotation does not allow") as raised:
            await handle.result()
        assert raised.value.error_type == "InvalidReturn"
        assert (await handle.status()).type == "failed"
        assert [step.state for step in await handle.steps()] == ["completed", "failed"]


async def test_a_step_s_failure_in_a_task_group_is_the_workflow_s(manager: WorkflowManager) -> None:
    @manager.action(name="decline")
    async def decline() -> None:
        raise ValueError("no funds")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(step.run_action(decline))
            group.create_task(step.sleep(60))

    async with manager.worker():
        with pytest.raises(WorkflowFailed) as raised:
            await (await manager.start(flow)).result()
    assert (raised.value.error_type, raised.value.message) == ("ValueError", "no funds")
