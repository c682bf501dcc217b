"""Data that was damaged by hand: the doctor names it, mends it, and the instance runs to its end."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from actors import OutcomeUnknown, Step, WorkflowFailed, WorkflowManager
from kernel.store.audit import audit
from tests.api.watching import Managers, in_state, seen
from tests.doctor.patients import (
    QUEUE,
    Damage,
    Patient,
    State,
    codes,
    define,
    ended,
    held,
    of,
    queued,
    ready,
    scheduled,
    sleeping,
    until,
)


async def lose_ready_stream(p: Patient) -> None:
    await p.redis("XTRIM", f"{p.tag}:ready", "MAXLEN", 0)


async def lose_ready_entry(p: Patient) -> None:
    await lose_ready_stream(p)
    await p.redis("HSET", p.record, "ready", "")


async def invent_ready_entry(p: Patient) -> None:
    await p.redis("HSET", p.record, "ready", "1-1")


async def lose_queue(p: Patient) -> None:
    await p.redis("XTRIM", f"{p.tag}:q:{QUEUE}", "MAXLEN", 0)


async def lose_open_command(p: Patient) -> None:
    await p.redis("HDEL", p.part("open"), 2)


async def lose_delayed(p: Patient) -> None:
    await p.redis("DEL", f"{p.tag}:delayed")


async def lose_held(p: Patient) -> None:
    await p.redis("DEL", f"{p.tag}:held")


async def leave_index(p: Patient) -> None:
    await p.redis("ZREM", f"{p.tag}:index:flow:running", p.handle.address)
    await p.redis("ZADD", f"{p.tag}:index:flow:failed", 1, p.handle.address)


async def miscount(p: Patient) -> None:
    await p.redis("HSET", p.record, "undelivered", 3)


async def spoil_mailbox(p: Patient) -> None:
    await p.redis("XADD", p.part("events"), "9-9", "e", "event")


async def ready_twice(p: Patient) -> None:
    await p.redis("XADD", f"{p.tag}:ready", "*", "a", p.handle.address)


async def queue_twice(p: Patient) -> None:
    await p.redis(
        "XADD", f"{p.tag}:q:{QUEUE}", "*", "a", p.handle.address, "g", "1-1", "s", 2, "n", 1, "t", "w", "c", 0
    )


async def hold_twice(p: Patient) -> None:
    await p.redis("ZADD", f"{p.tag}:held", 0, f"ghost|1-1|000002|1|t|{p.handle.address}")


async def delay_nothing(p: Patient) -> None:
    await p.redis("ZADD", f"{p.tag}:delayed", 2**42, f"step|1-1|000002|1||{p.handle.address}")


async def retry_nothing(p: Patient) -> None:
    await p.redis("ZADD", f"{p.tag}:retries", 2**42, f"retry|1-1|000002|1||{p.handle.address}")


async def index_nobody(p: Patient) -> None:
    await p.redis("ZADD", f"{p.tag}:index:flow:running", 1, "wf/ghost")


async def expire_nobody(p: Patient) -> None:
    await p.redis("ZADD", f"{p.tag}:expiry", 1, p.handle.address)


async def delete_pending(p: Patient) -> None:
    stream = f"{p.tag}:q:{QUEUE}"
    await p.redis("XGROUP", "CREATE", stream, "workers", "0")
    await p.redis("XREADGROUP", "GROUP", "workers", "w", "COUNT", 1, "STREAMS", stream, ">")
    await lose_queue(p)


CASES: list[tuple[str, State, Damage]] = [
    ("lost_ready", ready, lose_ready_stream),
    ("not_ready", ready, lose_ready_entry),
    ("lost_ready", queued, invent_ready_entry),
    ("lost_place", queued, lose_queue),
    ("lost_open", queued, lose_open_command),
    ("lost_place", sleeping, lose_delayed),
    ("never_starts", scheduled, lose_delayed),
    ("lost_place", held, lose_held),
    ("misindexed", queued, leave_index),
    ("miscounted", queued, miscount),
    ("wrong_mailbox", queued, spoil_mailbox),
    ("nobodys", ready, ready_twice),
    ("nobodys", queued, queue_twice),
    ("nobodys", queued, hold_twice),
    ("nobodys", queued, delay_nothing),
    ("nobodys", queued, retry_nothing),
    ("nobodys", queued, index_nobody),
    ("nobodys", queued, expire_nobody),
    ("pending_deleted", queued, delete_pending),
]


@pytest.mark.parametrize(("code", "state", "damage"), CASES, ids=lambda one: getattr(one, "__name__", one))
async def test_damage_is_named_and_mended_and_the_instance_runs_to_its_end(
    manager: WorkflowManager, code: str, state: State, damage: Damage
) -> None:
    patient = await state(manager)
    assert codes(await manager.doctor()) == set(), "the patient is well before"
    await damage(patient)

    seen_before = await manager.doctor()
    finding = of(seen_before, code)
    assert not seen_before.healthy
    assert patient.handle.id in finding.subject or "ghost" in finding.text or QUEUE in finding.subject
    assert "--repair" in finding.advice
    assert not finding.repaired

    mended = await manager.doctor(repair=True)
    assert of(mended, code).repaired
    assert mended.healthy, mended.findings
    assert codes(await manager.doctor()) == set(), "nothing is left, and mending again finds nothing"
    await patient.hurry()
    async with manager.worker(queues=("default", QUEUE)):
        assert await patient.handle.result(timeout=10) == 2
    assert await audit(patient.store.space) == []


async def test_a_step_that_may_run_at_most_once_and_was_lost_ends_with_an_unknown_outcome(
    manager: WorkflowManager,
) -> None:
    patient = await queued(manager, retry=False)
    await lose_open_command(patient)

    assert of(await manager.doctor(repair=True), "lost_open").repaired

    async with manager.worker(queues=("default", QUEUE)):
        with pytest.raises(WorkflowFailed, match="find out whether it happened"):
            await patient.handle.result(timeout=10)
        step = (await patient.handle.steps())[1]
    assert step.error is not None
    assert isinstance(step.error.to_exception(), OutcomeUnknown)


async def test_a_child_whose_command_was_lost_is_not_started_twice(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        await step.await_event("go")
        return 2

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(id="child"))

    async with manager.worker():
        handle = await manager.start(parent.with_options(id="parent"))
        await seen(handle, in_state("child", "waiting"))
        store = await manager.store()
        tag = store.space.keys.tag_of("wf/parent")
        before = await store.space.send(tag, "HGET", f"{tag}:wf.open:parent", "1")
        while b"|sent|" not in bytes(before if isinstance(before, bytes) else b""):
            before = await store.space.send(tag, "HGET", f"{tag}:wf.open:parent", "1")
        await store.space.send(tag, "HDEL", f"{tag}:wf.open:parent", "1")
        assert of(await manager.doctor(repair=True), "lost_open").repaired
        await manager.handle("child").send_event("go")
        assert await handle.result(timeout=10) == 2
        assert len((await manager.list(workflow=child)).items) == 1


@pytest.mark.parametrize(
    ("code", "field"), [("leftovers", "staged"), ("unswept", "open")], ids=["staged chunks", "open commands"]
)
async def test_what_an_ended_instance_left_is_cleared_up(manager: WorkflowManager, code: str, field: str) -> None:
    patient = await ended(manager)
    values = {"staged": ("token", "x"), "open": ("2", "1|||wait||0")}
    await patient.redis("HSET", patient.part(field), *values[field])

    assert of(await manager.doctor(repair=True), code).repaired

    assert await patient.redis("EXISTS", patient.part(field)) == 0
    assert await patient.handle.result() == 2
    assert await audit(patient.store.space) == []


async def test_keys_without_a_record_are_deleted_only_when_nobody_has_used_them_for_long(
    manager: WorkflowManager,
) -> None:
    patient = await ended(manager)
    await patient.redis("DEL", patient.record)

    cautious = of(await manager.doctor(repair=True), "leftover_keys")
    assert (cautious.subject, cautious.repaired) == ("i", "")
    assert await patient.redis("EXISTS", patient.part("journal")) == 1
    assert of(await manager.doctor(repair=True, orphans_older_than=0), "leftover_keys").repaired
    assert await patient.redis("EXISTS", patient.part("journal")) == 0
    assert await audit(patient.store.space) == []
    async with manager.worker(queues=("default", QUEUE)):
        again = await manager.start(manager.get_workflow("flow").with_options(id="i"))
        assert await again.result(timeout=10) == 2


async def test_a_tombstone_that_never_expires_gets_its_end(manager: WorkflowManager) -> None:
    patient = await ended(manager)
    await patient.handle.cleanup()
    await patient.redis("PERSIST", patient.record)

    assert of(await manager.doctor(repair=True), "immortal_tombstone").repaired
    ttl = await patient.redis("PTTL", patient.record)
    assert isinstance(ttl, int)
    assert 0 < ttl <= 3_600_000


async def test_what_cannot_be_mended_is_said_with_what_to_do(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    await patient.redis("HDEL", patient.part("journal"), "c2")

    report = await manager.doctor(repair=True)

    assert not report.healthy
    finding = of(report, "lost_command")
    assert (finding.subject, finding.repaired) == ("i", "")
    assert "restore the server from a copy" in finding.advice


async def test_keys_that_are_not_headraces_are_named_and_left_alone(manager: WorkflowManager) -> None:
    patient = await ready(manager)
    await patient.redis("SET", f"{patient.tag}:app:mine", "1")
    await patient.redis("SET", f"{patient.tag}:wf:text", "1")
    await patient.redis("HSET", f"{patient.tag}:shop:cart", "a", "1")
    await patient.redis("HSET", f"{patient.tag}:wf:half", "status", "running", "name", "flow")

    report = await manager.doctor(repair=True, orphans_older_than=0)

    found = {finding.subject for finding in report.findings if finding.code == "foreign_key"}
    assert found == {f"{patient.tag}:wf:text", f"{patient.tag}:shop:cart"}
    assert of(report, "unreadable").subject == "half"
    for key in ("app:mine", "wf:text", "shop:cart", "wf:half"):
        assert await patient.redis("EXISTS", f"{patient.tag}:{key}") == 1


async def test_a_reader_of_our_streams_that_is_not_ours_is_named(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    await patient.redis("XGROUP", "CREATE", f"{patient.tag}:ready", "spy", "0")

    assert "'spy'" in of(await manager.doctor(), "foreign_group").text


async def test_an_instance_in_another_partition_than_its_ids_is_named(managers: Managers) -> None:
    manager = managers(partitions=2)
    store = await manager.store()
    (other,) = set(store.space.keys.tags) - {store.space.keys.tag_of("wf/i")}
    await store.space.send(other, "HSET", f"{other}:wf:i", "status", "running")

    assert of(await manager.doctor(), "wrong_partition").subject == f"{other}:wf:i"


@pytest.mark.server
async def test_a_real_server_is_mended_like_the_one_in_memory(managers: Managers, server_url: str) -> None:
    manager = managers(server_url, partitions=3)
    flow = define(manager)
    async with manager.worker():
        handles = await manager.start_many(flow.with_options(id=f"i{n}").bind() for n in range(6))
        for handle in handles:
            await seen(handle, in_state("work", "queued"))
    store = await manager.store()
    patients = [Patient(manager, handle, store, store.space.keys.tag_of(handle.address)) for handle in handles]
    damages: list[Damage] = [lose_open_command, leave_index, miscount, spoil_mailbox, invent_ready_entry, hold_twice]
    for patient, damage in zip(patients, damages, strict=True):
        await damage(patient)
    wanted = {"lost_open", "misindexed", "miscounted", "wrong_mailbox", "lost_ready", "nobodys"}

    assert wanted <= codes(await manager.doctor())
    report = await manager.doctor(repair=True)

    assert report.healthy, report.findings
    assert report.facts["persistence"].startswith("append-only file")
    async with manager.worker(queues=("default", QUEUE)):
        assert [await handle.result(timeout=10) for handle in handles] == [2] * 6
    assert await audit(store.space) == []


@pytest.mark.server
async def test_orphans_on_a_real_server_are_as_old_as_their_last_use(managers: Managers, server_url: str) -> None:
    manager = managers(server_url, partitions=1)
    patient = await ended(manager)
    await patient.redis("DEL", patient.record)
    await patient.redis("HSET", patient.part("open"), "1", "1|||wait||0")
    await patient.redis("ZADD", f"{patient.tag}:delayed", 2**42, f"step|1-1|000001|1||{patient.handle.address}")

    assert not of(await manager.doctor(repair=True, orphans_older_than=60), "leftover_keys").repaired
    idle_s = await until(lambda: patient.store.mending.idle_s(patient.handle.address))
    assert idle_s is not None
    assert of(await manager.doctor(repair=True, orphans_older_than=idle_s), "leftover_keys").repaired, (
        "to look at them is no use of them"
    )


async def test_an_instance_that_lost_several_commands_is_mended_and_said_to_be(manager: WorkflowManager) -> None:
    @manager.action(name="work", queue=QUEUE, retry=True)
    async def work() -> int:
        return 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return sum(await asyncio.gather(step.run_action(work), step.run_action(work)))

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="i"))
        await seen(handle, lambda snapshot: len(snapshot.steps) == 2)
    store = await manager.store()
    tag = store.space.keys.tag_of(handle.address)
    await store.space.send(tag, "DEL", f"{tag}:wf.open:i")

    report = await manager.doctor(repair=True)

    assert [one.repaired for one in report.findings if one.code == "lost_open"] == ["asked for the command again"] * 2
    assert report.healthy, report.findings
    async with manager.worker(queues=("default", QUEUE)):
        assert await handle.result(timeout=10) == 2


async def test_a_message_that_was_deleted_while_a_courier_had_it_is_acknowledged(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    outbox = f"{patient.tag}:outbox"
    stays = await patient.redis("XADD", outbox, "*", "w", "create", "from", "wf/ghost", "g", "1-1")
    entry = cast("bytes", await patient.redis("XADD", outbox, "*", "w", "create", "from", "wf/ghost", "g", "1-1"))
    await patient.redis("XREADGROUP", "GROUP", "couriers", "w", "COUNT", 2, "STREAMS", outbox, ">")
    await patient.redis("XDEL", outbox, entry.decode())

    assert of(await manager.doctor(repair=True), "pending_deleted").repaired

    pending = cast("list[list[object]]", await patient.redis("XPENDING", outbox, "couriers", "-", "+", 10))
    assert [row[0] for row in pending] == [stays], "what is still there stays the courier's"
