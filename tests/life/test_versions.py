"""Versions of a workflow side by side, and the Python that an instance began under."""

from __future__ import annotations

import asyncio
from typing import Any

from actors import Completed, InProgress, Step, Stopped, WorkflowHandle, WorkflowManager
from actors.payload import pack
from actors.servers import aside, turner
from tests.api.watching import Managers, in_state, seen


def waiting(manager: WorkflowManager, version: str) -> Any:  # noqa: ANN401 - a definition of any manager
    @manager.workflow(name="flow", version=version)
    async def flow(step: Step) -> str:
        await step.await_event("go")
        return f"{version} {step.version}"

    return flow


async def go_on(handle: WorkflowHandle[Any], manager: WorkflowManager) -> None:
    await (await manager.store()).instances.append(handle.address, kind="event", name="go", payload=pack(None))


async def test_one_worker_runs_each_instance_under_the_version_that_it_started_under(manager: WorkflowManager) -> None:
    first, second = waiting(manager, "1"), waiting(manager, "2")
    async with manager.worker():
        handles = [await manager.start(flow) for flow in (first, second, second.with_options(version="1"))]
        for handle in handles:
            await go_on(handle, manager)
        assert [await handle.result() for handle in handles] == ["1 1", "2 2", "1 1"]
        assert sorted(item.version for item in (await manager.list(workflow=first)).items) == ["1", "1", "2"]


async def test_a_worker_without_the_version_leaves_it_to_one_that_has_it(managers: Managers) -> None:
    old, new = managers(), managers()
    flow = waiting(old, "1")
    waiting(new, "2")
    async with new.worker():
        handle = await new.start(flow)
        async with old.worker():
            await go_on(handle, old)
            assert await handle.result(timeout=10) == "1 1"


async def test_an_instance_whose_version_nobody_has_waits_and_says_so_and_is_not_turned_in_a_loop(
    managers: Managers,
) -> None:
    old, new, none = managers(), managers(), managers()
    flow = waiting(old, "1")
    waiting(new, "2")
    handle = await old.start(flow.with_options(id="x"))
    status = await handle.status()
    assert isinstance(status, InProgress)
    assert "no worker has version '1' of the workflow 'flow' (none has any" in status.waiting
    async with new.worker() as worker:
        while not await worker.host.store.space.send("x", "EXISTS", f"{worker.host.store.space.keys.tags[0]}:delayed"):  # noqa: ASYNC110 - another server's work; nothing announces it
            await asyncio.sleep(0.01)
        status = await none.handle("x").status()
        assert isinstance(status, InProgress)
        assert "(those at work have '2')" in status.waiting
        async with old.worker():
            status = await handle.status()
            assert isinstance(status, InProgress)
            assert status.waiting == ""


async def test_a_child_runs_under_the_version_of_its_definition(manager: WorkflowManager) -> None:
    @manager.workflow(name="child", version="2")
    async def child(step: Step) -> str:
        return step.version

    @manager.workflow(name="parent")
    async def parent(step: Step) -> str:
        return await step.run_workflow(child)

    async with manager.worker():
        assert await (await manager.start(parent)).result(timeout=5) == "2"


async def test_a_mismatch_names_the_python_that_the_instance_began_under_if_it_is_another(
    managers: Managers,
    monkeypatch: Any,  # noqa: ANN401 - pytest.MonkeyPatch
) -> None:
    def code(manager: WorkflowManager, name: str) -> Any:  # noqa: ANN401
        @manager.action(name="say")
        async def say(what: str) -> str:
            return what

        @manager.workflow(name="flow")
        async def flow(step: Step) -> None:
            await step.run_action(say, name)
            await step.await_event("go")

        return flow

    old, new = managers(), managers()
    flow = code(old, "old")
    with monkeypatch.context() as other:
        other.setattr(turner, "PYTHON", "2.7")
        async with old.worker():
            handle = await old.start(flow)
            await seen(handle, in_state("go", "waiting"))
    code(new, "new")
    async with new.worker():
        await go_on(handle, new)
        snapshot = await seen(handle, lambda snapshot: isinstance(snapshot.status, Stopped))
    assert isinstance(snapshot.status, Stopped)
    message = snapshot.status.error.message
    assert "its code no longer fits its journal at step 1" in message
    assert f"It began under Python 2.7, and this worker runs {aside.PYTHON}" in message


async def test_a_stopped_instance_is_not_tried_with_the_code_of_another_version(managers: Managers) -> None:
    old, new = managers(), managers()
    flow = waiting(old, "1")
    async with old.worker():
        handle = await old.start(flow)
        await seen(handle, in_state("go", "waiting"))
    store = await old.store()
    record = (await store.turns.fetch(handle.address, generation="", fed="0-0")).record
    reason = (await _failure()).encode()
    await store.turns.stop(handle.address, generation=record.generation, base="", reason=reason, fingerprint="other")
    waiting(new, "2")
    async with new.worker() as worker:
        await worker.host.resume_stopped()
        assert isinstance(await handle.status(), Stopped)
    async with old.worker() as worker:
        await worker.host.resume_stopped()
        await go_on(handle, old)
        assert await handle.result(timeout=5) == "1 1"
        assert isinstance(await handle.status(), Completed)


async def _failure() -> Any:  # noqa: ANN401
    from actors import Failure  # noqa: PLC0415

    return Failure("WorkflowFailed", "Test", "set aside")
