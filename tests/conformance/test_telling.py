"""What is promised of events, updates, values and the gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors import Step, UpdateFailed, WorkflowCanceled, WorkflowEnded, WorkflowManager
from tests.api.watching import seen
from tests.conformance.here import Here, until


async def test_an_event_waits_for_its_workflow_and_is_taken_once(here: Here, manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        taken = [await step.await_event("word", str) for _ in range(3)]
        try:
            await step.await_event("word", str, timeout=timedelta(milliseconds=30))
        except TimeoutError:
            taken.append("no more")
        return taken

    handle = await manager.start(flow)
    await handle.send_event("word", "early", id="1")
    async with here.working(manager):
        await handle.send_event("word", "early", id="1")
        await handle.send_event("word", "on time", id="2")
        await handle.send_event("word", "late", id="3")
        assert await handle.result() == ["early", "on time", "late", "no more"]
        with pytest.raises(WorkflowEnded):
            await handle.send_event("word", "too late")


async def test_a_waiting_workflow_takes_no_memory_of_a_worker_and_goes_on_by_any(here: Here) -> None:
    first, second = here.manager(), here.manager()

    def define(manager: WorkflowManager) -> None:
        @manager.workflow(name="flow")
        async def flow(step: Step) -> str:
            return await step.await_event("go", str)

    define(first)
    define(second)
    async with here.working(first):
        handle = await first.start(first.get_workflow("flow"))
        await seen(handle, lambda snapshot: any(step.kind == "event" for step in snapshot.steps))
    async with here.working(second):
        await second.handle(handle.id).send_event("go", "elsewhere")
        assert await handle.result() == "elsewhere"


async def test_an_update_runs_in_the_workflow_and_is_answered_once(here: Here, manager: WorkflowManager) -> None:
    @manager.action(name="price")
    async def price(name: str) -> int:
        return len(name)

    @manager.workflow(name="basket")
    async def basket(step: Step) -> list[str]:
        items: list[str] = []
        closed = asyncio.Event()

        @step.update_handler
        async def add(item: str) -> int:
            if item == "bomb":
                raise LookupError("we do not sell bombs")
            cents = await step.run_action(price, item)
            items.append(item)
            return cents

        @step.update_handler
        def close() -> None:
            closed.set()

        await closed.wait()
        return items

    async with here.working(manager):
        handle = await manager.start(basket)
        assert await handle.update("add", "pen", type=int, id="1") == 3
        assert await handle.update("add", "pen", type=int, id="1") == 3
        with pytest.raises(UpdateFailed, match="bombs"):
            await handle.update("add", "bomb")
        await handle.update("add", "paper", type=int)
        await handle.update("close")
        assert await handle.result() == ["pen", "paper"]


async def test_published_values_can_be_read_while_it_runs_and_afterwards(here: Here, manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        step.set_value("percent", 50)
        await step.await_event("go")
        step.set_value("percent", 100)

    async with here.working(manager):
        handle = await manager.start(flow)
        await seen(handle, lambda snapshot: snapshot.values.get("percent") == 50)
        await handle.send_event("go")
        await handle.result()
        assert await handle.value("percent") == 100


async def test_a_message_to_the_gateway_is_carried_out_once(here: Here, manager: WorkflowManager) -> None:
    began: list[str] = []

    @manager.action(name="note")
    async def note(name: str) -> None:
        began.append(name)

    @manager.workflow(name="flow")
    async def flow(step: Step, name: str) -> str:
        await step.run_action(note, name)
        return await step.await_event("go", str)

    space = (await manager.store()).space
    stream = space.keys.gateway

    async def publish(**fields: str) -> None:
        words = [word for pair in fields.items() for word in pair]
        await space.send(stream, "XADD", stream, "*", *words)

    async def all_done() -> bool:
        return await space.send(stream, "XLEN", stream) == 0

    async with here.working(manager), here.working(manager):
        for name in ("a", "b", "c"):
            await publish(type="event", id=name, name="go", value=f'"{name} went"')
            await publish(type="start", workflow="flow", id=name, args=f'["{name}"]')
        results = [await manager.handle(name).result() for name in ("a", "b", "c")] if await _there(manager) else []
        assert results == ["a went", "b went", "c went"]
        await publish(type="start", workflow="flow", id="d", args='["d"]')
        await publish(type="cancel", id="d")
        await publish(type="start", workflow="nobody knows it", id="e", args="this is no JSON")
        await until(all_done)
        with pytest.raises(WorkflowCanceled):
            await manager.handle("d").result()
        dead = space.keys.dead
        assert await space.send(dead, "XLEN", dead) == 1
    assert sorted(set(began) - {"d"}) == ["a", "b", "c"]
    assert len(began) == len(set(began))


async def _there(manager: WorkflowManager) -> bool:
    """Wait until the messages have become instances."""

    async def listed() -> bool:
        return len((await manager.list()).items) == 3

    await until(listed)
    return True
