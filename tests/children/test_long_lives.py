"""Children, completion and sagas of what begins anew, has tags and a version."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from actors import Completed, Result, Step, WorkflowFailed, WorkflowManager
from tests.children.test_on_complete import called


async def test_beginning_anew_undoes_nothing_of_a_saga(manager: WorkflowManager) -> None:
    undone: list[int] = []

    @manager.action(name="undo")
    async def undo(number: int) -> None:
        undone.append(number)

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        async with step.saga() as saga:
            saga.undo(undo, number)
            if number == 0:
                flow.continue_as_new(1)
            if number == 1:
                async with asyncio.TaskGroup() as group:
                    _ = group.create_task(begin_anew())
            raise LookupError("now")

    async def begin_anew() -> None:
        flow.continue_as_new(2)

    async with manager.worker():
        handle = await manager.start(flow, 0)
        with pytest.raises(WorkflowFailed, match="now"):
            await handle.result()
        assert undone == [2]


async def test_what_is_called_on_completion_hears_of_the_last_result_alone(manager: WorkflowManager) -> None:
    told: list[tuple[Result[int], str]] = []

    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[int], context: str) -> None:
        told.append((result, context))

    @manager.workflow(name="flow", version="2")
    async def flow(step: Step, number: int) -> int:
        if number < 2:
            flow.continue_as_new(number + 1)
        return number

    async with manager.worker():
        handle = await manager.start(flow.with_options(on_complete=report, context="home"), 0)
        assert await handle.result() == 2
        await called(handle)
        assert told == [(Completed(2), "home")]


async def test_a_child_has_all_that_is_said_of_it(manager: WorkflowManager) -> None:
    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[Any], context: None) -> None: ...

    @manager.workflow(name="child", version="2", tags={"team": "web"})
    async def child(step: Step) -> str:
        return step.version

    @manager.workflow(name="parent")
    async def parent(step: Step) -> str:
        said = child.with_options(
            id="kid", tags={"of": "ann"}, retention=timedelta(days=1), on_complete=report, context=None, detached=True
        )
        return await step.run_workflow(said)

    async with manager.worker():
        assert await (await manager.start(parent)).result() == "2"
        (listed,) = (await manager.list(workflow=child, tags={"of": "ann"})).items
        assert (listed.id, listed.version, listed.tags) == ("kid", "2", {"of": "ann"})
        record = await (await manager.store()).instances.record("wf/kid")
        assert record["retention"] == b"86400000"
        await called(manager.handle("kid"))


async def test_what_is_called_on_completion_is_listed_under_no_name(manager: WorkflowManager) -> None:
    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[None], context: None) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None: ...

    async with manager.worker():
        told = flow.with_options(id="f", on_complete=report.with_options(name="flow"), context=None)
        handle = await manager.start(told)
        await called(handle)
        assert [item.id for item in (await manager.list(workflow=flow)).items] == ["f"]
        assert [item.id for item in (await manager.list()).items] == ["f"]
        assert await manager.cleanup_many(workflow=flow) == 1
