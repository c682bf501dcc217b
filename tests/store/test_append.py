from __future__ import annotations

import pytest

from kernel.refusals import Ended, NotFound, StaleGeneration
from tests.store.bench import A, Bench, wait


async def test_a_fact_gets_the_next_number_and_wakes_the_actor(bench: Bench) -> None:
    await bench.started(wait())
    assert await bench.ready() == []
    event = await bench.told("go", nonce=5)
    assert event == "2-5"
    assert await bench.ready() == [A]


async def test_a_second_fact_adds_no_second_ready_entry(bench: Bench) -> None:
    await bench.started(wait())
    await bench.told()
    await bench.told()
    assert await bench.ready() == [A]


async def test_a_fact_told_twice_under_one_id_is_recorded_once(bench: Bench) -> None:
    await bench.started(wait())
    first = await bench.told(dedupe="order-7")
    assert await bench.told(dedupe="order-7") == first
    assert (await bench.record()).appended == first


async def test_a_call_repeated_because_its_reply_was_lost_is_recorded_once(bench: Bench) -> None:
    await bench.started(wait())
    assert await bench.told(nonce=9) == await bench.told(nonce=9)


async def test_a_repeated_call_hears_that_it_was_told_even_when_the_actor_has_ended_since(bench: Bench) -> None:
    await bench.started(wait())
    first = await bench.told(nonce=9)
    await bench.ended()
    assert await bench.told(nonce=9) == first


async def test_nobody_takes_a_fact_for_an_unknown_an_ended_or_a_restarted_actor(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.told()
    await bench.started(wait())
    with pytest.raises(StaleGeneration):
        await bench.told(generation="1-1")
    await bench.ended()
    with pytest.raises(Ended):
        await bench.told()


async def test_a_cancel_request_makes_the_actor_canceling(bench: Bench) -> None:
    await bench.started(wait())
    await bench.told(kind="cancel_requested")
    assert (await bench.record()).status == "canceling"
    await bench.commit()
    assert (await bench.record()).status == "canceling"


async def test_a_further_cancel_request_changes_nothing_wherever_the_actor_stands(bench: Bench) -> None:
    generation = await bench.started(wait())
    await bench.told(kind="cancel_requested")
    asked = await bench.record()
    assert await bench.told(kind="cancel_requested") == ""
    assert await bench.record() == asked
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"why", fingerprint="f")
    assert await bench.told(kind="cancel_requested") == ""
    await bench.store.instances.resume(A)
    assert (await bench.record()).status == "canceling"
    assert (await bench.record()).appended == asked.appended


async def test_a_cancel_request_before_the_start_is_used_up_by_it(bench: Bench) -> None:
    """So that code which catches it and begins anew can be asked once more."""
    await bench.create(start_at_ms=bench.now + 10)
    await bench.told(kind="cancel_requested")
    assert await bench.store.instances.field(A, "", "canceling") == b"1"
    await bench.promote(10)
    assert (await bench.record()).status == "canceling"
    assert await bench.store.instances.field(A, "", "canceling") is None


async def test_facts_that_come_before_a_scheduled_start_are_kept_and_read_after_it(bench: Bench) -> None:
    await bench.create(start_at_ms=bench.now + 10)
    await bench.told("early")
    await bench.told(kind="cancel_requested")
    await bench.promote(10)
    fetched = await bench.store.turns.fetch(A, generation="", fed="0-0")
    assert fetched.record.status == "canceling"
    assert fetched.events is None
    history = await bench.store.turns.history(A, fetched.record)
    assert [event.kind for event in history.events] == ["started", "event", "cancel_requested"]


async def test_a_stopped_actor_takes_facts_without_being_woken(bench: Bench) -> None:
    generation = await bench.started(wait())
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"why", fingerprint="f")
    await bench.told()
    assert await bench.ready() == []
    await bench.store.instances.resume(A)
    assert await bench.ready() == [A]
