from __future__ import annotations

import pytest

from kernel.decision import End
from kernel.refusals import StaleGeneration
from kernel.store.steps import Held
from tests.store.bench import EAGER, A, Bench, child, step, timer, value, wait

ANEW = End("continued", b"new")


async def test_the_journal_is_replaced_in_one_step_and_numbers_go_on(bench: Bench) -> None:
    await bench.started(step(), timer(bench.now + 99), eager=EAGER)
    (held,) = await bench.store.steps.held_by("w1")
    await bench.complete(held)
    turned = await bench.commit(end=ANEW)
    record = await bench.record()
    assert turned.more
    assert (record.status, record.consumed, record.commands, record.first) == ("running", "0-0", 0, 3)
    assert record.generation == record.appended
    fetched = await bench.store.turns.fetch(A, generation="", fed="0-0")
    assert fetched.events is not None
    assert [(event.number, event.kind, event.payload) for event in fetched.events] == [(3, "started", b"new")]
    assert set(await bench.journal()) == {"e3"}
    assert await bench.members("delayed") + await bench.members("held") == []
    assert await bench.ready() == [A]


async def test_facts_that_nobody_took_come_along_in_order_behind_the_new_start(bench: Bench) -> None:
    await bench.started(wait())
    early = await bench.told("early", payload=b"1", dedupe="x")
    await bench.commit()
    fed = await bench.told("fed", payload=b"2")
    await bench.told("late", payload=b"3")
    await bench.commit(reached=fed, end=ANEW, untaken=[2])
    history = await bench.store.turns.history(A, await bench.record())
    assert [(event.number, event.kind, event.name, event.payload) for event in history.events] == [
        (5, "started", "", b"new"), (6, "event", "early", b"1"), (7, "event", "late", b"3"),
    ]  # fmt: skip
    # Told again, it is the same event, under the number that it has now.
    assert await bench.told("early", dedupe="x") == f"6-{early.partition('-')[2]}"
    await bench.commit([wait()])
    assert (await bench.record()).consumed.startswith("7-")


async def test_an_outcome_on_its_way_belongs_to_the_past(bench: Bench) -> None:
    generation = await bench.started(step(), step(), eager=EAGER)
    one, two = await bench.store.steps.held_by("w1")
    await bench.complete(one)
    reached = (await bench.record()).appended
    await bench.complete(two, nonce=8)
    await bench.commit(reached=reached, end=ANEW)
    assert set(await bench.journal()) == {"e4"}
    assert (await bench.record()).generation != generation


async def test_an_advance_begins_anew_as_well(bench: Bench) -> None:
    await bench.started(step(), eager=EAGER)
    (held,) = await bench.store.steps.held_by("w1")
    await bench.advance(held, [value("seen", b"1")], end=ANEW)
    assert (await bench.record()).first == 3
    assert await bench.store.instances.read(A, "values") == {"seen": b"1"}


async def test_children_are_canceled_and_detached_ones_take_their_command_along(bench: Bench) -> None:
    generation = await bench.create()
    await bench.commit([child("one")])
    await bench.told()
    await bench.commit([child("two")], flags="d")
    await bench.told()
    await bench.commit(end=ANEW)
    messages = {(m.what, m.seq): m for m in await bench.messages()}
    assert set(messages) == {("create", "1"), ("cancel", "1"), ("cleanup", "1"), ("create", "2")}
    assert messages["create", "2"].payload.endswith(b"argsopts")
    assert {m.generation for m in messages.values()} == {generation}
    for message in messages.values():
        assert await bench.store.outbox.sent(message)


async def test_hundreds_of_open_commands_are_all_taken_back_at_once(bench: Bench) -> None:
    await bench.create()
    await bench.commit([timer(bench.now + 99) for _ in range(200)])
    await bench.told()
    await bench.commit(end=ANEW)
    assert await bench.open_places() == {}


async def test_time_counts_anew(bench: Bench) -> None:
    await bench.create(timeout_ms=1000)
    bench.now += 500
    await bench.commit(end=ANEW)
    await bench.commit([wait()])
    await bench.promote(999)
    assert (await bench.record()).status == "running"
    await bench.promote(1)
    assert (await bench.record()).status == "failed"


async def test_a_cancel_request_that_was_not_seen_yet_comes_along(bench: Bench) -> None:
    await bench.started(wait())
    fed = await bench.told()
    await bench.told(kind="cancel_requested")
    await bench.commit(reached=fed, end=ANEW)
    assert (await bench.record()).status == "canceling"


async def test_the_parent_gets_the_last_result_alone(bench: Bench) -> None:
    await bench.create(fields={"parent": "wf/p|1-1|2|t"}, message="m")
    await bench.commit(end=ANEW)
    assert await bench.messages() == []
    await bench.ended()
    assert [(m.what, m.to, m.payload) for m in await bench.messages()] == [("outcome", "wf/p", b"out")]


async def test_a_second_life_of_many_restarts_from_its_own_first_event(bench: Bench) -> None:
    await bench.create()
    await bench.commit(end=ANEW)
    await bench.commit([step("again")])
    await bench.store.instances.cancel(A, payload=b"")
    generation = await bench.store.turns.restart(A)
    record = await bench.record()
    assert (record.consumed, record.first, record.commands) == ("0-0", 2, 0)
    await bench.commit([step("again")])
    assert [(q.seq, q.generation) for q in await bench.queued()] == [(1, generation)]


async def test_results_of_children_of_an_earlier_life_are_refused(bench: Bench) -> None:
    generation = await bench.started(child())
    token = (await bench.messages())[0].token
    await bench.told()
    await bench.commit(end=ANEW)
    with pytest.raises(StaleGeneration):
        await bench.complete(Held(A, generation, 1, 1, "", token))


async def test_the_version_is_that_of_the_code_that_begins_anew_and_its_first_turn_records_its_python(
    bench: Bench,
) -> None:
    await bench.create(fields={"version": "1"})
    await bench.commit([timer(bench.now + 99)], python="3.11")
    await bench.told()
    assert (await bench.record()).python == "3.11"
    await bench.commit(end=End("continued", b"new", "2"), python="3.12")
    assert ((await bench.record()).version, (await bench.record()).python) == ("2", "")
    await bench.commit([timer(bench.now + 99)], python="3.13")
    await bench.told()
    await bench.commit(end=ANEW)
    assert ((await bench.record()).version, (await bench.record()).python) == ("", "")
