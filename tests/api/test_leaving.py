"""Workers that leave: they drain, hand over what they hold, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from structlog.testing import capture_logs

from actors import OutcomeUnknown, Step, WorkflowManager, current_step
from actors.servers import runner as runner_module
from tests.api.watching import Stage, begin_for, in_state, seen


async def test_a_worker_that_is_stopped_hands_its_running_steps_over_at_once(manager: WorkflowManager) -> None:
    stage = Stage(1)

    @manager.action(name="work", retry=True)
    async def work() -> int:
        return await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work)

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await stage.hanging.wait()
        async with manager.worker():
            await first.stop(grace_s=0)
            async with asyncio.timeout(0.4):  # less than any worker's timeout
                assert await handle.result() == 2


async def test_a_worker_that_is_stopped_lets_steps_finish_within_the_grace_time(manager: WorkflowManager) -> None:
    go, began = asyncio.Event(), asyncio.Event()

    @manager.action(name="work")
    async def work(i: int) -> int:
        began.set()
        await go.wait()
        return i

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work, 1) + await step.run_action(work, 2)

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await began.wait()
        stopping = asyncio.create_task(first.stop(grace_s=10))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not stopping.done()
        go.set()
        await stopping
        one, two = await handle.steps()
        assert (one.state, two.state) == ("completed", "queued"), "it takes nothing new while it drains"
        async with manager.worker():
            assert await handle.result() == 3


async def test_an_at_most_once_action_that_a_stopping_worker_breaks_off_has_an_unknown_outcome(
    manager: WorkflowManager,
) -> None:
    stage = Stage(1)

    @manager.action(name="charge")
    async def charge() -> None:
        await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(charge)
        except OutcomeUnknown as error:
            return error.error_type
        return ""

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await stage.hanging.wait()
        await first.stop(grace_s=0)
        async with manager.worker():
            assert await handle.result() == "WorkerStopped"
    assert stage.runs == 1


async def test_a_stopped_worker_leaves_nothing_behind(manager: WorkflowManager) -> None:
    async with manager.worker() as worker:
        await worker.stop()
        store = await manager.store()
        assert await store.custody.living() == []
        for tag in store.space.keys.tags:
            assert await store.custody.holders(tag) == set()
    before = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    names = {task.get_name() for task in before}
    assert not names & {"runner", "dispatcher", "timekeeper", "courier", "auditor", "reaper", "pruner", "turn"}


async def test_a_worker_whose_stopping_is_cancelled_still_ends(manager: WorkflowManager) -> None:
    stage = Stage(1)

    @manager.action(name="work", retry=True)
    async def work() -> int:
        return await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work)

    async def serve() -> None:
        async with manager.worker(grace=60):
            await stage.hanging.wait()

    handle = await manager.start(flow)
    serving = asyncio.create_task(serve())
    await stage.hanging.wait()
    await asyncio.sleep(0)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    async with manager.worker():
        assert await handle.result() == 2


async def test_what_a_stopping_worker_was_granted_and_never_began_is_run_by_another(manager: WorkflowManager) -> None:
    ran: list[int] = []

    @manager.action(name="charge", queue="later")
    async def charge() -> None:
        ran.append(1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        await step.run_action(charge)
        return "charged"

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await seen(handle, in_state("charge", "queued"))
        # As if the reply of a script that began it for this worker had been lost.
        await begin_for(await manager.store(), "later", worker=first.incarnation)
        await first.stop(grace_s=0)
        async with manager.worker(queues=["later", "default"]):
            async with asyncio.timeout(0.4):
                assert await handle.result() == "charged"
    assert ran == [1]


async def test_a_step_in_a_thread_is_told_to_end_and_has_ended_before_another_worker_has_it(
    manager: WorkflowManager,
) -> None:
    began, ended = threading.Event(), threading.Event()

    @manager.action(name="grind", retry=True)
    def grind() -> bool:
        if began.is_set():
            return ended.is_set()
        began.set()
        while not current_step().canceled:
            time.sleep(0.001)
        time.sleep(0.1)  # what it does to end well
        ended.set()
        return False

    @manager.workflow(name="flow")
    async def flow(step: Step) -> bool:
        return await step.run_action(grind)

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await asyncio.to_thread(began.wait, 10)
        async with manager.worker():
            with capture_logs() as logged:
                await first.stop(grace_s=0)
            assert first.threads_running == []
            assert await handle.result(), "another worker ran it beside the first"
    assert "warning" not in {line["log_level"] for line in logged}


async def test_a_worker_says_which_steps_run_on_in_threads_after_it_has_left(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "END_S_MAX", 0.01)
    began, go = threading.Event(), threading.Event()

    @manager.action(name="grind", retry=True)
    def grind() -> None:
        began.set()
        go.wait(20)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(grind)

    try:
        async with manager.worker() as worker:
            handle = await manager.start(flow.with_options(id="w"))
            await asyncio.to_thread(began.wait, 10)
            with capture_logs() as logged:
                await worker.stop(grace_s=0)
            assert worker.threads_running == ["w/grind"]
            assert [line["steps"] for line in logged if "steps run on in threads" in line["event"]] == [["w/grind"]]
            (step,) = await handle.steps()
            assert step.state == "queued"
    finally:
        go.set()
