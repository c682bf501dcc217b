from __future__ import annotations

import pytest

from kernel.decision import Command, End
from kernel.refusals import Ended
from tests.store.bench import A, Bench, child, step, timer, value, wait


async def test_an_end_takes_back_everything_open_and_keeps_the_result(bench: Bench) -> None:
    await bench.started(step(), timer(bench.now + 50), wait(), step(timeout_ms=9))
    await bench.begun()
    await bench.told()
    await bench.ended("failed", b"why")
    assert await bench.exists() == {"record", "journal"}
    assert await bench.store.instances.result(A) == b"failed|%d\nwhy" % bench.now
    assert await bench.queued() == []
    assert await bench.members("held") + await bench.members("delayed") == []


async def test_of_a_decision_that_ends_only_values_take_effect(bench: Bench) -> None:
    await bench.create()
    await bench.commit([step(), value("seen", b"1"), child()], end=End("completed", b""), flags="v")
    assert await bench.store.instances.read(A, "values") == {"seen": b"1"}
    assert await bench.queued() == []
    assert await bench.messages() == []


async def test_children_are_canceled_with_their_parent_unless_they_are_detached(bench: Bench) -> None:
    await bench.create()
    await bench.commit([child("one"), wait()])
    await bench.told()
    await bench.commit([child("two")], flags="d")
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
    await bench.told()
    await bench.commit(end=End("completed", b""))
    assert [(m.what, m.seq) for m in await bench.messages()] == [("cancel", "1")]


async def test_a_detached_child_survives_its_parents_own_list_of_what_it_takes_back(bench: Bench) -> None:
    await bench.create()
    await bench.commit([child()], flags="d")
    await bench.told()
    await bench.commit(canceled=[1], end=End("completed", b""))
    assert [m.what for m in await bench.messages()] == ["create"]


async def test_on_complete_is_started_through_the_outbox(bench: Bench) -> None:
    await bench.create(fields={"on_complete": "call"})
    await bench.ended()
    assert [(m.what, m.status, m.payload) for m in await bench.messages()] == [("on_complete", "completed", b"out")]


async def test_an_end_with_hundreds_open_is_cleared_up_bit_by_bit(bench: Bench) -> None:
    await bench.create()
    await bench.commit([timer(bench.now + 10**6) for _ in range(200)])
    await bench.told()
    await bench.commit([timer(bench.now + 10**6) for _ in range(70)])
    await bench.store.instances.cancel(A, payload=b"")
    assert len(await bench.open_places()) == 170
    await bench.promote()
    assert len(await bench.open_places()) == 70
    await bench.promote()
    assert await bench.exists() == {"record", "journal"}
    assert await bench.members("delayed") == []


async def test_retention_counts_from_the_end(bench: Bench) -> None:
    await bench.create(retention_ms=1000)
    await bench.ended()
    assert await bench.store.instances.expired(bench.tag, now_ms=bench.now + 999) == []
    assert await bench.store.instances.expired(bench.tag, now_ms=bench.now + 1000) == [A]


async def test_an_actor_out_of_time_fails(bench: Bench) -> None:
    await bench.create(timeout_ms=100)
    await bench.commit([wait()])
    await bench.promote(99)
    assert (await bench.record()).status == "running"
    await bench.promote(1)
    assert await bench.store.instances.result(A) == b"failed|%d\nout of time" % bench.now


async def test_an_actor_that_ends_in_time_leaves_no_deadline(bench: Bench) -> None:
    await bench.create(timeout_ms=100)
    await bench.ended()
    assert await bench.members("delayed") == []


async def test_cancel_ends_at_once_and_only_once(bench: Bench) -> None:
    await bench.started(step())
    await bench.store.instances.cancel(A, payload=b"by hand")
    assert await bench.store.instances.result(A) == b"canceled|%d\nby hand" % bench.now
    with pytest.raises(Ended):
        await bench.store.instances.cancel(A, payload=b"")


async def test_canceling_a_scheduled_actor_takes_its_start_back(bench: Bench) -> None:
    await bench.create(start_at_ms=bench.now + 10, timeout_ms=5)
    await bench.store.instances.cancel(A, payload=b"")
    assert await bench.members("delayed") == []


async def test_a_postponed_actor_that_is_canceled_leaves_nothing_delayed(bench: Bench) -> None:
    await bench.create()
    await bench.store.turns.postpone(A, (await bench.record()).ready, delay_ms=1000)
    await bench.store.instances.cancel(A, payload=b"")
    assert await bench.members("delayed") == []


async def test_void_commands_are_recorded(bench: Bench) -> None:
    await bench.create()
    await bench.commit([Command("step", "f", "f", b"a", at=1)], end=End("completed", b""), flags="v")
    assert (await bench.record()).commands == 1
