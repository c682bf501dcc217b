"""Code that no longer fits a journal: the workflow stops with an error that helps, and goes on once it is put right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actors import Step, Stopped, WorkflowManager
from tests.api.watching import Managers, in_state, seen

Code = Callable[..., Coroutine[Any, Any, Any]]


class Version:
    """One version of the code: the same steps, another workflow function."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.manager = manager
        self.go = asyncio.Event()

        @manager.action(name="charge", retry=True)
        async def charge(cents: int) -> int:
            return cents

        @manager.action(name="ship", retry=True)
        async def ship() -> str:
            return "shipped"

        @manager.action(name="wait", retry=True, queue="wait")
        async def wait() -> None: ...

        self.charge, self.ship, self.wait = charge, ship, wait


def original(v: Version) -> Code:
    async def flow(step: Step) -> str:
        await step.run_action(v.charge, 5)
        await step.sleep(0.01)
        await step.run_action(v.wait)
        return await step.run_action(v.ship)

    return flow


def renamed(v: Version) -> Code:
    async def flow(step: Step) -> str:
        await step.run_action(v.ship)
        await step.sleep(0.01)
        await step.run_action(v.wait)
        return await step.run_action(v.ship)

    return flow


def other_arguments(v: Version) -> Code:
    async def flow(step: Step) -> str:
        await step.run_action(v.charge, 7)
        await step.sleep(0.01)
        await step.run_action(v.wait)
        return await step.run_action(v.ship)

    return flow


def other_sleep(v: Version) -> Code:
    async def flow(step: Step) -> str:
        await step.run_action(v.charge, 5)
        await step.sleep(0.02)
        await step.run_action(v.wait)
        return await step.run_action(v.ship)

    return flow


def added_in_front(v: Version) -> Code:
    async def flow(step: Step) -> str:
        await step.run_action(v.ship)
        await step.run_action(v.charge, 5)
        await step.sleep(0.01)
        await step.run_action(v.wait)
        return await step.run_action(v.ship)

    return flow


def removed_at_the_end(v: Version) -> Code:
    async def flow(step: Step) -> str:
        await step.run_action(v.charge, 5)
        await step.sleep(0.01)
        return "too early"

    return flow


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (renamed, ["step 1", "charge(5)", "ship()"]),
        (other_arguments, ["step 1", "charge(5)", "charge(7)"]),
        (other_sleep, ["step 2", "10 ms", "20 ms"]),
        (added_in_front, ["step 1", "charge(5)", "ship()"]),
        (removed_at_the_end, ["step 3", "wait()", "ends before it"]),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
async def test_changed_code_stops_the_workflow_and_put_right_it_goes_on(
    managers: Managers, changed: Callable[[Version], Code], said: list[str]
) -> None:
    old, new, mended = Version(managers()), Version(managers()), Version(managers())
    flow = old.manager.workflow(name="flow")(original(old))
    async with old.manager.worker():
        handle = await old.manager.start(flow)
        await seen(handle, in_state("wait", "queued"))
    new.manager.workflow(name="flow")(changed(new))
    async with new.manager.worker(queues=["default", "wait"]):
        snapshot = await seen(handle, lambda snapshot: isinstance(snapshot.status, Stopped))
        status = await handle.status()
        assert isinstance(status, Stopped)
        assert status == snapshot.status
        assert [text for text in [*said, "test_changing_code.py:"] if text not in status.error.message] == []
    mended.manager.workflow(name="flow")(original(mended))
    async with mended.manager.worker(queues=["default", "wait"]):
        assert await handle.result() == "shipped"


async def test_a_stopped_workflow_is_not_tried_again_with_the_code_that_stopped_it_unless_somebody_asks(
    managers: Managers,
) -> None:
    old, new = Version(managers()), Version(managers())
    flow = old.manager.workflow(name="flow")(original(old))
    async with old.manager.worker():
        handle = await old.manager.start(flow)
        await seen(handle, in_state("wait", "queued"))
    new.manager.workflow(name="flow")(renamed(new))
    async with new.manager.worker(queues=["default", "wait"]) as worker:
        await seen(handle, lambda snapshot: isinstance(snapshot.status, Stopped))
        await worker.host.resume_stopped()
        assert isinstance(await handle.status(), Stopped)
        assert await handle.resume() is True
        await seen(handle, lambda snapshot: isinstance(snapshot.status, Stopped))
    assert await handle.cancel() is True


async def test_a_stopped_workflow_is_not_tried_again_because_another_version_has_other_code(managers: Managers) -> None:
    old, new = Version(managers()), Version(managers())
    flow = old.manager.workflow(name="flow")(original(old))
    async with old.manager.worker():
        handle = await old.manager.start(flow)
        await seen(handle, in_state("wait", "queued"))
    new.manager.workflow(name="flow")(renamed(new))
    new.manager.workflow(name="flow", version="2")(other_sleep(new))
    async with new.manager.worker(queues=["default", "wait"]) as worker:
        await seen(handle, lambda snapshot: isinstance(snapshot.status, Stopped))
        store = await new.manager.store()
        before = (await store.instances.record(handle.address))["reason"]
        await worker.host.resume_stopped()
        assert isinstance(await handle.status(), Stopped)
        assert (await store.instances.record(handle.address))["reason"] == before


async def test_resuming_what_is_not_stopped_says_so(managers: Managers) -> None:
    old = Version(managers())
    flow = old.manager.workflow(name="flow")(original(old))
    handle = await old.manager.start(flow)
    assert await handle.resume() is False
