"""Ending what runs: hard, and with the workflow's own clean-up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Canceled, Step, StepCanceled, WorkflowCanceled, WorkflowManager
from kernel import Store
from kernel.store.snapshot import read_partition
from tests.api.watching import in_state, running, seen


async def test_a_running_async_step_is_cancelled_within_a_second_and_queued_steps_never_run(
    manager: WorkflowManager,
) -> None:
    began, ran = asyncio.Event(), list[int]()
    canceled = asyncio.Event()

    @manager.action(name="wait")
    async def wait(number: int) -> None:
        ran.append(number)
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await asyncio.gather(*(step.run_action(wait, i) for i in range(5)))

    async with manager.worker(concurrency=1):
        handle = await manager.start(flow)
        await seen(handle, running("wait"))
        await began.wait()
        assert await handle.cancel()
        async with asyncio.timeout(1):
            await canceled.wait()
        assert await handle.status() == Canceled()
        assert {view.state for view in await handle.steps()} == {"canceled"}
        assert await _left(await manager.store()) == []
    assert len(ran) == 1


async def test_a_cancellation_with_cleanup_lets_finally_run_with_steps(manager: WorkflowManager) -> None:
    undone: list[str] = []

    @manager.action(name="undo")
    async def undo(what: str) -> None:
        undone.append(what)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        try:
            await step.sleep(3600)
        finally:
            await step.run_action(undo, "booking")

    async with manager.worker():
        handle = await manager.start(flow)
        await seen(handle, in_state("timer", "waiting"))
        assert await handle.cancel(cleanup=True)
        with pytest.raises(WorkflowCanceled):
            await handle.result()
        assert undone == ["booking"]
        assert await handle.status() == Canceled()
        assert [view.state for view in await handle.steps()] == ["canceled", "completed"]


async def test_a_further_cancellation_with_cleanup_changes_nothing_and_one_without_ends_it_at_once(
    manager: WorkflowManager,
) -> None:
    undone: list[str] = []

    @manager.action(name="undo")
    async def undo(what: str) -> None:
        undone.append(what)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(undo, "booking")
            try:
                await step.sleep(3600)
            finally:
                await step.await_event("go on")

    async with manager.worker():
        handles = [await manager.start(flow), await manager.start(flow)]
        for handle in handles:
            await seen(handle, in_state("timer", "waiting"))
            assert await asyncio.gather(*(handle.cancel(cleanup=True) for _ in range(3))) == [True] * 3
            await seen(handle, lambda snapshot: len(snapshot.steps) == 2)
            assert await handle.cancel(cleanup=True)
        gentle, hard = handles
        assert await hard.cancel()
        await gentle.send_event("go on")
        for handle in handles:
            with pytest.raises(WorkflowCanceled):
                await handle.result(timeout=5)
        assert undone == ["booking"]
        assert not await gentle.cancel(cleanup=True)


async def test_a_scheduled_workflow_that_is_canceled_with_cleanup_ends_at_once(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None: ...

    handle = await manager.start(flow.with_options(run_after=3600))
    assert await handle.cancel(cleanup=True)
    with pytest.raises(WorkflowCanceled):
        await handle.result(timeout=1)


async def test_the_losers_of_a_race_are_canceled_and_nothing_of_them_is_left_pending(manager: WorkflowManager) -> None:
    canceled = asyncio.Event()

    @manager.action(name="slow")
    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()
        return "slow"

    @manager.action(name="quick")
    async def quick() -> str:
        return "quick"

    @manager.action(name="nobody's", queue="nobody")
    async def never() -> str:
        return "never"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        racers: list[asyncio.Future[Any]] = [step.run_action(action) for action in (slow, never, quick)]
        done, pending = await asyncio.wait([*racers, step.sleep(3600)], return_when=asyncio.FIRST_COMPLETED)
        for loser in pending:
            loser.cancel()
        (winner,) = done
        await step.sleep(0.1)
        return str(winner.result())

    async with manager.worker():
        handle = await manager.start(flow)
        snapshot = await seen(handle, lambda snapshot: len(snapshot.steps) == 5)
        assert [view.state for view in snapshot.steps[:4]] == ["canceled", "canceled", "completed", "canceled"]
        async with asyncio.timeout(1):
            await canceled.wait()
        assert await handle.result() == "quick"
        assert await _left(await manager.store()) == []


async def test_a_step_under_asyncio_timeout_is_canceled_when_the_time_is_over(manager: WorkflowManager) -> None:
    @manager.action(name="slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            async with asyncio.timeout(0.05):
                await step.run_action(slow)
        except TimeoutError:
            return "too slow"
        except StepCanceled:
            return "canceled"
        return "done"

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.result() == "too slow"
        assert await _left(await manager.store()) == []


async def test_what_a_workflow_leaves_running_when_it_returns_is_canceled(manager: WorkflowManager) -> None:
    canceled = asyncio.Event()

    @manager.action(name="slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        _ = step.run_action(slow)
        await step.sleep(0.1)
        return "done"

    async with manager.worker():
        assert await (await manager.start(flow)).result() == "done"
        async with asyncio.timeout(1):
            await canceled.wait()
        assert await _left(await manager.store()) == []


async def _left(store: Store) -> list[str]:
    """Return what is pending in any place."""
    left: list[str] = []
    for tag in store.space.keys.tags:
        found = await read_partition(store.space, tag)
        left += [f"{name}: {entry}" for name, entries in found.streams.items() for entry in entries]
        left += [f"{name}: {member}" for name in ("held", "delayed", "retries") for member in found.sets[name]]
    return left
