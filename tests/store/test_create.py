from __future__ import annotations

from typing import Any

import pytest

from kernel.refusals import Gone, Late
from tests.store.bench import A, Bench


async def test_a_new_actor_is_running_and_ready_with_its_arguments_as_first_event(bench: Bench) -> None:
    generation = await bench.create()
    fetched = await bench.store.turns.fetch(A, generation="", fed="0-0")
    assert generation.startswith("1-")
    assert (fetched.record.status, fetched.record.consumed, fetched.record.appended) == ("running", "0-0", generation)
    assert fetched.events is not None
    assert [(event.kind, event.payload) for event in fetched.events] == [("started", b"in")]
    assert await bench.ready() == [A]


async def test_a_second_start_finds_the_first_and_changes_nothing(bench: Bench) -> None:
    generation = await bench.create()
    again = await bench.store.instances.create(A, name="flow", arguments=b"other")
    assert (again.new, again.generation) == (False, generation)
    assert (await bench.journal())["e1"].endswith(b"in")


async def test_the_same_start_sent_twice_because_its_reply_was_lost_is_answered_as_new_both_times(bench: Bench) -> None:
    first = await bench.store.instances.create(A, name="flow", arguments=b"in", nonce=5)
    second = await bench.store.instances.create(A, name="flow", arguments=b"in", nonce=5)
    assert first == second
    assert first.new
    assert await bench.ready() == [A]


async def test_a_start_for_later_waits_until_it_is_due(bench: Bench) -> None:
    await bench.create(start_at_ms=bench.now + 1000)
    assert (await bench.record()).status == "scheduled"
    assert await bench.promote(999) == 0
    assert await bench.promote(1) == 1
    assert (await bench.record()).status == "running"
    assert await bench.ready() == [A]


async def test_a_start_after_its_deadline_is_refused(bench: Bench) -> None:
    with pytest.raises(Late):
        await bench.create(deadline_ms=bench.now - 1)
    assert await bench.exists() == set()


async def test_the_message_that_started_a_deleted_actor_does_not_raise_it_from_the_dead(bench: Bench) -> None:
    await bench.create(message="m1")
    await bench.ended()
    assert await bench.store.instances.cleanup(A)
    with pytest.raises(Gone):
        await bench.create(message="m1")
    assert (await bench.create(message="m2")).startswith("1-")


async def test_a_start_without_message_takes_the_place_of_a_tombstone(bench: Bench) -> None:
    await bench.create()
    await bench.ended()
    await bench.store.instances.cleanup(A)
    await bench.create()
    assert (await bench.record()).status == "running"


async def test_who_else_asks_for_an_existing_child_gets_its_result_too(bench: Bench) -> None:
    await bench.create(message="m1", fields={"parent": "wf/p|1-1|2|t1"})
    await bench.store.instances.create(A, name="flow", arguments=b"", message="m2", fields={"parent": "wf/q|1-2|3|t2"})
    await bench.store.instances.create(A, name="flow", arguments=b"", message="m2", fields={"parent": "wf/q|1-2|3|t2"})
    await bench.ended()
    told = [(m.to, m.receiver_generation, m.seq, m.token, m.payload) for m in await bench.messages()]
    assert told == [("wf/p", "1-1", "2", "t1", b"out"), ("wf/q", "1-2", "3", "t2", b"out")]


async def test_a_start_repeated_after_the_end_has_the_result_sent_again(bench: Bench) -> None:
    what: dict[str, Any] = {"message": "m1", "fields": {"parent": "wf/p|1-1|2|t1"}}
    await bench.create(**what)
    await bench.ended()
    for message in await bench.messages():
        assert await bench.store.outbox.sent(message)
    await bench.store.instances.create(A, name="flow", arguments=b"in", **what)
    assert [(m.what, m.to) for m in await bench.messages()] == [("outcome", "wf/p")]
