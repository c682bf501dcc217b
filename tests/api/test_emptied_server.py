"""A server that is emptied under those who use it: nobody waits for ever, and everybody agrees on what comes after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from actors import Step, WorkflowManager, WorkflowNotFound
from kernel.store import hearing
from tests.api.watching import Managers, seen
from tests.engine.process import until

if TYPE_CHECKING:
    from actors.definitions import Workflow
    from actors.servers import Worker


def define(manager: WorkflowManager) -> Workflow[[bool], int]:
    @manager.workflow(name="flow")
    async def flow(step: Step, waits: bool) -> int:
        if waits:
            await step.await_event("never")
        return 5

    return flow


async def empty(manager: WorkflowManager, *, seed: int = 0, partitions: int = 2) -> None:
    """Empty the server; with a seed somebody founds the namespace anew at the same moment."""
    space = (await manager.store()).space
    tag = space.keys.tags[0]
    calls = [space.send(tag, "FLUSHALL")]
    if seed:
        founding: list[Any] = ["partitions", partitions, "format", 1, "seed", seed]
        calls.append(space.send(tag, "HSET", f"{tag}:meta", *founding))
    await asyncio.gather(*calls)


async def lives(manager: WorkflowManager, worker: Worker, *, after: str) -> bool:
    """Tell whether a worker lives another life than the one ``after`` which it is waited for."""
    living = {beat.worker for beat in await (await manager.store()).custody.living()}
    return worker.incarnation != after and worker.incarnation in living


async def recorded_seed(manager: WorkflowManager) -> bytes:
    space = (await manager.store()).space
    tag = space.keys.tags[0]
    seed = await space.send(tag, "HGET", f"{tag}:meta", "seed")
    assert isinstance(seed, bytes)
    return seed


@pytest.mark.server
async def test_who_waits_for_an_instance_of_a_server_that_was_emptied_is_told_that_it_is_gone(
    managers: Managers, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "PROBE_S", 0.1)
    monkeypatch.setattr(hearing, "REREAD_S", 0.1)
    manager = managers(server_url, partitions=2)
    flow = define(manager)
    handle = await manager.start(flow, True)

    async def watched() -> None:
        async for _ in handle.watch():
            pass

    waits: list[asyncio.Task[Any]] = [asyncio.create_task(handle.result()), asyncio.create_task(watched())]
    await seen(handle, lambda snapshot: snapshot.status.type == "in_progress")

    await empty(manager)

    for error in await asyncio.gather(*waits, return_exceptions=True):
        assert isinstance(error, WorkflowNotFound)


async def test_a_worker_founds_the_namespace_of_an_emptied_server_anew_as_it_was(managers: Managers) -> None:
    manager = managers(partitions=2)
    define(manager)
    async with manager.worker() as worker:
        before, seed = worker.incarnation, await recorded_seed(manager)
        with capture_logs() as logged:
            await empty(manager)
            await until(lambda: lives(manager, worker, after=before))
        assert "founded the namespace anew" in " ".join(line["event"] for line in logged)
        assert await recorded_seed(manager) == seed
        late = managers(partitions=2)
        assert await (await late.start(define(late), False)).result() == 5


async def test_a_worker_takes_the_seed_of_a_namespace_that_somebody_else_founded_anew(managers: Managers) -> None:
    manager = managers(partitions=2)
    flow = define(manager)
    async with manager.worker() as worker:
        before = worker.incarnation
        await empty(manager, seed=7)
        await until(lambda: lives(manager, worker, after=before))
        assert worker.host.store.space.seed == 7
        assert await (await manager.start(flow, False)).result() == 5
        assert await recorded_seed(manager) == b"7"


async def test_a_worker_whose_process_can_begin_anew_is_told_the_seed_and_does_nothing_more(
    managers: Managers,
) -> None:
    manager = managers(partitions=2)
    define(manager)
    async with manager.worker() as worker:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        worker.on_refounded = told.set_result
        await empty(manager, seed=7)
        assert await told == 7
        assert await (await manager.store()).custody.living() == []


async def test_a_worker_works_in_no_namespace_with_another_number_of_partitions(managers: Managers) -> None:
    manager = managers(partitions=2)
    define(manager)
    async with manager.worker():
        with capture_logs() as logged:
            await empty(manager, seed=7, partitions=3)

            async def told() -> bool:
                return any("Start this worker again" in line.get("error", "") for line in logged)

            await until(told)
        assert await (await manager.store()).custody.living() == []
