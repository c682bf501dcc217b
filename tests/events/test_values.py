"""Published values: what ``set_value`` publishes, ``handle.value`` and watchers see, also in the last turn."""

from __future__ import annotations

from contextlib import aclosing

from pydantic import BaseModel

from actors import Completed, Failed, Step, WorkflowManager
from tests.api.watching import seen


class Progress(BaseModel):
    done: int
    names: set[str] = set()


async def test_a_value_is_seen_by_handles_and_watchers_while_the_workflow_runs(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        step.set_value("progress", Progress(done=1, names={"a", "b"}))
        await step.await_event("go")
        step.set_value("progress", Progress(done=2))
        await step.await_event("go")

    async with manager.worker():
        handle = await manager.start(flow)
        snapshot = await seen(handle, lambda snapshot: "progress" in snapshot.values)
        assert snapshot.values["progress"] == {"done": 1, "names": {"a", "b"}}
        assert await handle.value("other") is None
        async with aclosing(handle.watch()) as snapshots:
            assert (await anext(snapshots)).values["progress"]["done"] == 1
            await handle.send_event("go")
            async for snapshot in snapshots:
                if snapshot.values["progress"]["done"] == 2:
                    break
        assert await handle.value("progress") == {"done": 2, "names": set()}
        await handle.send_event("go")
        await handle.result()
        assert await handle.value("progress") == {"done": 2, "names": set()}


async def test_values_set_in_the_last_turn_are_published(manager: WorkflowManager) -> None:
    @manager.workflow
    async def returns(step: Step) -> None:
        await step.sleep(0.01)
        step.set_value("last", "returned")

    @manager.workflow
    async def raises(step: Step) -> None:
        step.set_value("last", "raised")
        raise ValueError("no")

    async with manager.worker():
        first, second = await manager.start(returns), await manager.start(raises)
        ended = [
            await seen(handle, lambda snapshot: isinstance(snapshot.status, Completed | Failed))
            for handle in (first, second)
        ]
        assert [snapshot.values["last"] for snapshot in ended] == ["returned", "raised"]
        assert await first.value("last") == "returned"


async def test_hundreds_of_values_of_one_turn_are_published_and_the_last_of_a_key_stays(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step, ends: bool) -> None:
        for number in range(450):
            step.set_value(f"key {number % 225}", number)
        if not ends:
            await step.await_event("go")

    async with manager.worker():
        for ends in (True, False):
            handle = await manager.start(flow, ends)
            snapshot = await seen(handle, lambda snapshot: snapshot.values.get("key 224") == 449)
            assert snapshot.values == {f"key {number}": 225 + number for number in range(225)}
            if not ends:
                await handle.send_event("go")
            await handle.result()
