"""What is promised of ending, beginning again, and leaving nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Step, StepCanceled, Transaction, WorkflowCanceled, WorkflowFailed, WorkflowHandle, WorkflowManager
from kernel.store.gateway import gateway_violations
from tests.api.watching import running, seen
from tests.conformance.here import Here, until


async def test_canceling_ends_an_instance_at_once_with_its_children_and_steps(
    here: Here, manager: WorkflowManager
) -> None:
    told = asyncio.Event()

    @manager.action(name="slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.set()

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.run_action(slow)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_workflow(child.with_options(id="the child"))

    async with here.working(manager):
        handle = await manager.start(parent)

        async def began() -> bool:
            return len((await manager.list(workflow=child)).items) == 1

        await until(began)
        await seen(manager.handle("the child"), running("slow"))
        assert await handle.cancel()
        for canceled in (handle, manager.handle("the child")):
            with pytest.raises(WorkflowCanceled):
                await canceled.result()
        await told.wait()
        assert not await handle.cancel()


async def test_canceling_with_cleanup_lets_the_code_put_things_right_first(
    here: Here, manager: WorkflowManager
) -> None:
    done: list[str] = []

    @manager.action(name="do")
    async def do(what: str) -> None:
        done.append(what)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(do, "begin")
        try:
            await step.await_event("never")
        finally:
            await step.run_action(do, "put right")

    async with here.working(manager):
        handle = await manager.start(flow)
        await seen(handle, lambda snapshot: any(step.kind == "event" for step in snapshot.steps))
        await handle.cancel(cleanup=True)
        with pytest.raises(WorkflowCanceled):
            await handle.result()
    assert done == ["begin", "put right"]


async def test_a_restart_keeps_what_was_done_before_the_step_it_begins_at(here: Here, manager: WorkflowManager) -> None:
    ran: list[str] = []
    broken = True

    @manager.action(name="work")
    async def work(what: str) -> str:
        ran.append(what)
        if what == "two" and broken:
            raise ValueError("out of stock")
        return what

    @manager.workflow(name="child")
    async def child(step: Step) -> str:
        return await step.run_action(work, "of the child")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        said = [await step.run_workflow(child), await step.await_event("word", str)]
        return [*said, *[await step.run_action(work, what) for what in ("one", "two", "three")]]

    async with here.working(manager):
        handle = await manager.start(flow)
        await handle.send_event("word", "told")
        with pytest.raises(WorkflowFailed, match="out of stock"):
            await handle.result()
        broken = False
        await handle.restart()
        assert await handle.result() == ["of the child", "told", "one", "two", "three"]
        assert ran == ["of the child", "one", "two", "two", "three"]
        await handle.restart(from_step=1)
        assert await handle.result() == ["of the child", "told", "one", "two", "three"]


async def test_an_instance_that_begins_anew_goes_on_with_an_empty_journal_and_its_events(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.action(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @manager.workflow(name="flow")
    async def flow(step: Step, total: int, rounds: int) -> int:
        total = await step.run_action(add, total, await step.await_event("number", int))
        if rounds > 1:
            flow.continue_as_new(total, rounds - 1)
        return total

    handle = await manager.start(flow, 0, 5)
    for number in (1, 2, 3):
        await handle.send_event("number", number)
    async with here.working(manager):
        for number in (4, 5):
            await handle.send_event("number", number)
        assert await handle.result() == 15
        assert [view.kind for view in await handle.steps()] == ["event", "action"]


async def test_cleanup_leaves_no_key_but_tombstones_that_expire(here: Here, manager: WorkflowManager) -> None:
    @manager.action(name="work")
    async def work(data: bytes) -> bytes:
        return data

    @manager.mutation(name="told")
    async def told(tx: Transaction, workflow_id: str, result: object, context: object) -> None:
        await tx.get(tx.key("nothing"))

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.run_action(work, b"x" * 100_000)

    @manager.workflow(name="flow", tags={"team": "web"})
    async def flow(step: Step, fails: bool) -> None:
        step.set_value("stage", "begun")
        await asyncio.gather(*(step.run_workflow(child) for _ in range(3)))
        await step.await_event("go")
        late: list[asyncio.Future[Any]] = [step.sleep(3600), step.run_action(work.with_options(run_after=3600), b"")]
        await asyncio.wait(late, timeout=0.01)
        if fails:
            raise ValueError("as it was asked to")

    async with here.working(manager):
        before = await here.keys(manager)
        handles = await manager.start_many(
            flow.with_options(on_complete=told, context=None).bind(i == 1) for i in range(3)
        )
        for handle in handles:
            await handle.send_event("go")
        await handles[0].result()
        with pytest.raises(WorkflowFailed):
            await handles[1].result()
        await handles[2].result()

        await until(lambda: _all_told(handles))
        for handle in handles:
            assert await handle.cleanup()

        space = (await manager.store()).space

        async def only_tombstones() -> bool:
            left = [key for key in await here.keys(manager) - before if ":wf:" not in key and ":retrier:" not in key]
            return all(key.rpartition(":")[2] in {"names", "bands", "retries", "delayed"} for key in left)

        await until(only_tombstones)
        tombstones = [key for key in await here.keys(manager) - before if ":wf:" in key or ":retrier:" in key]
        lifetimes = [await space.send(key, "TTL", key) for key in tombstones]
        assert len(lifetimes) == 15
        assert all(isinstance(seconds, int) and 0 < seconds <= 3600 for seconds in lifetimes)
        assert await gateway_violations(space) == []


async def _all_told(handles: list[WorkflowHandle[None]]) -> bool:
    views = [view for handle in handles for view in await handle.steps()]
    return [view.state for view in views if view.kind == "on_complete"] == ["completed"] * len(handles)


async def test_who_waits_for_a_child_that_somebody_canceled_hears_of_it(here: Here, manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.await_event("never")

    @manager.workflow(name="parent")
    async def parent(step: Step) -> str:
        try:
            await step.run_workflow(child.with_options(id="the child"))
        except StepCanceled:
            return "canceled"
        return ""

    async with here.working(manager):
        handle = await manager.start(parent)

        async def there() -> bool:
            return len((await manager.list(workflow=child, status="in_progress")).items) == 1

        await until(there)
        await manager.handle("the child").cancel()
        assert await handle.result() == "canceled"
