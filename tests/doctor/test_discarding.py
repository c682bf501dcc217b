"""Damaged instances can always be got rid of, in the way that the doctor names."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from actors import Misuse, OutcomeUnknown, Step, StepFailed, WorkflowManager, WorkflowNotFound
from kernel.store.audit import audit
from kernel.store.slices import PARTS
from tests.api.watching import in_state, seen
from tests.doctor.patients import QUEUE, Patient, codes, ended, held, of, queued, ready, scheduled, sleeping, until

STATES = [ready, scheduled, queued, sleeping, held, ended]
FIELDS = ("status", "name", "generation", "appended", "consumed", "commands", "emitted", "created", "ready", "ended")
MORE = ("kept", "retention", "timeout", "doomed", "undelivered", "priority", "unread", "tags", "parent", "waiters")
GARBAGE = ("", "bogus", "xx", "-1", "1-", "7", "a|b|c|d", "1-1")
SEEDS = (14, 102, 124, 164, 450, *range(1000, 1020))
"""The first are such as were not got rid of once."""


async def bogus_status(p: Patient) -> None:
    await p.redis("HSET", p.record, "status", "bogus")


async def garbled_numbers(p: Patient) -> None:
    await p.redis("HSET", p.record, "generation", "xx", "commands", "yy")


async def no_name(p: Patient) -> None:
    await p.redis("HDEL", p.record, "name", "created")


async def no_generation(p: Patient) -> None:
    await p.redis("HDEL", p.record, "generation")


async def spoilt_journal(p: Patient) -> None:
    await p.redis("SET", p.part("journal"), "x")


async def spoilt_record(p: Patient) -> None:
    await p.redis("SET", p.record, "x")


async def nothing_of(patient: Patient) -> bool:
    """Tell whether only a tombstone that expires is left, and no place names the instance."""
    for part in PARTS:
        if await patient.redis("EXISTS", patient.part(part)):
            return False
    ttl = await patient.redis("PTTL", patient.record)
    return isinstance(ttl, int) and ttl > 0 and await audit(patient.store.space) == []


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "damage", [bogus_status, garbled_numbers, no_name, no_generation, spoilt_journal, spoilt_record]
)
async def test_what_the_doctor_advises_removes_a_damaged_instance_and_nothing_else(
    manager: WorkflowManager,
    state: Callable[[WorkflowManager], Awaitable[Patient]],
    damage: Callable[[Patient], Awaitable[None]],
) -> None:
    patient = await state(manager)
    await damage(patient)
    report = await manager.doctor(repair=True)
    assert any("headrace doctor --discard i --yes" in one.advice for one in report.findings), report.findings
    assert not any("--repair takes it out" in one.advice and not one.repaired for one in report.findings)

    found = await manager.discard("i")

    assert "record" in found.parts
    assert await nothing_of(patient)
    assert codes(await manager.doctor()) == set()
    with pytest.raises(WorkflowNotFound):
        await patient.handle.status()


async def damaged_at_random(patient: Patient, draw: random.Random) -> None:
    for _ in range(draw.randint(1, 4)):
        match draw.randrange(6):
            case 0:
                await patient.redis("HDEL", patient.record, draw.choice(FIELDS))
            case 1 | 2:
                await patient.redis("HSET", patient.record, draw.choice(FIELDS + MORE), draw.choice(GARBAGE))
            case 3:
                await patient.redis("DEL", patient.part(draw.choice(PARTS)))
            case 4:
                await patient.redis("DEL", patient.part(part := draw.choice(PARTS)))
                await patient.redis("SET", patient.part(part), "x")
            case _:
                name, field = draw.choice([("journal", "c1"), ("journal", "e1"), ("open", "2"), ("journal", "c2")])
                if await patient.redis("TYPE", patient.part(name)) in {b"hash", b"none"}:
                    await patient.redis("HSET", patient.part(name), field, draw.choice(GARBAGE))


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_missing_or_garbled_one_of_the_ways_that_are_named_gets_rid_of_it(
    manager: WorkflowManager, seed: int
) -> None:
    draw = random.Random(seed)
    patient = await draw.choice(STATES)(manager)
    await damaged_at_random(patient, draw)

    report = await manager.doctor(repair=True, orphans_older_than=0)
    said = " ".join(one.advice for one in report.findings if not one.repaired)
    if "--discard" in said:
        await manager.discard("i")
    else:
        assert report.healthy or "headrace cancel" in said, report.findings
        await patient.handle.cancel()
        async with manager.worker():
            assert await until(patient.handle.cleanup)

    assert (await manager.doctor(repair=True, orphans_older_than=0)).healthy
    assert await nothing_of(patient)


async def test_an_instance_that_is_not_damaged_or_not_there_is_not_discarded(manager: WorkflowManager) -> None:
    patient = await queued(manager)

    with pytest.raises(Misuse, match="headrace cancel i"):
        await manager.discard("i")
    with pytest.raises(WorkflowNotFound, match="headrace list"):
        await manager.discard("nobody")
    await patient.redis("DEL", patient.part("events"))
    await patient.redis("SET", patient.part("events"), "x")
    with pytest.raises(Misuse, match="mended now"):
        await manager.discard("i")
    assert (await manager.doctor()).healthy


async def test_who_waits_for_a_discarded_instance_is_told_and_its_children_go(manager: WorkflowManager) -> None:
    called: list[object] = []

    @manager.action(name="report")
    async def report(workflow_id: str, result: object, context: object) -> None:
        called.append((workflow_id, result))

    @manager.workflow(name="leaf")
    async def leaf(step: Step) -> int:
        await step.await_event("never")
        return 1

    @manager.workflow(name="middle")
    async def middle(step: Step) -> int:
        return await step.run_workflow(leaf.with_options(id="leaf"))

    @manager.workflow(name="top")
    async def top(step: Step) -> str:
        try:
            await step.run_workflow(middle.with_options(id="middle", on_complete=report, context=None))
        except StepFailed as error:
            return type(error).__name__
        return "went on"

    async with manager.worker():
        handle = await manager.start(top.with_options(id="top"))
        await until(lambda: _is_there(manager, "leaf"))
        await seen(manager.handle("middle"), in_state("leaf", "waiting"))
        store = await manager.store()
        tag = store.space.keys.tag_of("wf/middle")
        await store.space.send(tag, "HSET", f"{tag}:wf:middle", "commands", "yy")

        found = await manager.discard("middle")

        assert found.told == 4, "its parent, what was to be called, and its child twice"
        assert await handle.result(timeout=10) == OutcomeUnknown.__name__
        await until(lambda: _is_gone(manager, "leaf"))
        await until(lambda: _is(called))
    assert await audit(store.space) == []


async def _is(what: object) -> bool:
    return bool(what)


async def _is_there(manager: WorkflowManager, workflow_id: str) -> bool:
    try:
        await manager.handle(workflow_id).status()
    except WorkflowNotFound:
        return False
    return True


async def _is_gone(manager: WorkflowManager, workflow_id: str) -> bool:
    return not await _is_there(manager, workflow_id)


async def test_a_mailbox_that_was_overwritten_is_named_with_its_instance_and_dropped(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    await patient.redis("DEL", patient.part("events"))
    await patient.redis("SET", patient.part("events"), "x")

    finding = of(await manager.doctor(), "wrong_mailbox")
    assert (finding.subject, "cannot take events" in finding.text) == ("i", True)
    assert of(await manager.doctor(repair=True), "wrong_mailbox").repaired
    await patient.handle.send_event("go")
    async with manager.worker(queues=("default", QUEUE)):
        assert await patient.handle.result(timeout=10) == 2


async def test_an_instance_that_lost_what_it_has_open_gets_one_advice(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    await patient.redis("DEL", patient.part("open"))

    report = await manager.doctor()

    assert codes(report) == {"lost_open", "nobodys"}, "its step, and the entry of it in the queue"
    assert (await manager.doctor(repair=True)).healthy


async def test_a_discard_whose_answer_was_lost_can_be_repeated(manager: WorkflowManager) -> None:
    patient = await sleeping(manager)
    address, space = patient.handle.address, (await manager.store()).space
    generation = await patient.redis("HGET", patient.record, "generation")
    assert isinstance(generation, bytes)
    words: tuple[str | bytes | int, ...] = (address, generation, b"", 1)
    first = await space.actor_call("discard", address, *words)
    assert isinstance(first, list)
    assert first[0] == b"DISCARDED"
    assert await space.actor_call("discard", address, *words) == [b"NOT_FOUND"]
