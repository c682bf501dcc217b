"""What a handle can do, the manager does by the instance's id: the same values, the same errors, no code of its own."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from actors import (
    Completed,
    InvalidOption,
    Step,
    WorkflowCanceled,
    WorkflowEnded,
    WorkflowHandle,
    WorkflowManager,
    WorkflowNotFound,
)
from actors.short_forms import ShortForms

METHODS = sorted(name for name, method in vars(WorkflowHandle).items() if inspect.isfunction(method) and name[0] != "_")


def test_every_method_of_a_handle_has_one() -> None:
    assert [name for name in sorted(vars(ShortForms)) if name[0] != "_"] == METHODS


@pytest.fixture
def shop(manager: WorkflowManager) -> WorkflowManager:
    @manager.action(name="count")
    async def count(items: list[str]) -> int:
        return len(items)

    @manager.workflow(name="basket")
    async def basket(step: Step) -> int:
        items: list[str] = []
        closed = asyncio.Event()

        @step.update_handler
        async def add(item: str) -> int:
            items.append(item)
            step.set_value("last", item)
            return len(items)

        _ = add
        while not closed.is_set():
            if await step.await_event("close", bool):
                closed.set()
        return await step.run_action(count, items)

    return manager


async def test_they_do_what_the_handle_does(shop: WorkflowManager) -> None:
    basket = shop.get_workflow("basket").with_options(id="b-1")
    async with shop.worker():
        await shop.start_many([basket.bind()])
        assert await shop.update("b-1", "add", "pen", type=int, timeout=5) == 1
        assert await shop.update("b-1", "add", "cup", id="second") == 2
        assert await shop.update("b-1", "add", "cup", id="second") == 2
        assert await shop.value("b-1", "last") == "cup"
        await shop.send_event("b-1", "close", False, id="once")
        await shop.send_event("b-1", "close", True, id="once")
        await shop.send_event("b-1", "close", True)
        assert await shop.result("b-1", timeout=5) == 2
        assert await shop.result("b-1", basket) == 2
        assert await shop.status("b-1") == await shop.handle("b-1").status() == Completed(2)
        assert [snapshot.status async for snapshot in shop.watch("b-1")] == [Completed(2)]
        assert await shop.steps("b-1") == await shop.handle("b-1").steps()
        assert await shop.history("b-1") == await shop.handle("b-1").history()
        await shop.restart("b-1", from_step="count")
        assert await shop.result("b-1") == 2
        assert await shop.resume("b-1") is False
        assert await shop.cancel("b-1") is False
        assert await shop.cleanup("b-1") is True


async def test_they_raise_what_the_handle_raises(shop: WorkflowManager) -> None:
    basket = shop.get_workflow("basket").with_options(id="b-1")
    await shop.start_many([basket.bind()])
    assert await shop.cancel("b-1") is True
    with pytest.raises(WorkflowCanceled):
        await shop.result("b-1")
    with pytest.raises(WorkflowEnded):
        await shop.send_event("b-1", "close", error="too late")
    with pytest.raises(WorkflowEnded):
        await shop.update("b-1", "add", "pen")
    with pytest.raises(InvalidOption, match="give a value or an error"):
        await shop.send_event("b-1", "close", 1, error="both")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    for call in (shop.status, shop.result, shop.steps, shop.history, shop.cancel, shop.restart, shop.resume):
        with pytest.raises(WorkflowNotFound, match="'b-2'"):
            await call("b-2")
    with pytest.raises(InvalidOption, match="cannot be a workflow's id"):
        await shop.status("")
    assert await shop.cleanup("b-2") is False
