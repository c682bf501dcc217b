from __future__ import annotations

import pytest

from kernel.decision import Command, End
from kernel.refusals import Busy, Gone, NotFound, Running, StaleGeneration
from kernel.store import keys
from kernel.store.audit import violations
from kernel.store.journal import Record
from kernel.store.replies import listed
from kernel.store.restarting import NoSuchCommand
from kernel.store.steps import Held
from kernel.store.turns import History
from tests.store.bench import EAGER, A, Bench, child, step, timer, wait


def at(command: Command, number: int) -> Command:
    return command._replace(at=number)


async def history(bench: Bench) -> tuple[Record, History]:
    record = await bench.record()
    return record, await bench.store.turns.history(A, record)


async def two_turns(bench: Bench) -> None:
    """Step 1 leads to steps 2 and 3, which both fail; the actor fails."""
    await bench.create()
    await bench.commit([step("one")])
    await bench.complete((await bench.begun()).held)
    await bench.commit([at(step("two"), 2), at(step("three"), 2)])
    await bench.complete((await bench.begun()).held, status="failed", nonce=8)
    await bench.complete((await bench.begun()).held, nonce=9)
    await bench.commit(end=End("failed", b"why"))


async def test_the_default_is_the_first_step_without_success_which_is_asked_for_again(bench: Bench) -> None:
    await two_turns(bench)
    generation = await bench.store.turns.restart(A)
    record, kept = await history(bench)
    assert (record.status, record.generation, record.appended) == ("running", generation, generation)
    assert record.consumed.startswith("1-")
    assert [command.target for command in kept.commands] == ["one"]
    assert [(event.number, event.kind) for event in kept.events] == [(1, "started"), (2, "outcome"), (5, "restarted")]
    assert await bench.ready() == [A]
    await bench.commit([at(step("two"), 2), at(step("three"), 2)])
    assert [queued.seq for queued in await bench.queued()] == [2, 3]


async def test_outcomes_below_the_chosen_step_are_kept_and_their_commands_not_run_again(bench: Bench) -> None:
    await two_turns(bench)
    await bench.store.turns.restart(A, from_seq=3)
    _, kept = await history(bench)
    assert [(event.number, event.seq) for event in kept.events if event.kind == "outcome"] == [(2, 1), (3, 2)]
    await bench.commit([at(step("two"), 2), at(step("three"), 2)])
    assert [queued.seq for queued in await bench.queued()] == [3]


async def test_from_behind_the_last_command_only_the_code_runs_again(bench: Bench) -> None:
    await two_turns(bench)
    await bench.store.turns.restart(A, from_seq=4)
    await bench.commit([at(step("two"), 2), at(step("three"), 2), at(step("four"), 4)])
    assert [queued.seq for queued in await bench.queued()] == [4]


async def test_a_turn_may_end_the_actor_at_a_kept_event_which_is_in_the_journal_alone(bench: Bench) -> None:
    await bench.started(step("one"))
    await bench.complete((await bench.begun()).held)
    await bench.told("late")
    await bench.commit(end=End("completed", b"out"))
    await bench.store.turns.restart(A)
    _, kept = await history(bench)
    await bench.commit([step("one")], reached=kept.events[1].id, end=End("completed", b"again"))
    assert (await bench.record()).status == "completed"


async def test_a_turn_that_begins_anew_at_a_kept_event_takes_the_later_facts_along(bench: Bench) -> None:
    await bench.started(step("one"))
    await bench.complete((await bench.begun()).held)
    await bench.told("late", payload=b"1")
    await bench.commit(end=End("completed", b"out"))
    await bench.store.turns.restart(A)
    await bench.told("later", payload=b"2")
    _, kept = await history(bench)
    await bench.commit([step("one")], reached=kept.events[1].id, end=End("continued", b"new"))
    _, kept = await history(bench)
    assert [(event.kind, event.name, event.payload) for event in kept.events] == [
        ("started", "", b"new"), ("event", "late", b"1"), ("event", "later", b"2"),
    ]  # fmt: skip


async def test_a_canceled_actor_has_what_was_under_way_placed_again(bench: Bench) -> None:
    await bench.started(step("one"), step("two"), timer(bench.now + 99), wait())
    await bench.complete((await bench.begun()).held)
    await bench.commit([at(step("three"), 2)])
    await bench.store.instances.cancel(A, payload=b"")
    generation = await bench.store.turns.restart(A, from_seq=5)
    assert await bench.open_places() == {}
    turned = await bench.commit([at(step("three"), 2)])
    assert not turned.more
    assert await bench.open_places() == {2: "q:default", 3: "delayed:timer", 4: "wait", 5: "q:default"}
    assert {queued.generation for queued in await bench.queued()} == {generation}


async def test_what_the_code_takes_back_again_when_it_is_fed_again_is_not_placed(bench: Bench) -> None:
    await bench.started(step("one"), timer(bench.now + 99))
    await bench.complete((await bench.begun()).held)
    await bench.commit([at(step("two"), 2)], canceled=[2])
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A, from_seq=3)
    assert "x2" not in await bench.journal()
    await bench.commit([at(step("two"), 2)], canceled=[2])
    assert await bench.open_places() == {3: "q:default"}


async def test_what_was_taken_back_before_stays_so(bench: Bench) -> None:
    await bench.started(step("one"), timer(bench.now + 99), wait())
    await bench.complete((await bench.begun()).held)
    await bench.commit([at(step("two"), 2)], canceled=[2])
    await bench.complete((await bench.begun()).held, nonce=8)
    await bench.commit([at(step("three"), 3)])
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A, from_seq=5)
    await bench.commit([at(step("three"), 3)])
    assert await bench.open_places() == {3: "wait", 5: "q:default"}


async def test_a_command_that_was_void_because_its_turn_ended_the_actor_is_placed_when_it_is_kept(bench: Bench) -> None:
    """Several events in one turn: a step was asked for at the second, the end came at the third."""
    await bench.started(step("one"), step("two"))
    await bench.complete((await bench.begun()).held)
    await bench.complete((await bench.begun()).held, nonce=8)
    commands = [at(step("void"), 2), at(step("last"), 3)]
    await bench.commit(commands, end=End("completed", b""), flags="v")
    await bench.store.turns.restart(A, from_seq=4)
    record, kept = await history(bench)
    assert (record.consumed, [command.target for command in kept.commands]) == ("2-7", ["one", "two", "void"])
    await bench.commit([at(step("last"), 3)])
    assert await bench.open_places() == {3: "q:default", 4: "q:default"}


async def test_more_than_a_page_is_placed_again_in_parts(bench: Bench) -> None:
    await bench.create()
    await bench.commit([timer(bench.now + 99) for _ in range(150)])
    await bench.told()
    await bench.commit([at(timer(bench.now + 99), 2) for _ in range(150)])
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Busy):
        await bench.store.turns.restart(A)
    for _ in range(3):
        await bench.promote()
    generation = await bench.store.turns.restart(A, from_seq=300)
    turned = await bench.commit([at(timer(bench.now + 99), 2) for _ in range(150)])
    assert turned.more
    await bench.store.turns.emit(A, generation=generation, token="t", eager=EAGER)
    assert sorted(await bench.open_places()) == list(range(1, 301))


async def test_a_cancel_request_that_is_not_part_of_what_is_kept_is_forgotten(bench: Bench) -> None:
    await bench.started(step("one"))
    await bench.told(kind="cancel_requested")
    await bench.commit(canceled=[1], end=End("canceled", b""))
    await bench.store.turns.restart(A, from_seq=1)
    record, kept = await history(bench)
    assert record.status == "running"
    assert [event.kind for event in kept.events] == ["started", "restarted"]


async def test_children_that_will_be_asked_for_again_are_cleaned_up(bench: Bench) -> None:
    await bench.create()
    await bench.commit([child("one"), child("two"), step()])
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
    held = (await bench.begun()).held
    await bench.complete(held)
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Busy):
        await bench.store.turns.restart(A)
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
    await bench.store.turns.restart(A, from_seq=1)
    assert [(m.what, m.seq, m.generation) for m in await bench.messages()] == [
        ("cleanup", "1", held.generation), ("cleanup", "2", held.generation),
    ]  # fmt: skip


async def test_only_what_has_ended_and_is_there_restarts(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.store.turns.restart(A)
    await bench.started(wait())
    with pytest.raises(Running):
        await bench.store.turns.restart(A)
    await bench.ended()
    with pytest.raises(NoSuchCommand, match="there is no step 3"):
        await bench.store.turns.restart(A, from_seq=3)
    await bench.store.turns.restart(A)
    with pytest.raises(Running):
        await bench.store.turns.restart(A)


async def test_an_actor_that_is_being_cleaned_up_does_not_restart(bench: Bench) -> None:
    await bench.create(fields={"on_complete": "call"})
    await bench.ended()
    await bench.store.instances.cleanup(A)
    with pytest.raises(Gone):
        await bench.store.turns.restart(A)


async def test_a_restart_repeated_because_its_reply_was_lost_is_one(bench: Bench) -> None:
    await bench.started(wait())
    record = await bench.record()
    await bench.store.instances.cancel(A, payload=b"")
    words = (bench.now, A, record.generation, 5, "0-0", 0, 0, "", 0)
    for _ in range(2):
        assert await bench.space.actor_call("restart", A, *words) == [b"RESTARTED", b"2-5"]
    with pytest.raises(Running):
        await bench.store.turns.restart(A)


async def test_a_plan_made_for_an_earlier_life_is_refused(bench: Bench) -> None:
    generation = await bench.create()
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A)
    await bench.store.instances.cancel(A, payload=b"")
    reply = listed(await bench.space.actor_call("restart", A, bench.now, A, generation, 5, "0-0", 0, 0, "", 0))
    assert reply[0] == b"STALE_GENERATION"


async def test_a_turn_of_the_life_before_is_refused(bench: Bench) -> None:
    generation = await bench.create()
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A)
    with pytest.raises(StaleGeneration):
        await bench.commit([step()], generation=generation, base="0-0", reached=generation)


async def test_time_and_retention_count_anew(bench: Bench) -> None:
    await bench.create(timeout_ms=1000, retention_ms=10)
    await bench.store.instances.cancel(A, payload=b"")
    bench.now += 500
    await bench.store.turns.restart(A)
    assert await bench.members("expiry") == []
    await bench.commit([wait()])
    await bench.promote(999)
    assert (await bench.record()).status == "running"
    await bench.promote(1)
    assert (await bench.record()).status == "failed"


async def test_an_outcome_that_was_fed_before_its_command_is_asked_for_now_does_not_count(bench: Bench) -> None:
    """The code takes another way: command 2 is asked for later than the kept outcome of its number came."""
    await two_turns(bench)
    await bench.store.turns.restart(A, from_seq=4)
    await bench.commit([at(step("two"), 4)])
    assert [queued.seq for queued in await bench.queued()] == [2]
    assert "r2" not in await bench.journal()


async def test_a_restart_undoes_a_request_to_cancel_and_what_followed_from_it(bench: Bench) -> None:
    await bench.started(step("one"), step("two"))
    await bench.told(kind="cancel_requested")
    await bench.commit([at(step("clean"), 2)], canceled=[1])
    await bench.complete((await bench.begun()).held)
    await bench.complete((await bench.begun()).held, nonce=8)
    await bench.commit(end=End("canceled", b""))
    await bench.store.turns.restart(A, from_seq=4)
    record, kept = await history(bench)
    assert record.consumed.startswith("1-")
    assert [(event.number, event.seq) for event in kept.events] == [(1, 0), (3, 2), (5, 0)]
    await bench.commit()
    assert await bench.open_places() == {1: "q:default"}


async def test_the_script_itself_refuses_what_has_not_ended(bench: Bench) -> None:
    generation = await bench.started(wait())
    reply = listed(await bench.space.actor_call("restart", A, bench.now, A, generation, 5, "0-0", 0, 0, "", 0))
    assert reply[0] == b"RUNNING"


async def kept_fields(bench: Bench) -> list[str]:
    return sorted(field for field in await bench.journal() if field[0] in "kt")


async def test_what_a_kept_outcome_belongs_to_is_kept_until_it_is_asked_for_again(bench: Bench) -> None:
    await two_turns(bench)
    asked = (await bench.journal())["c2"]
    await bench.store.turns.restart(A, from_seq=3)
    assert await kept_fields(bench) == ["k2"]
    assert (await bench.journal())["k2"] == asked
    _, found = await history(bench)
    assert {seq: (one.command.target, one.answered) for seq, one in found.kept.items()} == {2: ("two", 3)}
    await bench.commit([at(step("two"), 2), at(step("three"), 2)])
    assert await kept_fields(bench) == []
    assert (await history(bench))[1].kept == {}


async def test_a_restart_before_any_turn_keeps_what_is_below_the_step_that_it_names(bench: Bench) -> None:
    await two_turns(bench)
    await bench.store.turns.restart(A, from_seq=4)
    assert await kept_fields(bench) == ["k2", "k3"]
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A, from_seq="three")
    record, found = await history(bench)
    assert (record.consumed[:2], record.commands, sorted(found.kept)) == ("1-", 1, [2])
    assert [event.seq for event in found.events if event.kind == "outcome"] == [1, 2]
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(NoSuchCommand, match="give a number from 1 to 3"):
        await bench.store.turns.restart(A, from_seq=4)
    await bench.store.turns.restart(A)
    await bench.commit([at(step("two"), 2), at(step("three"), 2)])
    assert [queued.seq for queued in await bench.queued()] == [2, 3]


async def test_a_journal_that_does_not_say_what_an_outcome_belongs_to_is_read_as_ever(bench: Bench) -> None:
    await two_turns(bench)
    await bench.store.turns.restart(A, from_seq=4)
    await bench.space.send(bench.tag, "HDEL", keys.actor(bench.tag, A, "journal"), "k2", "k3")
    assert (await history(bench))[1].kept == {}
    await bench.commit([at(step("two"), 2), at(step("three"), 2), at(step("four"), 4)])
    assert [queued.seq for queued in await bench.queued()] == [4]


async def test_a_child_that_was_kept_goes_when_its_number_is_asked_for_later_by_a_step(bench: Bench) -> None:
    await bench.create()
    await bench.commit([step("one"), child("kid")])
    (message,) = await bench.messages()
    await bench.store.outbox.sent(message)
    held = Held(A, message.generation, 2, 1, "", message.token)
    await bench.complete(held, nonce=8)
    await bench.complete((await bench.begun()).held)
    await bench.commit(end=End("completed", b""))
    await bench.store.turns.restart(A, from_seq=3)
    assert await kept_fields(bench) == ["k1", "k2", "t2"]
    await bench.commit([step("one"), at(step("other"), 3)])
    assert [(sent.what, sent.seq, sent.token) for sent in await bench.messages()] == [("cleanup", "2", message.token)]
    assert [queued.seq for queued in await bench.queued()] == [2]


@pytest.mark.parametrize("field", ["k1", "k3", "k9"])
async def test_a_kept_command_that_nothing_is_compared_with_is_found(bench: Bench, field: str) -> None:
    await two_turns(bench)
    command = (await bench.journal())["c1"]
    await bench.store.turns.restart(A, from_seq=3)
    assert violations(await bench.keys()) == []
    await bench.space.send(bench.tag, "HSET", keys.actor(bench.tag, A, "journal"), field, command)
    (text,) = violations(await bench.keys())
    assert f"the journal keeps a command {field[1:]} that nothing is compared with" in text
