"""Data that was damaged so that it cannot be read: the doctor names it, leaves it alone and looks at all the rest."""

from __future__ import annotations

import pytest

from actors import WorkflowManager
from tests.doctor.patients import Damage, Patient, of, queued, ready


async def lose_created(p: Patient) -> None:
    await p.redis("HDEL", p.record, "created")
    await p.redis("ZREM", f"{p.tag}:index:flow:running", p.handle.address)


async def lose_status(p: Patient) -> None:
    await p.redis("HDEL", p.record, "status")


async def spoil_open_number(p: Patient) -> None:
    await p.redis("HSET", p.part("open"), "x", "1|||wait||0")


async def spoil_open_value(p: Patient) -> None:
    await p.redis("HSET", p.part("open"), 2, "rubbish")


@pytest.mark.parametrize("damage", [lose_created, lose_status, spoil_open_number, spoil_open_value])
async def test_an_instance_that_cannot_be_read_is_named_and_left_as_it_is(
    manager: WorkflowManager, damage: Damage
) -> None:
    patient = await queued(manager)
    await damage(patient)
    before = await patient.redis("HGETALL", patient.record)

    report = await manager.doctor(repair=True, orphans_older_than=0)

    finding = of(report, "unreadable")
    assert (finding.subject, finding.repaired) == ("i", "")
    assert await patient.redis("HGETALL", patient.record) == before
    assert await patient.redis("EXISTS", patient.part("journal"), patient.part("open")) == 2


async def test_a_count_of_messages_that_is_no_number_is_counted_anew(manager: WorkflowManager) -> None:
    patient = await queued(manager)
    await patient.redis("HSET", patient.record, "undelivered", "x")

    assert of(await manager.doctor(repair=True), "miscounted").repaired
    assert await patient.redis("HGET", patient.record, "undelivered") == b"0"


async def test_keys_of_another_type_where_a_place_should_be_are_named_and_the_rest_is_looked_at(
    manager: WorkflowManager,
) -> None:
    patient = await ready(manager)
    places = {f"{patient.tag}:{name}" for name in ("q:odd", "index:odd", "retries", "expiry")}
    for place in places:
        await patient.redis("SET", place, "1")
    await patient.redis("XTRIM", f"{patient.tag}:ready", "MAXLEN", 0)

    report = await manager.doctor(repair=True)

    assert {finding.subject for finding in report.findings if finding.code == "foreign_key"} == places
    assert of(report, "lost_ready").repaired
