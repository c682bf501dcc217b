"""Running an ended instance again: from where, with which events, without which children."""

from __future__ import annotations

import asyncio

import pytest

from actors import (
    Completed,
    Failed,
    InProgress,
    NoSuchStep,
    Step,
    StepFailed,
    WorkflowBusy,
    WorkflowFailed,
    WorkflowHandle,
    WorkflowManager,
    WorkflowNotFound,
    WorkflowRunning,
    ending,
)
from actors.payload import pack
from tests.api.watching import in_state, seen


class Shop:
    """A workflow of three steps, the second of which can be made to fail; it counts what ran."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.broken = True
        self.ran: list[str] = []

        @manager.action(name="work")
        async def work(what: str) -> str:
            self.ran.append(what)
            if what == "two" and self.broken:
                raise ValueError("out of stock")
            return what

        @manager.workflow(name="flow")
        async def flow(step: Step) -> list[str]:
            names = ["one", "two", "three"]
            return [await step.run_action(work.with_options(name=f"do {name}"), name) for name in names]

        self.flow = flow


@pytest.fixture
def shop(manager: WorkflowManager) -> Shop:
    return Shop(manager)


async def failed(manager: WorkflowManager, shop: Shop) -> WorkflowHandle[list[str]]:
    handle = await manager.start(shop.flow)
    with pytest.raises(WorkflowFailed):
        await handle.result()
    return handle


async def test_without_a_step_it_runs_again_from_the_first_that_failed(manager: WorkflowManager, shop: Shop) -> None:
    async with manager.worker():
        handle = await failed(manager, shop)
        shop.broken = False
        await handle.restart()
        assert await handle.result() == ["one", "two", "three"]
        assert shop.ran == ["one", "two", "two", "three"]
        assert [view.state for view in await handle.steps()] == ["completed"] * 3
        assert isinstance(await handle.status(), Completed)


@pytest.mark.parametrize("again", [1, "do one"])
async def test_from_a_number_or_name_that_step_and_all_later_ones_run_again(
    manager: WorkflowManager, shop: Shop, again: int | str
) -> None:
    shop.broken = False
    async with manager.worker():
        handle = await manager.start(shop.flow)
        await handle.result()
        await handle.restart(from_step=again)
        assert await handle.result() == ["one", "two", "three"]
        await handle.restart(from_step="do three")
        assert await handle.result() == ["one", "two", "three"]
        assert shop.ran == ["one", "two", "three"] * 2 + ["three"]


async def test_a_completed_one_without_a_failed_step_runs_only_what_follows_its_last_step(
    manager: WorkflowManager, shop: Shop
) -> None:
    shop.broken = False
    async with manager.worker():
        handle = await manager.start(shop.flow)
        await handle.result()
        await handle.restart()
        assert await handle.result() == ["one", "two", "three"]
        assert shop.ran == ["one", "two", "three"]


async def test_it_can_be_restarted_again_and_again_on_workers_without_a_cache(
    manager: WorkflowManager, shop: Shop
) -> None:
    async with manager.worker(cache_instances=0):
        handle = await failed(manager, shop)
        for _ in range(3):
            await handle.restart()
            with pytest.raises(WorkflowFailed):
                await handle.result()
        shop.broken = False
        await handle.restart()
        assert await handle.result() == ["one", "two", "three"]
    assert shop.ran == ["one", *["two"] * 5, "three"]


async def test_a_canceled_one_goes_on_where_it_was_canceled(manager: WorkflowManager) -> None:
    ran: list[str] = []

    @manager.action(name="work")
    async def work(what: str) -> str:
        ran.append(what)
        if what == "two" and ran.count("two") == 1:
            await asyncio.Event().wait()
        return what

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        await step.run_action(work, "one")
        return await step.run_action(work.with_options(name="second"), "two")

    async with manager.worker():
        for cleanup in (False, True):
            ran.clear()
            handle = await manager.start(flow)
            await seen(handle, in_state("second", "running"))
            await handle.cancel(cleanup=cleanup)
            with pytest.raises(Exception, match="was canceled"):
                await handle.result()
            await handle.restart()
            assert await handle.result() == "two"
            assert ran == ["one", "two", "two"]


async def test_events_that_came_in_the_part_that_is_redone_are_fed_again(manager: WorkflowManager) -> None:
    ran: list[str] = []

    @manager.action(name="work")
    async def work(what: str) -> None:
        ran.append(what)
        if len(ran) == 3:
            raise ValueError(what)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        await step.run_action(work, "begin")
        got = [await step.await_event("go", str) for _ in range(2)]
        for what in got:
            await step.run_action(work, what)
        return got

    async with manager.worker():
        handle = await manager.start(flow)
        store = await manager.store()
        for name in ("a", "b"):
            await store.instances.append(handle.address, kind="event", name="go", payload=pack(name))
        with pytest.raises(WorkflowFailed):
            await handle.result()
        await handle.restart(from_step=1)
        assert await handle.result() == ["a", "b"]
        assert ran == ["begin", "a", "b", "begin", "a", "b"]


async def test_children_of_the_part_that_is_redone_are_removed_and_started_anew(manager: WorkflowManager) -> None:
    ran: list[int] = []

    @manager.workflow(name="child")
    async def child(step: Step, number: int) -> int:
        ran.append(number)
        if number == 2 and ran.count(2) == 1:
            raise ValueError(number)
        return number

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return sum([await step.run_workflow(child, number) for number in (1, 2, 3)])

    async def children() -> set[str]:
        return {item.id for item in (await manager.list(workflow=child)).items}

    async with manager.worker():
        handle = await manager.start(parent)
        with pytest.raises(WorkflowFailed):
            await handle.result()
        before = await children()
        await handle.restart()
        assert await handle.result() == 6
        assert ran == [1, 2, 2, 3]
        while len(await children()) > 3:  # noqa: ASYNC110 - another server's work; nothing announces it
            await asyncio.sleep(0.01)
        assert len(before & await children()) == 1


async def test_what_has_not_ended_is_refused(manager: WorkflowManager, shop: Shop) -> None:
    handle = await manager.start(shop.flow)
    with pytest.raises(WorkflowRunning, match="cancel it"):
        await handle.restart()
    assert isinstance(await handle.status(), InProgress)


@pytest.mark.parametrize(
    ("step", "message"),
    [(9, "give a number from 1 to 3"), (0, "from 1"), ("do four", "'do one', 'do two'"), (True, "or None")],
)
async def test_a_step_that_there_is_not_is_refused_with_those_that_there_are(
    manager: WorkflowManager, shop: Shop, step: int | str, message: str
) -> None:
    async with manager.worker():
        handle = await failed(manager, shop)
        with pytest.raises(NoSuchStep, match=message):
            await handle.restart(from_step=step)
        assert isinstance(await handle.status(), Failed)


async def test_an_unknown_one_is_not_found(manager: WorkflowManager) -> None:
    with pytest.raises(WorkflowNotFound):
        await manager.handle("nobody").restart()


async def test_what_is_still_being_cleared_up_is_asked_again_for_a_while_and_then_refused(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.sleep(3600)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_workflow(child)

    async with manager.worker():
        handle = await manager.start(parent)
        await seen(handle, in_state("child", "waiting"))
    await handle.cancel()
    monkeypatch.setattr(ending, "RESTART_S_MAX", 0.05)
    with pytest.raises(WorkflowBusy, match="no worker is running"):
        await handle.restart()
    monkeypatch.undo()
    async with manager.worker():
        await handle.restart()
        await seen(handle, in_state("child", "waiting"))
        await handle.cancel()


async def test_a_step_that_failed_and_was_caught_is_where_it_begins(manager: WorkflowManager) -> None:
    ran: list[str] = []

    @manager.action(name="work")
    async def work(what: str) -> str:
        ran.append(what)
        if what == "flaky" and ran.count(what) == 1:
            raise ValueError(what)
        return what

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            return await step.run_action(work, "flaky")
        except StepFailed:
            return await step.run_action(work, "other")

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.result() == "other"
        await handle.restart()
        assert await handle.result() == "flaky"
        assert ran == ["flaky", "other", "flaky"]
        assert len(await handle.steps()) == 1
