"""Workers that are taken for dead while they live: they go on under a new name, and nothing is left in old hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from actors import Step, WorkflowManager
from actors.definitions import Workflow
from actors.servers import Worker
from actors.servers.host import Host
from actors.servers.server import Server
from kernel import Heartbeat, Reader, ServerRefused
from kernel.store.audit import audit
from tests.api.watching import Managers


def _define(manager: WorkflowManager) -> Workflow[[int], int]:
    @manager.action(name="work", retry=True)
    async def work(i: int) -> int:
        await asyncio.sleep(0)
        return i

    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        return sum([sum(await asyncio.gather(*(step.run_action(work, i) for _ in range(2)))) for _ in range(3)])

    return flow


async def _ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _fence(manager: WorkflowManager, worker: Worker) -> None:
    """Declare a worker dead that lives, as somebody does who is mistaken and dies before taking anything over."""
    await (await manager.store()).custody.fence(worker.incarnation, "")


async def _reborn(worker: Worker, before: str) -> None:
    while worker.incarnation == before:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.001)


class Stubborn(Server):
    """One of its tasks fails just when it is told to stop."""

    name = "stubborn"

    def __init__(self) -> None:
        super().__init__()
        self.running = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail_when_cancelled())
            self.running.set()
            await asyncio.Event().wait()

    async def _fail_when_cancelled(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the connection is gone")


async def test_a_server_ends_when_told_to_even_if_something_in_it_fails_at_that_moment(runner: asyncio.Runner) -> None:
    server = Stubborn()
    server.start()
    await server.running.wait()
    async with asyncio.timeout(2.0):
        await server.stop()


class Deaf(Server):
    """Something in it swallows the first cancellation."""

    name = "deaf"

    def __init__(self) -> None:
        super().__init__()
        self.running = asyncio.Event()

    async def run(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()


async def test_a_server_that_loses_a_cancellation_is_cancelled_again(runner: asyncio.Runner) -> None:
    server = Deaf()
    server.start()
    await server.running.wait()
    async with asyncio.timeout(2.0):
        await server.stop()


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_worker_told_to_stop_while_it_is_being_reborn_leaves_at_once_and_with_nothing(
    managers: Managers, ticks: int
) -> None:
    manager = managers(partitions=2)
    flow = _define(manager)
    async with manager.worker(concurrency=4) as worker:
        handles = await manager.start_many(flow.bind(i) for i in range(8))
        await handles[0].result()
        await _fence(manager, worker)
        # A turn that was about to begin: cancelled before it first runs, it cannot say that it is over.
        worker.host.hands.turning.add("wf/about-to-begin")
        worker._begin_rebirth(worker.incarnation)
        await _ticks(ticks)
        async with asyncio.timeout(5.0):
            await worker.stop()
        store = await manager.store()
        assert await store.custody.living() == []
        assert [await store.custody.holders(tag) for tag in store.space.keys.tags] == [set(), set()]
    async with manager.worker():
        assert [await handle.result() for handle in handles] == [6 * i for i in range(8)]
    assert await audit(store.space) == []


async def test_a_worker_that_is_declared_dead_while_it_begins_has_one_life_afterwards(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = _define(manager)
    learn, dead = Host.learn_bands, list[str]()

    async def fenced_meanwhile(host: Host) -> bool:
        if len(dead) < 2:
            dead.append(host.incarnation)
            await host.store.custody.fence(host.incarnation, "")
            host.on_fenced()
        return await learn(host)

    monkeypatch.setattr(Host, "learn_bands", fenced_meanwhile)
    async with manager.worker() as worker:
        assert worker.incarnation not in dead
        names = Counter(task.get_name() for task in asyncio.all_tasks())
        assert (names["runner"], names["auditor"], names["rebirth"]) == (1, 1, 0)
        assert await (await manager.start(flow, 2)).result() == 12
        living = await (await manager.store()).custody.living()
        assert [beat.worker for beat in living] == [worker.incarnation]


async def test_what_a_worker_was_handed_after_its_death_was_declared_is_taken_over_in_its_next_life(
    manager: WorkflowManager,
) -> None:
    flow = _define(manager)
    async with manager.worker() as worker:
        await manager.start(flow, 1)
        before = worker.incarnation
        await _fence(manager, worker)
        await worker._break_off()
        handle = await manager.start(flow, 2)
        await _read_everything(manager, before)
        worker._begin_rebirth(worker.incarnation)
        async with asyncio.timeout(5.0):
            assert await handle.result() == 12


async def test_an_answer_that_took_as_long_as_an_outage_condemns_nobody(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    _define(manager)
    async with manager.worker() as one:
        host, reaper = one.host, one._reaper
        assert reaper is not None
        await reaper.stop()
        custody, link = host.store.custody, host.store.space.link(host.store.space.keys.workers)
        await custody.register("silent for as long as nobody could beat", "{}")
        await reaper.look()
        living = custody.living

        async def living_after_an_outage() -> list[Heartbeat]:
            link.epoch += 1
            await asyncio.sleep(1.2 * host.worker_timeout_s)
            return await living()

        with monkeypatch.context() as patch:
            patch.setattr(custody, "living", living_after_an_outage)
            await reaper.look()
        await reaper.look()
        assert "silent for as long as nobody could beat" in {beat.worker for beat in await living()}


async def test_what_a_dead_worker_reads_after_its_death_was_declared_is_found_by_others_soon(
    manager: WorkflowManager,
) -> None:
    flow = _define(manager)
    async with manager.worker() as heir:
        custody, reaper = (await manager.store()).custody, heir._reaper
        assert reaper is not None
        await custody.register("paused", "{}")
        await reaper.look()
        await reaper.look()
        reaper._doubt_until, reaper._search_at = 0.0, float("inf")  # long after its start
        await heir.host.dispatcher.stop()
        handle = await manager.start(flow, 2)
        await custody.fence("paused", "")
        await _read_everything(manager, "paused")
        heir.host.dispatcher.start()
        async with asyncio.timeout(5.0):
            assert await handle.result() == 12


async def test_a_worker_that_redis_refuses_a_new_life_tries_again(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = _define(manager)
    monkeypatch.setattr("actors.servers.worker.REBIRTH_S", 0.01)
    async with manager.worker() as worker:
        custody, refusals = worker._store.custody, [2]
        register = custody.register

        async def refuse(name: str, about: str) -> None:
            if refusals[0]:
                refusals[0] -= 1
                raise ServerRefused("register", "OOM command not allowed")
            await register(name, about)

        monkeypatch.setattr(custody, "register", refuse)
        before = worker.incarnation
        await _fence(manager, worker)
        handle = await manager.start(flow, 2)
        async with asyncio.timeout(5.0):
            assert await handle.result() == 12
            await _reborn(worker, before)


async def test_a_worker_whose_heartbeat_does_not_tell_it_learns_from_the_list_that_it_is_dead(
    manager: WorkflowManager,
) -> None:
    async with manager.worker() as worker:
        before = worker.incarnation
        assert worker._pulse is not None
        worker._pulse.stop()
        await _fence(manager, worker)
        async with asyncio.timeout(5.0):
            await _reborn(worker, before)


async def _read_everything(manager: WorkflowManager, worker: str) -> None:
    """Read all that waits in a worker's name, as it may until it hears of its death."""
    space = (await manager.store()).space
    for tag in space.keys.tags:
        for name, group in (("ready", "dispatchers"), ("q:default", "workers"), ("outbox", "couriers")):
            reader = Reader(space, group=group, consumer=worker, streams=(f"{tag}:{name}",))
            while await reader.more(10):
                pass
            await reader.close()


@pytest.mark.parametrize("seed", range(6))
async def test_workers_taken_for_dead_at_any_moment_lose_nothing(managers: Managers, seed: int) -> None:
    random, manager = Random(seed), managers(partitions=2, worker_timeout=1)
    flow = _define(manager)
    async with manager.worker(concurrency=4, cache_instances=3) as one, manager.worker(concurrency=4) as two:
        handles = await manager.start_many(flow.bind(i) for i in range(8))
        for fallen, heir in random.choices([(one, two), (two, one)], k=2):
            await _ticks(random.randrange(200))
            dead = fallen.incarnation
            await _fence(manager, fallen)
            if random.random() < 0.5:
                reaper = heir._reaper
                assert reaper is not None
                await reaper.take_over(dead)
            await _ticks(random.randrange(30))
            if random.random() < 0.7:
                fallen._begin_rebirth(fallen.incarnation)
                await _reborn(fallen, dead)
        assert [await handle.result() for handle in handles] == [6 * i for i in range(8)]
    assert await audit((await manager.store()).space) == []
