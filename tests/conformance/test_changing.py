"""What is promised of finding, changing many, and changing code."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Step, Stopped, WorkflowCanceled, WorkflowManager
from tests.api.watching import in_state, seen
from tests.conformance.here import Here, until


async def test_a_list_shows_each_instance_once_and_the_bulk_calls_reach_all_that_fit(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        await step.await_event("go")
        return i

    async with here.working(manager):
        handles = await manager.start_many(
            flow.with_options(id=f"n{i:02}", tags={"third": str(i % 3)}).bind(i) for i in range(24)
        )
        found: list[str] = []
        page = await manager.list(limit=5)
        while True:
            found += [item.id for item in page.items]
            if page.cursor is None:
                break
            page = await manager.list(limit=5, cursor=page.cursor)
        assert sorted(found) == [f"n{i:02}" for i in range(24)]
        assert await manager.cancel_many(workflow=flow, tags={"third": "1"}) == 8
        for handle in handles[1::3]:
            with pytest.raises(WorkflowCanceled):
                await handle.result()
        assert len((await manager.list(status="canceled")).items) == 8
        assert await manager.restart_many(tags={"third": "1"}) == 8
        for handle in handles:
            await handle.send_event("go")
        assert [await handle.result() for handle in handles] == list(range(24))
        assert await manager.cleanup_many(workflow=flow) == 24
        assert (await manager.list()).items == ()


async def test_an_instance_stays_with_the_version_that_it_began_under(here: Here) -> None:
    before, after = here.manager(), here.manager()

    def define(manager: WorkflowManager, version: str) -> Any:  # noqa: ANN401 - a definition of any manager
        @manager.workflow(name="flow", version=version)
        async def flow(step: Step) -> str:
            await step.await_event("go")
            return f"{version} {step.version}"

        return flow

    first = define(before, "1")
    define(after, "1")
    second = define(after, "2")
    async with here.working(before):
        old = await before.start(first)
        await seen(old, lambda snapshot: any(step.kind == "event" for step in snapshot.steps))
    async with here.working(after):
        handles = [old, await after.start(second), await after.start(second.with_options(version="1"))]
        for handle in handles:
            await handle.send_event("go")
        assert [await handle.result() for handle in handles] == ["1 1", "2 2", "1 1"]


async def test_code_that_no_longer_fits_stops_an_instance_and_mended_code_resumes_it(here: Here) -> None:
    right, wrong = here.manager(), here.manager()
    flow, _ = _define(right, "hello"), _define(wrong, "goodbye")

    async with here.working(right):
        handle = await right.start(flow)
        await seen(handle, in_state("wait", "queued"))
    async with here.working(wrong, queues=["default", "wait"]):
        await seen(handle, lambda snapshot: snapshot.status.type == "stopped")
    status = await handle.status()
    assert isinstance(status, Stopped)
    assert status.error.error_type == "JournalMismatch"
    async with here.working(right, queues=["default", "wait"]):
        assert await handle.result() == "hello"


def _define(manager: WorkflowManager, word: str) -> Any:  # noqa: ANN401 - a definition of any manager
    @manager.action(name="say", retry=True)
    async def say(text: str) -> str:
        return text

    @manager.action(name="wait", queue="wait", retry=True)
    async def wait() -> None: ...

    if word == "hello":

        @manager.workflow(name="flow")
        async def flow(step: Step) -> str:
            said = await step.run_action(say, "hello")
            await step.run_action(wait)
            return said

        return flow

    @manager.workflow(name="flow")
    async def changed(step: Step) -> str:
        said = await step.run_action(say, "goodbye")
        await step.run_action(wait)
        return said

    return changed


async def test_a_patch_goes_the_new_way_only_for_what_had_not_passed_there(here: Here) -> None:
    before, after = here.manager(), here.manager()

    @before.workflow(name="flow")
    async def old(step: Step) -> str:
        word = await step.await_event("first", str)
        await step.await_event("second")
        return word

    @after.workflow(name="flow")
    async def new(step: Step) -> str:
        word = await step.await_event("first", str)
        if step.patched("polite"):
            word = f"dear {word}"
        await step.await_event("second")
        return word

    async with here.working(before):
        passed, waiting = await before.start(old), await before.start(old)
        await passed.send_event("first", "ann")

        async def has_passed() -> bool:
            return len(await passed.steps()) == 2 and len(await waiting.steps()) == 1

        await until(has_passed)
    async with here.working(after):
        await waiting.send_event("first", "bob")
        await asyncio.gather(passed.send_event("second"), waiting.send_event("second"))
        assert [await passed.result(), await waiting.result()] == ["ann", "dear bob"]
