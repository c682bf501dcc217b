"""Watching: pushed, to many, until the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest

from actors import Completed, Step, WorkflowManager
from actors.views import Snapshot
from tests.api.watching import in_state, running, seen


async def test_many_watchers_see_the_steps_and_the_end(manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait(i: int) -> int:
        await go.wait()
        return i

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        total = 0
        for i in range(3):
            total += await step.run_action(wait, i)
        return total

    async with manager.worker():
        handle = await manager.start(flow)
        ready = [asyncio.Event() for _ in range(8)]

        async def watch(mine: asyncio.Event) -> list[Snapshot]:
            snapshots: list[Snapshot] = []
            async for snapshot in handle.watch():
                snapshots.append(snapshot)
                mine.set()
            return snapshots

        watchers = [asyncio.create_task(watch(event)) for event in ready]
        for event in ready:
            await event.wait()
        await seen(handle, running("wait"))
        go.set()
        for snapshots in await asyncio.gather(*watchers):
            assert snapshots[-1].status == Completed(3)
            assert snapshots[-1].ended is not None
            assert [step.result for step in snapshots[-1].steps] == [0, 1, 2]
            assert all(snapshot.id == handle.id for snapshot in snapshots)
            assert all(a != b for a, b in pairwise(snapshots))


async def test_who_waits_for_a_result_is_told_and_does_not_ask_again_and_again(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> None:
        await go.wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(wait)

    async with manager.worker():
        handle = await manager.start(flow)
        await seen(handle, running("wait"))
        waiting = asyncio.create_task(handle.result())
        store, calls = await manager.store(), list[str]()
        for _ in range(100):
            await asyncio.sleep(0)
        send = store.space.send

        def noting(key: str, *words: str | bytes | float) -> asyncio.Future[object]:
            calls.append(str(words[0]))
            return send(key, *words)

        monkeypatch.setattr(store.space, "send", noting)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.shield(waiting)
        assert calls == []
        monkeypatch.undo()
        go.set()
        await waiting


async def test_a_watcher_of_an_ended_workflow_gets_one_snapshot(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    async with manager.worker():
        handle = await manager.start(flow)
        await handle.result()
        assert [snapshot.status async for snapshot in handle.watch()] == [Completed(1)]


async def test_published_values_are_seen_by_watchers(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        for percent in (10, 20):
            step.set_value("progress", percent)
            await step.sleep(0.05)

    async with manager.worker():
        handle = await manager.start(flow)
        await seen(handle, lambda snapshot: snapshot.values == {"progress": 10})
        await seen(handle, lambda snapshot: snapshot.values == {"progress": 20})
        await seen(handle, in_state("timer", "completed"))
        await handle.result()
