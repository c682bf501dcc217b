"""What is said of an instance: status, result, steps."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors import (
    Canceled,
    Completed,
    Failed,
    InProgress,
    InvalidReturn,
    Misuse,
    Step,
    StepFailed,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowManager,
    WorkflowNotFound,
)
from tests.api.watching import Managers, running, seen


async def test_a_running_workflow_is_in_progress_and_names_what_runs(manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> int:
        await go.wait()
        return 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(wait)

    async with manager.worker() as worker:
        handle = await manager.start(flow)
        await seen(handle, running("wait"))
        status = await handle.status()
        assert isinstance(status, InProgress)
        (step,) = status.running
        assert (step.seq, step.name, step.attempt, step.worker) == (1, "wait", 1, worker.incarnation)
        go.set()
        assert await handle.result() == 1
        assert await handle.status() == Completed(1)


async def test_a_workflow_that_raises_fails_with_type_message_and_remote_traceback(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        raise LookupError("no such cart")

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(WorkflowFailed, match="no such cart") as caught:
            await handle.result()
        assert caught.value.error_type == "LookupError"
        assert "raise LookupError" in caught.value.traceback
        assert "raise LookupError" in str(caught.value.__cause__)
        status = await handle.status()
        assert isinstance(status, Failed)
        assert status.error.error_type == "LookupError"


async def test_a_step_that_raises_arrives_as_step_failed_and_can_be_caught(manager: WorkflowManager) -> None:
    @manager.action(name="charge")
    async def charge(cents: int) -> None:
        raise ValueError(f"cannot charge {cents}")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        try:
            await step.run_action(charge, 5)
        except StepFailed as error:
            return [error.error_type, error.message, str(error.attempts), error.traceback, str(error.__cause__)]
        return []

    async with manager.worker():
        kind, message, attempts, traceback, cause = await (await manager.start(flow)).result()
        assert (kind, message, attempts) == ("ValueError", "cannot charge 5", "1")
        assert "raise ValueError" in traceback
        assert "raise ValueError" in cause


async def test_a_result_that_does_not_come_in_time_is_a_timeout_and_the_workflow_goes_on(
    manager: WorkflowManager,
) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> str:
        await go.wait()
        return "done"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(wait)

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(TimeoutError):
            await handle.result(timeout=timedelta(milliseconds=50))
        go.set()
        assert await handle.result(timeout=5) == "done"


async def test_an_unknown_id_is_not_found_by_any_method(manager: WorkflowManager) -> None:
    handle = manager.handle("nobody")
    for call in (handle.status, handle.result, handle.steps, handle.cancel, handle.resume):
        with pytest.raises(WorkflowNotFound, match="nobody"):
            await call()
    with pytest.raises(WorkflowNotFound, match="nobody"):
        async for _ in handle.watch():
            pass
    with pytest.raises(WorkflowNotFound, match="nobody"):
        await handle.value("progress")
    assert await handle.cleanup() is False


async def test_a_handle_made_from_an_id_decodes_results_by_its_workflow_or_as_plain_values(
    manager: WorkflowManager,
) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> set[int]:
        return {1, 2}

    async with manager.worker():
        await (await manager.start(flow.with_options(id="x"))).result()
        assert await manager.handle("x", flow).result() == {1, 2}
        assert await manager.handle("x").result() in ({1, 2}, [1, 2])


async def test_a_wrong_return_value_fails_the_step_with_invalid_return_and_is_not_retried(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="count", retry=True)
    async def count() -> int:
        return "many"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        try:
            await step.run_action(count)
        except InvalidReturn as error:
            return error.attempts
        return 0

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 1


async def test_a_wrong_return_value_of_a_workflow_fails_it(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return "many"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    async with manager.worker():
        with pytest.raises(WorkflowFailed, match="annotation") as caught:
            await (await manager.start(flow)).result()
        assert caught.value.error_type == "InvalidReturn"


async def test_steps_tell_names_kinds_arguments_results_errors_and_times(manager: WorkflowManager) -> None:
    @manager.action(name="add")
    async def add(a: int, *, b: int) -> int:
        return a + b

    @manager.action(name="fail")
    async def fail() -> None:
        raise ValueError("no")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(add.with_options(name="the sum"), 1, b=2)
        await step.sleep(0.02)
        step.set_value("progress", 0.5)
        with pytest.raises(StepFailed):
            await step.run_action(fail)

    async with manager.worker() as worker:
        handle = await manager.start(flow)
        await handle.result()
        add_view, sleep_view, value_view, fail_view = await handle.steps()
        assert (add_view.seq, add_view.name, add_view.kind, add_view.state) == (1, "the sum", "action", "completed")
        assert add_view.arguments == ((1,), {"b": 2})
        assert (add_view.result, add_view.worker) == (3, worker.incarnation)
        assert add_view.queued is not None
        assert add_view.started is not None
        assert add_view.finished is not None
        assert add_view.queued <= add_view.started <= add_view.finished
        assert (sleep_view.kind, sleep_view.state) == ("sleep", "completed")
        assert sleep_view.due is not None
        assert (value_view.kind, value_view.state) == ("value", "completed")
        assert (fail_view.name, fail_view.state) == ("fail", "failed")
        assert fail_view.error is not None
        assert fail_view.error.error_type == "ValueError"
        assert await handle.value("progress") == 0.5
        assert await handle.value("nothing") is None


async def test_steps_of_code_that_has_changed_its_arguments_can_still_be_listed(managers: Managers) -> None:
    old, new = managers(), managers()

    @old.action(name="add")
    async def add(a: int) -> int:
        return a

    @old.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(add, 1)

    @new.action(name="add")
    async def add_two(a: int, b: str) -> dict[str, int]:
        return {b: a}

    async with old.worker():
        await (await old.start(flow.with_options(id="x"))).result()
    (step,) = await new.handle("x").steps()
    assert (step.name, step.state, step.arguments, step.result) == ("add", "completed", ((1,), {}), 1)


async def test_an_ended_workflow_is_cleaned_up_and_then_unknown(manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> None:
        await go.wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(wait)

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.cleanup() is False, "it is still running"
        go.set()
        await handle.result()
        assert await handle.cleanup() is True
        assert await handle.cleanup() is False
        with pytest.raises(WorkflowNotFound):
            await handle.status()


async def test_a_canceled_workflow_has_no_result(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.sleep(timedelta(days=30))

    handle = await manager.start(flow)
    assert await handle.cancel() is True
    assert await handle.cancel() is False
    assert await handle.status() == Canceled()
    with pytest.raises(WorkflowCanceled):
        await handle.result()


async def test_a_workflow_that_waits_for_nothing_fails_instead_of_waiting_for_ever(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await asyncio.Event().wait()

    async with manager.worker():
        with pytest.raises(WorkflowFailed, match="nobody sets") as caught:
            await (await manager.start(flow)).result()
        assert caught.value.error_type == "Deadlocked"


async def test_wrong_durations_are_refused(manager: WorkflowManager) -> None:
    with pytest.raises(Misuse, match="timeout"):
        await manager.handle("x").result(timeout=-1)
    with pytest.raises(Misuse, match="grace"):
        async with manager.worker(grace=-1):
            pass
    with pytest.raises(Misuse, match="queues"):
        async with manager.worker(queues="default"):
            pass
    with pytest.raises(Misuse, match="queues"):
        async with manager.worker(queues=["a b"]):
            pass
    with pytest.raises(Misuse, match="concurrency"):
        async with manager.worker(concurrency=0):
            pass
