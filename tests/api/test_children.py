"""Child workflows: results, failures, and cancellation downwards."""

from __future__ import annotations

import asyncio

import pytest

from actors import Step, WorkflowCanceled, WorkflowFailed, WorkflowManager
from tests.api.watching import Managers, running, seen


async def test_a_child_returns_its_result_to_its_parent(manager: WorkflowManager) -> None:
    @manager.action(name="double")
    async def double(x: int) -> int:
        return 2 * x

    @manager.workflow(name="child")
    async def child(step: Step, x: int) -> int:
        return await step.run_action(double, x)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return sum(await asyncio.gather(*(step.run_workflow(child, x) for x in range(4))))

    async with manager.worker():
        handle = await manager.start(parent)
        assert await handle.result() == 12
        assert [(view.kind, view.name, view.result) for view in await handle.steps()] == [
            ("workflow", "child", 2 * x) for x in range(4)
        ]


async def test_children_work_over_partitions_and_workers(managers: Managers) -> None:
    manager = managers(partitions=5)

    @manager.workflow(name="child")
    async def child(step: Step, x: int) -> int:
        await step.sleep(0.005)
        return x

    @manager.workflow(name="parent")
    async def parent(step: Step, x: int) -> int:
        return await step.run_workflow(child, x) + await step.run_workflow(child, 1)

    async with manager.worker(), manager.worker():
        handles = await manager.start_many(parent.bind(x) for x in range(12))
        assert [await handle.result() for handle in handles] == [x + 1 for x in range(12)]


async def test_a_child_s_failure_arrives_as_workflow_failed(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        raise LookupError("no such cart")

    @manager.workflow(name="parent")
    async def parent(step: Step) -> tuple[str, str, bool]:
        try:
            await step.run_workflow(child)
        except WorkflowFailed as error:
            return error.error_type, error.message, "raise LookupError" in error.traceback
        return "", "", False

    async with manager.worker():
        assert await (await manager.start(parent)).result() == ("LookupError", "no such cart", True)


async def test_a_canceled_parent_cancels_its_children(manager: WorkflowManager) -> None:
    began, canceled = asyncio.Event(), asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.run_action(wait)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_workflow(child)

    async with manager.worker():
        handle = await manager.start(parent)
        await began.wait()
        await handle.cancel()
        async with asyncio.timeout(1):
            await canceled.wait()
        with pytest.raises(WorkflowCanceled):
            await handle.result()


async def test_a_child_that_loses_a_race_is_canceled(manager: WorkflowManager) -> None:
    canceled = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.run_action(wait)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> str:
        try:
            async with asyncio.timeout(0.3):
                await step.run_workflow(child)
        except TimeoutError:
            return "too slow"
        return ""

    async with manager.worker():
        handle = await manager.start(parent)
        assert await handle.result() == "too slow"
        async with asyncio.timeout(1):
            await canceled.wait()


async def test_cleaning_up_a_parent_cleans_up_its_children(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return 1

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child)

    async with manager.worker() as worker:
        handle = await manager.start(parent)
        await handle.result()
        assert await handle.cleanup()
        store = await manager.store()
        (tag,) = store.space.keys.tags

        async def left() -> list[tuple[str, int]]:
            return [
                entry
                for name in ("child", "parent")
                for page in await store.instances.page(
                    tag, [f"{name}:completed"], before="+inf", after="-inf", count=9, newest_first=True
                )
                for entry in page
            ]

        while await left():  # noqa: ASYNC110 - another server's work; nothing announces it
            await asyncio.sleep(0.01)
        assert worker.host.hands.free == worker.host.hands.concurrency


async def test_a_child_runs_under_the_version_that_its_parent_named(manager: WorkflowManager) -> None:
    @manager.workflow(name="child", version="1")
    async def old(step: Step) -> str:
        return "old"

    @manager.workflow(name="child", version="2")
    async def new(step: Step) -> str:
        return "new"

    @manager.workflow(name="parent")
    async def parent(step: Step) -> list[str]:
        return [await step.run_workflow(old), await step.run_workflow(new)]

    async with manager.worker():
        assert await (await manager.start(parent)).result() == ["old", "new"]


async def test_the_parent_is_shown_running_while_its_child_runs(manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> None:
        await go.wait()

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.run_action(wait)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await asyncio.gather(step.run_workflow(child), step.run_action(wait))

    async with manager.worker():
        handle = await manager.start(parent)
        snapshot = await seen(handle, running("wait"))
        assert {view.name for view in snapshot.steps} == {"child", "wait"}
        go.set()
        await handle.result()
