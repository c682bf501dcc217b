"""``step.patched``: changed code beside instances that began under the old."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Step, Stopped, WorkflowHandle, WorkflowManager
from actors.payload import pack
from tests.api.watching import Managers, in_state, seen


def steps_of(manager: WorkflowManager) -> Any:  # noqa: ANN401 - a definition of either manager
    @manager.action(name="say")
    async def say(what: str) -> str:
        return what

    return say


async def go_on(handle: WorkflowHandle[Any], manager: WorkflowManager) -> None:
    await (await manager.store()).instances.append(handle.address, kind="event", name="go", payload=pack(None))


def old_code(manager: WorkflowManager) -> Any:  # noqa: ANN401
    say = steps_of(manager)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        said = [await step.run_action(say, "old")]
        await step.await_event("go")
        said.append(await step.run_action(say, "old end"))
        return said

    return flow


def new_code(manager: WorkflowManager) -> Any:  # noqa: ANN401
    say = steps_of(manager)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        said = [await step.run_action(say, "new" if step.patched("begin") else "old")]
        await step.await_event("go")
        if step.patched("end"):
            said.append(await step.run_action(say, "new extra"))
        said.append(await step.run_action(say, "new end" if step.patched("end") else "old end"))
        return said

    return flow


@pytest.mark.parametrize("cached", [0, 100])
async def test_what_an_instance_had_passed_stays_old_and_what_it_reaches_later_is_new(
    managers: Managers, cached: int
) -> None:
    old, new = managers(), managers()
    flow, newer = old_code(old), new_code(new)
    async with old.worker():
        handle = await old.start(flow)
        await seen(handle, in_state("go", "waiting"))
    async with new.worker(cache_instances=cached):
        handle = new.handle(handle.id, newer)
        await go_on(handle, new)
        assert await handle.result() == ["old", "new extra", "new end"]
        fresh = await new.start(newer)
        await seen(fresh, in_state("go", "waiting"))
        await go_on(fresh, new)
        assert await fresh.result() == ["new", "new extra", "new end"]
        assert [view.name for view in await fresh.steps() if view.kind == "local"] == ["begin", "end"]


async def test_a_loop_stays_as_its_first_round_went_unless_the_name_has_the_round(managers: Managers) -> None:
    old, new = managers(), managers()
    say = steps_of(old)

    @old.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        said: list[str] = []
        for _ in range(3):
            await step.await_event("go")
            said.append(await step.run_action(say, "old"))
        return said

    say_new = steps_of(new)

    @new.workflow(name="flow")
    async def newer(step: Step) -> list[str]:
        said: list[str] = []
        for number in range(3):
            await step.await_event("go")
            word = "new" if step.patched("whole") else "old"
            if step.patched(f"round {number}"):
                word += "!"
            said.append(await step.run_action(say_new, word))
        return said

    async with old.worker():
        handle = await old.start(flow)
        await go_on(handle, old)
        await seen(handle, lambda snapshot: len(snapshot.steps) == 3 and snapshot.steps[2].kind == "event")
    async with new.worker(cache_instances=0):
        handle = new.handle(handle.id, newer)
        await go_on(handle, new)
        await go_on(handle, new)
        assert await handle.result() == ["old", "old!", "old!"]


async def test_the_order_of_calls_may_change_and_a_call_may_go_when_no_old_instance_is_left(
    managers: Managers,
) -> None:
    one, two, three = managers(), managers(), managers()

    def code(manager: WorkflowManager, patches: tuple[str, ...]) -> Any:  # noqa: ANN401
        say = steps_of(manager)

        @manager.workflow(name="flow")
        async def flow(step: Step) -> list[bool]:
            before = [step.patched(name) for name in patches]
            await step.run_action(say, "x")
            after = [step.patched(name) for name in patches]
            await step.await_event("go")
            await step.run_action(say, "y")
            return [*before, *after]

        return flow

    first = code(one, ("a", "b"))
    async with one.worker():
        handle = await one.start(first)
        await seen(handle, in_state("go", "waiting"))
        other = await one.start(first)
        await seen(other, in_state("go", "waiting"))
    async with two.worker():
        handle = two.handle(handle.id, code(two, ("b", "a")))
        await go_on(handle, two)
        assert await handle.result() == [True] * 4
    async with three.worker():
        other = three.handle(other.id, code(three, ()))
        await go_on(other, three)
        assert await other.result() == []


async def test_old_code_does_not_run_an_instance_that_went_the_new_way(managers: Managers) -> None:
    old, new = managers(), managers()
    flow, newer = old_code(old), new_code(new)
    async with new.worker():
        handle = await new.start(newer)
        await seen(handle, in_state("go", "waiting"))
    async with old.worker():
        handle = old.handle(handle.id, flow)
        await go_on(handle, old)
        await seen(handle, lambda snapshot: isinstance(snapshot.status, Stopped))
    async with new.worker():
        handle = new.handle(handle.id, newer)
        async with asyncio.timeout(5):
            assert await handle.result() == ["new", "new extra", "new end"]


async def test_a_restarted_instance_decides_anew_from_there_on(managers: Managers) -> None:
    old, new = managers(), managers()
    flow, newer = old_code(old), new_code(new)
    async with old.worker():
        handle = await old.start(flow)
        await go_on(handle, old)
        assert await handle.result() == ["old", "old end"]
    async with new.worker():
        handle = new.handle(handle.id, newer)
        await handle.restart(from_step=3)
        assert await handle.result() == ["old", "new extra", "new end"]
        await handle.restart(from_step=1)
        assert await handle.result() == ["new", "new extra", "new end"]
