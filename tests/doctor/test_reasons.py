"""Why an instance does not go on: said with the instance, since when, and what to do."""

from __future__ import annotations

import asyncio
import json

import pytest

from actors import InProgress, Step, WorkflowManager
from actors.doctor import UNCHECKED, Finding
from actors.doctor.server import judge
from kernel import EvictingServer, Vitals
from tests.api.watching import Managers, in_state, seen
from tests.doctor.patients import QUEUE, codes, of, queued, ready, sleeping


async def test_a_step_in_a_queue_that_no_worker_serves_is_named(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    async with manager.worker():
        finding = of(await manager.doctor(), "unserved_queue")
    assert finding.subject == "i"
    assert "step 2 (work)" in finding.text
    assert finding.advice == "start a worker with --queues gpu"
    async with manager.worker(queues=("default", QUEUE)):
        assert await patient.handle.result(timeout=10) == 2


async def test_a_step_that_no_worker_of_its_queue_knows_is_named_by_the_doctor_and_the_status(
    managers: Managers,
) -> None:
    manager, other = managers(), managers()

    @other.action(name="theirs")
    async def theirs(number: int) -> int:
        return number

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await theirs(1)

    async with manager.worker(), other.worker(queues=("gpu",)):
        handle = await manager.start(flow.with_options(id="i"))
        await seen(handle, lambda snapshot: len(snapshot.steps) == 1)
        status = await handle.status()
        assert isinstance(status, InProgress)
        assert status.waiting.startswith("no worker of the queue 'default' has the step 'theirs': start a worker of")
        finding = of(await manager.doctor(), "unknown_step")
        assert finding.subject == "i"
        assert finding.text == f"step 1 (theirs) waits: {status.waiting}"
        async with other.worker():
            assert await handle.result(timeout=10) == 1


async def test_a_step_that_waits_too_long_in_a_served_queue_is_named(manager: WorkflowManager) -> None:
    hanging = asyncio.Event()

    @manager.action(name="hang")
    async def hang() -> None:
        hanging.set()
        await asyncio.Event().wait()

    @manager.workflow(name="two")
    async def two(step: Step) -> None:
        await asyncio.gather(step.run_action(hang), step.run_action(hang))

    async with manager.worker(concurrency=1, grace=0):
        handle = await manager.start(two.with_options(id="two"))
        await hanging.wait()
        await seen(handle, in_state("hang", "queued"))
        assert codes(await manager.doctor()) == set(), "it has not waited for long"
        finding = of(await manager.doctor(stuck_after=0), "step_not_begun")
        assert finding.subject == "two"
        assert "raise --concurrency" in finding.advice
        await handle.cancel()


async def test_a_stopped_instance_is_named_with_the_reason(managers: Managers) -> None:
    patient = await sleeping(managers())
    await patient.hurry()
    changed = managers()

    @changed.workflow(name="flow")
    async def flow(step: Step) -> int:
        await step.sleep(7)
        return 2

    async with changed.worker():
        await seen(patient.handle, lambda snapshot: snapshot.status.type == "stopped")
        finding = of(await changed.doctor(), "stopped")
    assert finding.subject == "i"
    assert "its code no longer fits its journal" in finding.text
    assert "headrace resume i" in finding.advice


async def test_an_instance_whose_code_no_worker_has_is_named(managers: Managers) -> None:
    patient = await ready(managers())
    other = managers()

    @other.workflow(name="something else")
    async def something_else(_step: Step) -> None: ...

    async with other.worker():
        finding = of(await other.doctor(), "unknown_code")
    assert finding.subject == "i"
    assert "'flow'" in finding.text
    async with patient.manager.worker(queues=("default", QUEUE)):
        assert await patient.handle.result(timeout=10) == 2


async def test_waiting_for_an_event_is_a_note_and_no_ill_health(manager: WorkflowManager) -> None:
    @manager.workflow(name="asking")
    async def asking(step: Step) -> None:
        await step.await_event("approved")

    async with manager.worker():
        handle = await manager.start(asking.with_options(id="a-1"))
        await seen(handle, in_state("approved", "waiting"))
        assert "waits_for_event" not in (await manager.doctor()).counts, "it has not waited for long"
        report = await manager.doctor(stuck_after=0)
        await handle.cancel()
    finding = of(report, "waits_for_event")
    assert finding.severity == "note"
    assert "'approved' since 20" in finding.text
    assert "headrace send-event a-1 approved" in finding.advice
    assert "waits_for_event" not in codes(report)


async def test_what_was_due_long_ago_is_named(manager: WorkflowManager) -> None:
    patient = await sleeping(manager)
    await patient.hurry()
    store = patient.store
    await store.custody.register("w", json.dumps({"queues": ["default"], "workflows": [["flow", "1"]]}))
    beating = asyncio.create_task(_beat(manager, "w"))
    finding = of(await manager.doctor(), "overdue")
    beating.cancel()
    assert finding.subject == "i"
    assert "was due at 1970" in finding.text


async def _beat(manager: WorkflowManager, worker: str) -> None:
    custody = (await manager.store()).custody
    value = 1
    while True:
        value += 1
        await custody.heartbeat(worker, value)
        await asyncio.sleep(0.01)


async def test_a_worker_that_is_silent_is_named_and_what_it_left(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    await patient.store.custody.register("w", "{}")
    await patient.redis("XGROUP", "CREATECONSUMER", f"{patient.tag}:ready", "dispatchers", "gone")

    report = await manager.doctor()

    assert of(report, "silent_worker").subject == "w"
    assert "leftover_consumer" not in report.counts, "it was there a moment ago"


@pytest.mark.parametrize("pending", [False, True])
async def test_consumers_of_nobody_are_forgotten_if_nothing_is_pending(manager: WorkflowManager, pending: bool) -> None:
    patient = await ready(manager)
    stream = f"{patient.tag}:ready"
    await patient.redis("XGROUP", "CREATE", stream, "dispatchers", "0")
    await patient.redis("XGROUP", "CREATECONSUMER", stream, "dispatchers", "gone")
    if pending:
        await patient.redis("XREADGROUP", "GROUP", "dispatchers", "gone", "COUNT", 1, "STREAMS", stream, ">")

    report = await manager.doctor(repair=True, leftover_after=0)

    finding = of(report, "leftover_consumer")
    assert finding.subject == "gone"
    assert bool(finding.repaired) is not pending
    async with manager.worker(queues=("default", QUEUE)):
        assert await patient.handle.result(timeout=10) == 2


async def test_a_queue_that_is_empty_and_that_nobody_reads_is_a_note(manager: WorkflowManager) -> None:
    store = await manager.store()
    (tag,) = store.space.keys.tags
    await store.space.send(tag, "XGROUP", "CREATE", f"{tag}:q:old", "workers", "0", "MKSTREAM")
    assert "unused_queue" not in (await manager.doctor()).counts, "without any worker nothing is known of it"
    async with manager.worker():
        report = await manager.doctor()
    assert of(report, "unused_queue").subject == f"{tag}:q:old"
    assert report.healthy


async def test_messages_that_nobody_carries_out_are_named(manager: WorkflowManager) -> None:
    space = (await manager.store()).space
    await space.send(space.keys.gateway, "XADD", space.keys.gateway, "1-1", "type", "start")

    assert of(await manager.doctor(), "messages_wait").subject == space.keys.gateway


CONFIG = {"appendfsync": "everysec"}


def vitals(*, settings: dict[str, str] | None = None, offset_ms: int = 0, trip_ms: float = 0.1, **info: str) -> Vitals:
    healthy = {"redis_version": "7.2.0", "aof_enabled": "1", "maxmemory": "1000", "used_memory": "1", "role": "master"}
    return Vitals(
        node="", info=healthy | info, settings=settings or CONFIG, clock_offset_ms=offset_ms, round_trip_ms=trip_ms
    )


def test_a_server_that_is_set_up_well_gets_no_findings() -> None:
    assert judge(vitals(settings={"appendfsync": "everysec", "save": "", "timeout": "0"})) == []


@pytest.mark.parametrize(
    ("code", "server"),
    [
        ("no_append_only_file", vitals(aof_enabled="0")),
        ("no_fsync", vitals(settings={"appendfsync": "no"})),
        ("disk", vitals(aof_last_write_status="err")),
        ("loading", vitals(loading="1")),
        ("eviction", vitals(maxmemory_policy="allkeys-lru")),
        ("memory", vitals(used_memory="900")),
        ("no_maxmemory", vitals(maxmemory="0")),
        ("fragmentation", vitals(maxmemory=str(2**32), used_memory=str(2**29), mem_fragmentation_ratio="3.1")),
        ("clock", vitals(offset_ms=-5000)),
        ("replica", vitals(role="slave")),
        ("replica_behind", vitals(connected_slaves="1", slave0="ip=a,port=1,state=wait_bgsave,offset=0,lag=0")),
        ("round_trip", vitals(trip_ms=80)),
        ("fork", vitals(latest_fork_usec="900000")),
        ("idle_timeout", vitals(settings={"timeout": "30"})),
    ],
)
def test_each_fault_of_a_server_is_named_with_what_to_do(code: str, server: Vitals) -> None:
    (finding,) = judge(server)

    assert isinstance(finding, Finding)
    assert finding.code == code
    assert finding.advice


def test_a_cluster_that_does_not_serve_all_slots_is_named() -> None:
    cluster = Vitals(
        node="a:1", info={"aof_enabled": "1", "maxmemory": "9"}, cluster={"cluster_state": "fail"}, settings=CONFIG
    )

    assert [finding.code for finding in judge(cluster)] == ["cluster"]


async def test_a_queue_that_nobody_serves_is_one_note_for_all_partitions(managers: Managers) -> None:
    manager = managers(partitions=5)
    store = await manager.store()
    for tag in store.space.keys.tags:
        await store.space.send(tag, "XGROUP", "CREATE", f"{tag}:q:old", "workers", "0", "MKSTREAM")
    async with manager.worker():
        finding = of(await manager.doctor(), "unused_queue")
    assert finding.subject == "q:old"
    assert "5 partitions" in finding.text


@pytest.mark.server
async def test_a_server_that_evicts_is_refused_to_all_but_the_doctor(managers: Managers, server_url: str) -> None:
    manager = managers(server_url)
    tag = "{default:0}"
    store = await managers(server_url).store()
    await store.space.send(tag, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert of(await manager.doctor(), "eviction").text.startswith("maxmemory-policy is allkeys-lru")
        with pytest.raises(EvictingServer):
            await manager.list()
    finally:
        await store.space.send(tag, "CONFIG", "SET", "maxmemory-policy", "noeviction")


@pytest.mark.server
async def test_what_cannot_be_looked_at_is_said_and_the_rest_is_looked_at(managers: Managers, server_url: str) -> None:
    tag = "{default:0}"
    store = await managers(server_url).store()
    await store.space.send(tag, "ACL", "SETUSER", "guest", "on", ">word", "~*", "&*", "+@all", "-config")
    try:
        report = await managers(server_url.replace("unix://", "unix://guest:word@")).doctor()
        finding = of(report, UNCHECKED)
        await store.space.send(tag, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        with pytest.raises(EvictingServer):
            await managers(server_url.replace("unix://", "unix://guest:word@")).list()
    finally:
        await store.space.send(tag, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        await store.space.send(tag, "ACL", "DELUSER", "guest")

    assert (report.healthy, finding.severity) == (True, "note")
    assert "appendfsync" in finding.text
    assert report.facts["persistence"] == "append-only file, fsync not known: CONFIG is forbidden"
