"""schedule_timeout, heartbeat_timeout and unstable_args on running workers."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from actors import RetryPolicy, Step, StepTimedOut, WorkflowManager, current_step
from tests.api.watching import Managers, seen

QUICK = RetryPolicy(max_attempts=2, initial_backoff=0.01, jitter=False)
numbers = itertools.count()


async def test_a_step_that_no_worker_begins_in_time_fails_for_good_whatever_its_policy(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="render", retry=QUICK, queue="gpu")
    async def render() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[str, str, int]:
        try:
            await step.run_action(render.with_options(schedule_timeout=0.05))
        except StepTimedOut as error:
            return error.error_type, error.message, error.attempts
        return "", "", 0

    async with manager.worker():
        error_type, message, attempts = await (await manager.start(flow)).result(timeout=5)
    assert (error_type, attempts) == ("ScheduleTimeout", 0)
    assert "start workers that serve the queue 'gpu'" in message


async def test_a_step_whose_code_nobody_has_fails_in_time_too(managers: Managers) -> None:
    manager, other = managers(), managers()

    @manager.action(name="render")
    async def render() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(render.with_options(schedule_timeout=0.1, queue="gpu"))
        except StepTimedOut as error:
            return error.error_type
        return ""

    other.workflow(name="flow")(flow.function)
    async with manager.worker(), other.worker(queues=("gpu",)):
        assert await (await manager.start(flow)).result(timeout=5) == "ScheduleTimeout"


async def test_a_step_that_a_worker_begins_in_time_may_run_as_long_as_it_likes(manager: WorkflowManager) -> None:
    @manager.action(name="long")
    async def long() -> int:
        await asyncio.sleep(0.1)
        return 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(long.with_options(schedule_timeout=0.05))

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5) == 1


async def test_a_silent_attempt_is_broken_off_and_tried_again_by_the_policy(manager: WorkflowManager) -> None:
    broken_off: list[int] = []

    @manager.action(name="copy", retry=QUICK, heartbeat_timeout=0.05)
    async def copy() -> int:
        if current_step().attempt == 1:
            try:
                await asyncio.Event().wait()
            finally:
                broken_off.append(1)
        return current_step().attempt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(copy)

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.result(timeout=5) == 2
        (view,) = await handle.steps()
    assert [a.error.error_type for a in view.attempts] == ["HeartbeatTimeout"]
    assert broken_off == [1]


async def test_an_attempt_that_says_that_it_is_alive_goes_on_for_longer_than_its_limit(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="copy", heartbeat_timeout=0.1)
    async def copy() -> str:
        for part in range(6):
            await asyncio.sleep(0.03)
            await current_step().heartbeat(part)
        return "copied"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(copy)

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5) == "copied"


@pytest.mark.parametrize("unstable", [True, False])
async def test_arguments_may_differ_on_replay_only_where_the_option_says_so(
    manager: WorkflowManager, *, unstable: bool
) -> None:
    @manager.action(name="echo")
    async def echo(x: int) -> int:
        return x

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        loose = step.with_options(unstable_args=unstable)
        return [await loose.run_action(echo, next(numbers)) for _ in range(3)]

    async with manager.worker(cache_instances=0):
        handle = await manager.start(flow)
        if unstable:
            first, second, third = await handle.result(timeout=5)
            assert first < second < third
        else:
            snapshot = await seen(handle, lambda snapshot: snapshot.status.type == "stopped")
            assert snapshot.status.type == "stopped"


async def test_defaults_of_the_step_stand_between_the_decorator_and_the_call(manager: WorkflowManager) -> None:
    @manager.action(name="where", queue="decorated", timeout=7)
    async def where() -> None: ...

    found: list[tuple[str, int]] = []

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        defaults = step.with_options(queue="defaults").with_options(timeout=8, inline=True)
        for run, action in (
            (step, where),
            (defaults, where),
            (defaults, where.with_options(queue="said")),
            (step, where.with_options(queue="said")),
        ):
            future = run.run_action(action)
            command = future._commands.asked[-1]
            found.append((command.queue, command.timeout_ms))
            future.cancel()
        await step.sleep(0.001)

    async with manager.worker():
        await (await manager.start(flow)).result(timeout=5)
    assert found[:4] == [("decorated", 7000), ("defaults", 8000), ("said", 8000), ("said", 7000)]
