"""One damaged instance, or key, among good ones: callers get one error that names it, and the rest is as it was."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from actors import InstanceDamaged, Result, Step, WorkflowHandle, WorkflowManager
from actors.servers import auditor
from tests.doctor.patients import QUEUE, Damage, Patient, of, queued, until

AUDIT_S = 0.05
RECORD_FIELDS = ["name", "appended", "consumed", "commands", "emitted", "generation", "created", "status"]


@pytest.fixture
def audits_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers look at what waits for them many times while a test lasts."""
    monkeypatch.setattr(auditor, "AUDIT_S", AUDIT_S)


def failures(lines: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in lines if line["log_level"] in {"error", "warning"}]


def without(field: str) -> Damage:
    async def lose(p: Patient) -> None:
        await p.redis("HDEL", p.record, field)

    lose.__name__ = f"without {field}"
    return lose


async def junk_status(p: Patient) -> None:
    await p.redis("HSET", p.record, "status", "junk")


async def junk_created(p: Patient) -> None:
    await p.redis("HSET", p.record, "created", "junk")


async def text_for_a_record(p: Patient) -> None:
    await p.redis("SET", p.record, "x")


DAMAGES: list[Damage] = [*map(without, RECORD_FIELDS), junk_status, junk_created, text_for_a_record]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
async def test_a_damaged_record_is_one_named_error_and_the_others_are_listed(
    manager: WorkflowManager, damage: Damage
) -> None:
    patient = await queued(manager)
    await manager.start(manager.get_workflow("flow").with_options(id="other"))
    await damage(patient)

    for call in (patient.handle.status, patient.handle.steps, patient.handle.history, patient.handle.watch().__anext__):
        with pytest.raises(InstanceDamaged, match=r"'i'.*headrace doctor"):
            await call()
    page = await manager.list()
    assert [item.id for item in page.items] == ["other"]
    assert page.damaged == ("i",)
    named = {one.subject for one in (await manager.doctor(repair=True)).findings if one.severity == "problem"}
    assert named & {"i", patient.record}


@pytest.mark.parametrize("damage", [junk_status, without("status"), text_for_a_record], ids=lambda one: one.__name__)
async def test_an_event_to_a_damaged_instance_is_not_said_to_come_too_late(
    manager: WorkflowManager, damage: Damage
) -> None:
    patient = await queued(manager)
    await damage(patient)

    with pytest.raises(InstanceDamaged, match="headrace doctor"):
        await patient.handle.send_event("go")
    with pytest.raises(InstanceDamaged, match="headrace doctor"):
        await patient.handle.result(timeout=5)
    with pytest.raises(InstanceDamaged, match="headrace doctor"):
        await patient.handle.restart()


@pytest.mark.parametrize("part", ["journal", "open"])
async def test_a_hash_of_another_type_is_one_named_error(manager: WorkflowManager, part: str) -> None:
    patient = await queued(manager)
    await patient.redis("SET", patient.part(part), "x")

    for call in (patient.handle.status, patient.handle.steps, patient.handle.cancel):
        with pytest.raises(InstanceDamaged, match="another type"):
            await call()


async def completed(manager: WorkflowManager) -> Patient:
    """It has ended, and what is called on its completion was called."""

    @manager.action(name="tell")
    async def tell(workflow_id: str, result: Result[int], context: None) -> None:
        pass

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        step.set_value("stage", 1)
        return 1

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="i", on_complete=tell, context=None))
        await handle.result()
        await until(lambda: _called(handle))
    store = await manager.store()
    return Patient(manager, handle, store, store.space.keys.tag_of(handle.address))


async def _called(handle: WorkflowHandle[int]) -> bool:
    return [one.state for one in await handle.steps() if one.kind == "on_complete"] == ["completed"]


async def _of_completion(p: Patient, part: str) -> str:
    (name,) = cast("list[bytes]", await p.redis("KEYS", f"{p.tag}:retrier{part}:i/on_complete/*"))
    return name.decode()


async def text_for_its_record(p: Patient) -> None:
    await p.redis("SET", await _of_completion(p, ""), "x")


async def text_for_its_journal(p: Patient) -> None:
    await p.redis("SET", await _of_completion(p, ".journal"), "x")


async def junk_in_its_journal(p: Patient) -> None:
    await p.redis("HSET", await _of_completion(p, ".journal"), "c1", "junk")


async def junk_in_its_record(p: Patient) -> None:
    await p.redis("HSET", await _of_completion(p, ""), "commands", "junk")


@pytest.mark.parametrize(
    "damage",
    [text_for_its_record, text_for_its_journal, junk_in_its_journal, junk_in_its_record],
    ids=lambda one: one.__name__,
)
async def test_steps_name_what_is_damaged_of_what_was_called_on_completion(
    manager: WorkflowManager, damage: Damage
) -> None:
    patient = await completed(manager)
    await damage(patient)

    with pytest.raises(InstanceDamaged, match=r"'i/on_complete/.*headrace doctor"):
        await patient.handle.steps()


async def test_without_what_is_to_be_called_on_completion_steps_name_the_instance(manager: WorkflowManager) -> None:
    patient = await completed(manager)
    await patient.redis("HDEL", patient.record, "on_complete")

    with pytest.raises(InstanceDamaged, match=r"'i' is damaged .*headrace doctor"):
        await patient.handle.steps()


async def test_values_that_cannot_be_read_name_their_instance(manager: WorkflowManager) -> None:
    patient = await completed(manager)
    assert await patient.handle.value("stage") == 1
    await patient.redis("HSET", patient.part("values"), "stage", b"\xc1")
    with pytest.raises(InstanceDamaged, match="headrace doctor"):
        await patient.handle.value("stage")
    await patient.redis("SET", patient.part("values"), "x")
    with pytest.raises(InstanceDamaged, match="another type"):
        await patient.handle.value("stage")


@pytest.mark.parametrize("name", ["outbox", "dead", "ready", "held", "bands", "index:flow:running"])
async def test_a_shared_key_of_another_type_stops_neither_the_doctor_nor_a_list(
    manager: WorkflowManager, name: str
) -> None:
    patient = await queued(manager)
    await patient.redis("SET", f"{patient.tag}:{name}", "x")

    assert of(await manager.doctor(), "foreign_key").subject == f"{patient.tag}:{name}"
    page = await manager.list()
    assert page.damaged == ((f"{patient.tag}:{name}",) if name.startswith("index") else ())


async def lose_journal(p: Patient) -> None:
    await p.redis("DEL", p.part("journal"))


async def spoil_command(p: Patient) -> None:
    await p.redis("HSET", p.part("journal"), "c1", "garbage")


async def spoil_own_command(p: Patient) -> None:
    await p.redis("HSET", p.part("journal"), "c2", "garbage")


async def spoil_event(p: Patient) -> None:
    await p.redis("HSET", p.part("journal"), "e1", "garbage")


async def consumed_ahead(p: Patient) -> None:
    await p.redis("HSET", p.record, "consumed", "99-1")


async def emitted_ahead(p: Patient) -> None:
    await p.redis("HSET", p.record, "emitted", 99)


@pytest.mark.usefixtures("audits_often")
@pytest.mark.parametrize(
    "damage", [lose_journal, spoil_command, spoil_own_command, spoil_event, consumed_ahead, emitted_ahead]
)
async def test_a_worker_stops_an_instance_with_a_damaged_journal_and_says_so_in_one_line(
    manager: WorkflowManager, damage: Damage
) -> None:
    patient = await queued(manager)
    await patient.handle.send_event("go")
    await damage(patient)

    with capture_logs() as lines:
        async with manager.worker(queues=("default", QUEUE)):
            await until(lambda: _status(patient, b"stopped"))
            await asyncio.sleep(10 * AUDIT_S)  # what waits of it is looked at again meanwhile

    said = failures(lines)
    assert len(said) == 1, "\n".join(map(str, said))
    assert "damaged" in said[0]["event"]
    assert not any("exc_info" in line for line in lines)
    reason = (await patient.store.instances.record(patient.handle.address))["reason"]
    assert b"damaged journal" in reason
    assert b"headrace doctor" in reason


async def _status(patient: Patient, status: bytes) -> bool:
    return await patient.redis("HGET", patient.record, "status") == status


async def lose_consumed(p: Patient) -> None:
    await p.redis("HDEL", p.record, "consumed")


@pytest.mark.usefixtures("audits_often")
@pytest.mark.parametrize("damage", [text_for_a_record, lose_consumed])
async def test_what_a_worker_cannot_stop_it_tries_again_ever_later_with_one_line_each(
    manager: WorkflowManager, damage: Damage
) -> None:
    patient = await queued(manager)
    await patient.handle.send_event("go")
    await damage(patient)

    with capture_logs() as lines:
        async with manager.worker(queues=("default", QUEUE)):
            while len(said := failures(lines)) < 2:  # noqa: ASYNC110 - nobody tells of lines
                await asyncio.sleep(AUDIT_S)

    assert [line["again_in_s"] for line in said] == [1.0, 2.0]
    assert not any("exc_info" in line or "\n" in str(line["error"]) for line in said)
