"""What queues hold, which workers there are, and which keys an instance has: read for people, nothing changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from actors import RetryPolicy, Step, Transaction, WorkflowManager
from actors.fleet import read_workers
from actors.views import moment
from kernel import Heartbeat, QueueDepth
from tests.api.watching import Managers, in_state, seen


@pytest.fixture
def busy(manager: WorkflowManager) -> WorkflowManager:
    """Define a workflow with steps in each state that a queue knows."""

    @manager.action(name="work", queue="cpu")
    async def work() -> None:
        await asyncio.Event().wait()

    @manager.action(name="fail", queue="cpu", retry=RetryPolicy(initial_backoff=3600))
    async def fail() -> None:
        raise ValueError

    @manager.action(name="render", queue="gpu", priority=3)
    async def render() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        futures = [step.run_action(work), step.run_action(fail)]
        futures += [step.run_action(render) for _ in range(3)]
        futures += [step.run_action(render.with_options(priority=0))]
        futures += [step.run_action(work.with_options(run_after=timedelta(days=1)))]
        futures += [step.sleep(timedelta(days=1))]
        await asyncio.gather(*futures)

    return manager


async def test_queues_are_counted_by_the_state_of_their_steps(busy: WorkflowManager) -> None:
    async with busy.worker(queues=["default", "cpu"], grace=0):
        began = datetime.now(UTC)
        (handle,) = await busy.start_many([busy.get_workflow("flow").bind()])
        await seen(handle, in_state("work", "running"))
        await seen(handle, in_state("fail", "retrying"))
        depths = await (await busy.store()).survey.depths()

    gpu = depths.queues["gpu"]
    assert depths.unseen == 0
    assert depths.queues["cpu"] == QueueDepth(delayed=1, retrying=1, running=1)
    assert gpu._replace(oldest_ms=None) == QueueDepth(waiting=4)
    assert gpu.oldest_ms is not None
    assert abs((moment(gpu.oldest_ms) or began) - began) < timedelta(seconds=10)


async def test_without_anything_there_are_no_queues(manager: WorkflowManager) -> None:
    assert (await (await manager.store()).survey.depths()).queues == {}


async def test_queues_of_all_partitions_are_taken_together(managers: Managers) -> None:
    manager = managers(partitions=3)

    @manager.action(name="render", queue="gpu")
    async def render() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(render)

    async with manager.worker():
        handles = await manager.start_many(flow.with_options(id=f"o-{number}").bind() for number in range(8))
        for handle in handles:
            await seen(handle, in_state("render", "queued"))
    survey = (await manager.store()).survey

    assert {survey.place_of(handle.address).partition for handle in handles} == {0, 1, 2}
    assert (await survey.depths()).queues["gpu"].waiting == 8


async def test_workers_say_where_they_run_and_whether_they_beat(busy: WorkflowManager) -> None:
    async with busy.worker(queues=["default", "cpu"], concurrency=7, grace=0) as worker:
        (handle,) = await busy.start_many([busy.get_workflow("flow").bind()])
        await seen(handle, in_state("work", "running"))
        store = await busy.store()
        (view,), watched_s = await read_workers(store)
        await store.custody.register("dead", "{}")
        both, _ = await read_workers(store, watch_s=0.2)
        await store.custody.fence("dead", "")

    assert (view.id, view.beats, view.running) == (worker.incarnation, True, 1)
    assert (view.queues, view.concurrency, view.workflows) == (("default", "cpu"), 7, (("flow", "1"),))
    assert view.pid > 0
    assert view.host
    assert view.started is not None
    assert abs(datetime.now(UTC) - view.started) < timedelta(seconds=60)
    assert watched_s < 2
    assert {one.id: one.beats for one in both} == {worker.incarnation: True, "dead": False}


async def test_an_instance_s_keys_are_named_with_type_and_size(manager: WorkflowManager) -> None:
    @manager.mutation(name="note")
    async def note(tx: Transaction) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        step.set_value("progress", 1)
        await step.run_mutation(note)

    store = await manager.store()
    survey = store.survey
    assert await survey.keys_of("wf/o-1") == []
    async with manager.worker():
        handle = await manager.start(flow.with_options(id="o-1"))
        await handle.result()
    found = {facts.key: facts for facts in await survey.keys_of(handle.address)}
    await handle.cleanup()
    (tombstone,) = await survey.keys_of(handle.address)

    assert {key: (facts.type, facts.ttl_ms) for key, facts in found.items()} == {
        "{default:0}:wf:o-1": ("hash", None),
        "{default:0}:wf.journal:o-1": ("hash", None),
        "{default:0}:wf.values:o-1": ("hash", None),
    }
    assert found["{default:0}:wf.values:o-1"].entries == 1
    assert tombstone.key == "{default:0}:wf:o-1"
    assert tombstone.ttl_ms
    assert survey.place_of("wf/o-1")[:2] == (0, "{default:0}")


async def test_a_worker_that_is_declared_dead_while_it_is_watched_does_not_beat(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await manager.store()
    await store.custody.register("frozen", '{"queues": ["default"]}')
    living, looks = store.custody.living, 0

    async def living_until_the_third_look() -> list[Heartbeat]:
        nonlocal looks
        looks += 1
        if looks == 3:
            assert await store.custody.fence("frozen", "")
        return await living()

    monkeypatch.setattr(store.custody, "living", living_until_the_third_look)

    ((view,), watched_s) = await read_workers(store, watch_s=10)

    assert (view.id, view.beats, view.gone) == ("frozen", False, True)
    assert watched_s < 10, "it is not waited for"
