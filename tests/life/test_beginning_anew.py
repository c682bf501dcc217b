"""``continue_as_new``: the same instance with a new journal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import (
    CallNotAllowed,
    InvalidArguments,
    InvalidOption,
    Step,
    StepFuture,
    UpdateFailed,
    WorkflowFailed,
    WorkflowManager,
)
from actors.payload import pack
from tests.api.watching import Managers, in_state, seen


async def send(manager: WorkflowManager, address: str, name: str, value: object) -> None:
    store = await manager.store()
    await store.instances.append(address, kind="event", name=name, payload=pack(value))


@pytest.mark.parametrize("cached", [0, 100])
async def test_the_result_is_that_of_the_last_generation_and_steps_are_of_the_present_one(
    manager: WorkflowManager, cached: int
) -> None:
    ran: list[int] = []

    @manager.action(name="work")
    async def work(number: int) -> int:
        ran.append(number)
        return number + 1

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> str:
        step.set_value("round", number)
        following = await step.run_action(work, number)
        if following < 5:
            flow.continue_as_new(following)
        return f"done at {following}"

    async with manager.worker(cache_instances=cached):
        handle = await manager.start(flow, 0)
        assert await handle.result() == "done at 5"
        assert ran == [0, 1, 2, 3, 4]
        assert [view.name for view in await handle.steps()] == ["round", "work"]
        assert await handle.value("round") == 4


async def test_one_that_begins_anew_at_once_and_never_waits_goes_on(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        if number < 20:
            flow.continue_as_new(number + 1)
        return number

    async with manager.worker():
        assert await (await manager.start(flow, 0)).result() == 20


async def test_events_that_no_wait_has_taken_come_along_in_their_order(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, seen_before: list[str]) -> list[str]:
        got = [*seen_before, await step.await_event("go", str)]
        if len(got) < 4:
            flow.continue_as_new(got)
        return got

    handle = await manager.start(flow, [])
    for name in ("a", "b", "c", "d"):
        await send(manager, handle.address, "go", name)
    async with manager.worker():
        assert await handle.result() == ["a", "b", "c", "d"]


async def test_events_that_are_fed_and_not_taken_come_along(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, first: bool) -> str:
        if first:
            await step.await_event("start")
            flow.continue_as_new(False)
        return await step.await_event("other", str)

    async with manager.worker():
        handle = await manager.start(flow, True)
        await seen(handle, in_state("start", "waiting"))
        await send(manager, handle.address, "other", "kept")
        await send(manager, handle.address, "start", None)
        assert await handle.result() == "kept"


async def test_it_works_from_within_nested_awaits_gather_and_task_groups(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, how: int) -> int:
        async def leave() -> None:
            await step.sleep(0.001)
            flow.continue_as_new(how + 1)

        match how:
            case 0:
                await leave()
            case 1:
                await asyncio.gather(leave(), step.sleep(3600))
            case 2:
                async with asyncio.TaskGroup() as group:
                    group.create_task(leave())
                    async with asyncio.TaskGroup() as inner:
                        inner.create_task(step.sleep(3600))
            case 3:
                async with asyncio.timeout(3600):
                    await leave()
            case _:
                return how
        raise AssertionError("never reached")

    async with manager.worker():
        assert await (await manager.start(flow, 0)).result() == 4


async def test_what_stands_in_finally_is_done_first_with_its_steps(manager: WorkflowManager) -> None:
    ran: list[str] = []

    @manager.action(name="work")
    async def work(what: str) -> None:
        ran.append(what)

    @manager.workflow(name="flow")
    async def flow(step: Step, last: bool) -> None:
        if last:
            return
        try:
            flow.continue_as_new(True)
        except Exception:  # noqa: BLE001 - it is none
            await step.run_action(work, "never")
        finally:
            await step.run_action(work, "finally")

    async with manager.worker():
        await (await manager.start(flow, False)).result()
    assert ran == ["finally"]


async def test_an_error_that_comes_with_it_out_of_a_task_group_fails_the_workflow(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        async def fail() -> None:
            raise LookupError("broken")

        async def leave() -> None:
            flow.continue_as_new()

        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
            group.create_task(fail())

    async with manager.worker():
        with pytest.raises(WorkflowFailed) as caught:
            await (await manager.start(flow)).result()
    assert "LookupError: broken" in caught.value.traceback


async def test_what_is_open_is_taken_back_and_children_go(manager: WorkflowManager) -> None:
    canceled = asyncio.Event()

    @manager.action(name="slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.sleep(3600)

    @manager.workflow(name="flow")
    async def flow(step: Step, first: bool) -> str:
        if first:
            _: list[StepFuture[None]] = [step.run_action(slow), step.run_workflow(child)]
            await step.await_event("go")
            flow.continue_as_new(False)
        return "done"

    async with manager.worker():
        handle = await manager.start(flow, True)
        await seen(handle, in_state("slow", "running"))
        async with asyncio.timeout(20):
            while not (await manager.list(workflow=child)).items:  # noqa: ASYNC110 - another server's work; nothing announces it
                await asyncio.sleep(0.01)
        await send(manager, handle.address, "go", None)
        assert await handle.result() == "done"
        async with asyncio.timeout(20):
            await canceled.wait()
            while (await manager.list(workflow=child)).items:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


async def test_a_parent_gets_the_last_result(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step, number: int) -> int:
        await step.sleep(0.001)
        if number < 3:
            child.continue_as_new(number + 1)
        return number

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child, 0)

    async with manager.worker():
        assert await (await manager.start(parent)).result() == 3


async def test_each_generation_draws_other_random_numbers(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, before: list[float]) -> list[float]:
        drawn = [*before, step.random.random()]
        if len(drawn) < 3:
            flow.continue_as_new(drawn)
        return drawn

    async with manager.worker():
        assert len(set(await (await manager.start(flow, [])).result())) == 3


async def test_a_wrong_call_is_refused_and_the_instance_goes_on(manager: WorkflowManager) -> None:
    @manager.workflow(name="other")
    async def other(step: Step) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> list[str]:
        refused: list[str] = []
        try:
            flow.continue_as_new("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        except InvalidArguments as error:
            refused.append(str(error))
        try:
            other.continue_as_new()
        except CallNotAllowed as error:
            refused.append(str(error))
        return refused

    async with manager.worker():
        arguments, elsewhere = await (await manager.start(flow, 1)).result()
    assert "number" in arguments
    assert "in an instance of flow" in elsewhere
    with pytest.raises(CallNotAllowed, match="outside workflow code"):
        flow.continue_as_new(1)


@pytest.mark.parametrize(
    "options", [{"id": "y"}, {"tags": {"a": "b"}}, {"priority": 3}, {"timeout": 5}, {"run_after": 5, "retention": 5}]
)
async def test_options_that_it_would_drop_are_refused_by_name(manager: WorkflowManager, options: Any) -> None:  # noqa: ANN401
    @manager.workflow(name="flow", tags={"of": "the definition"}, priority=2)
    async def flow(step: Step, number: int) -> str:
        if number:
            flow.with_options(version="1").continue_as_new(number - 1)
        try:
            flow.with_options(**options).with_options(version="1").continue_as_new(0)
        except InvalidOption as error:
            return str(error)

    async with manager.worker():
        said = await (await manager.start(flow.with_options(id="x", tags={"c": "d"}), 1)).result()
    named = ", ".join(f"{name}=…" for name in sorted(options))
    assert said.startswith(
        f"flow.with_options({named}).continue_as_new(…): an instance that begins anew stays what it is"
    )


async def test_in_the_handler_of_an_update_it_is_refused_and_the_instance_goes_on(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        again = asyncio.Event()

        @step.update_handler
        async def wrongly() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(anew())

        async def anew() -> None:
            try:
                flow.continue_as_new(number + 1)
            except CallNotAllowed as error:
                raise ValueError(str(error)) from None

        @step.update_handler
        async def directly() -> None:
            flow.continue_as_new(number + 1)

        @step.update_handler
        def rightly() -> None:
            again.set()

        await again.wait()
        if number == 1:
            flow.continue_as_new(number + 1)
        return number

    async with manager.worker():
        handle = await manager.start(flow, 1)
        with pytest.raises(UpdateFailed, match=r"CallNotAllowed: .*handler of update 'directly'.*asyncio.Event"):
            await handle.update("directly", timeout=5)
        with pytest.raises(UpdateFailed, match="ExceptionGroup"):
            await handle.update("wrongly", timeout=5)
        await handle.update("rightly")
        await handle.update("rightly")
        assert await handle.result() == 2


async def test_calling_it_on_a_newer_version_takes_the_instance_there(managers: Managers) -> None:
    manager = managers()

    @manager.workflow(name="flow", version="2")
    async def new(step: Step) -> str:
        return f"new, {step.version}"

    @manager.workflow(name="flow", version="1")
    async def old(step: Step) -> str:
        await step.sleep(0.001)
        new.continue_as_new()

    async with manager.worker():
        handle = await manager.start(old)
        assert await handle.result() == "new, 2"
        (item,) = (await manager.list()).items
        assert item.version == "2"


async def test_a_restart_is_of_the_present_generation(manager: WorkflowManager) -> None:
    ran: list[int] = []

    @manager.action(name="work")
    async def work(number: int) -> None:
        ran.append(number)
        if number == 1 and ran.count(1) == 1:
            raise ValueError(number)

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        await step.run_action(work, number)
        if number == 0:
            flow.continue_as_new(1)
        return number

    async with manager.worker():
        handle = await manager.start(flow, 0)
        with pytest.raises(WorkflowFailed):
            await handle.result()
        await handle.restart()
        assert await handle.result() == 1
    assert ran == [0, 1, 1]


async def test_after_a_restart_events_kept_for_later_come_along(manager: WorkflowManager) -> None:
    broken = True

    @manager.action(name="work")
    async def work() -> None:
        if broken:
            raise ValueError("no")

    @manager.workflow(name="flow")
    async def flow(step: Step, first: bool) -> str:
        if first:
            await step.await_event("start")
            await step.run_action(work)
            flow.continue_as_new(False)
        return await step.await_event("other", str)

    async with manager.worker(cache_instances=0):
        handle = await manager.start(flow, True)
        for name in ("start", "other"):
            await send(manager, handle.address, name, name)
        with pytest.raises(WorkflowFailed):
            await handle.result()
        broken = False
        await handle.restart(from_step=1)
        assert await handle.result() == "other"
