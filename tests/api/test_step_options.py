"""Options of steps: when, where and how long they run, and whose word counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from actors import (
    InvalidOption,
    RetryPolicy,
    Step,
    StepFailed,
    StepTimedOut,
    WorkflowFailed,
    WorkflowManager,
)
from tests.api.watching import in_state, seen

QUICK = RetryPolicy(max_attempts=3, initial_backoff=0.01, jitter=False)


async def test_an_attempt_over_its_timeout_is_cancelled_and_fails_as_timed_out(manager: WorkflowManager) -> None:
    canceled = asyncio.Event()

    @manager.action(name="slow", timeout=0.05)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(slow)
        except StepTimedOut as error:
            return error.message
        return ""

    async with manager.worker():
        assert "0.05 s" in await (await manager.start(flow)).result()
        assert canceled.is_set()


async def test_a_timeout_error_of_the_step_s_own_code_is_an_ordinary_failure(manager: WorkflowManager) -> None:
    @manager.action(name="impatient", timeout=30)
    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(impatient)
        except StepFailed as error:
            return f"{type(error).__name__} {error.error_type}"
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result() == "StepFailed TimeoutError"


async def test_a_workflow_over_its_timeout_fails_and_its_steps_are_taken_back(manager: WorkflowManager) -> None:
    canceled = asyncio.Event()

    @manager.action(name="slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(slow)

    async with manager.worker():
        handle = await manager.start(flow.with_options(timeout=0.1))
        with pytest.raises(WorkflowFailed, match="timeout") as caught:
            await handle.result()
        assert caught.value.error_type == "WorkflowTimedOut"
        await canceled.wait()


async def test_a_step_with_run_after_or_run_at_starts_no_earlier(manager: WorkflowManager) -> None:
    @manager.action(name="now")
    async def now() -> datetime:
        return datetime.now(UTC)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[datetime]:
        asked = step.now()
        later = step.run_action(now.with_options(run_after=timedelta(seconds=0.1)))
        at = step.run_action(now.with_options(run_at=asked + timedelta(seconds=0.15)))
        return [asked, await later, await at]

    async with manager.worker():
        asked, later, at = await (await manager.start(flow)).result()
    assert later - asked >= timedelta(seconds=0.099)
    assert at - asked >= timedelta(seconds=0.149)


async def test_a_step_of_a_queue_that_nobody_serves_waits_for_a_worker_that_does(manager: WorkflowManager) -> None:
    @manager.action(name="render", queue="gpu")
    async def render() -> str:
        return "picture"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(render)

    async with manager.worker() as ordinary:
        handle = await manager.start(flow)
        await seen(handle, in_state("render", "queued"))
        async with manager.worker(queues=["gpu"]) as special:
            assert await handle.result() == "picture"
            (view,) = await handle.steps()
            assert view.worker == special.incarnation
            assert ordinary.incarnation != special.incarnation


async def test_the_queue_of_a_call_wins_over_that_of_the_definition(manager: WorkflowManager) -> None:
    @manager.action(name="render", queue="gpu")
    async def render() -> str:
        return "picture"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(render.with_options(queue="default"))

    async with manager.worker():
        assert await (await manager.start(flow)).result() == "picture"


async def test_a_queue_s_name_that_cannot_stand_in_keys_is_refused_where_it_is_said(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    for wrong in ("", "a:b", "a,b", "ä", "x" * 65, "a b"):
        with pytest.raises(InvalidOption, match="queue"):
            act.with_options(queue=wrong)
        with pytest.raises(InvalidOption, match="queue"):
            manager.action(name=f"other {wrong}", queue=wrong)(_nothing)


async def _nothing() -> None: ...


async def test_options_of_the_step_object_are_defaults_over_the_definition_and_below_the_call(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="count", retry=QUICK)
    async def count() -> None:
        raise ValueError

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        once = step.with_options(retry=False, run_after=0.001)
        found: list[int] = []
        for run, action in (
            (step, count),
            (once, count),
            (once, count.with_options(retry=RetryPolicy(2, initial_backoff=0))),
            (once, count.with_options(run_at=step.now())),
        ):
            try:
                await run.run_action(action)
            except StepFailed as error:
                found.append(error.attempts)
        return found

    async with manager.worker():
        assert await (await manager.start(flow)).result() == [3, 1, 2, 1]


async def test_a_wrong_option_of_the_step_object_is_refused_where_it_is_said(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        found: list[str] = []
        for wrong in ({"retries": 3}, {"queue": "a b"}, {"pool": "a b"}):
            try:
                cast("Any", step).with_options(**wrong)
            except InvalidOption as error:
                found.append(str(error))
        return found

    async with manager.worker():
        texts = await (await manager.start(flow)).result()
    assert [name in text for name, text in zip(("retries", "queue", "pool"), texts, strict=True)] == [True] * 3
