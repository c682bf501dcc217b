from __future__ import annotations

from typing import Any

import pytest

from kernel.decision import Command
from kernel.refusals import Ended, NotFound, StaleGeneration, StaleTurn
from kernel.store import keys
from tests.store.bench import EAGER, A, Bench, child, step, timer, value, wait


async def test_each_command_reaches_its_place(bench: Bench) -> None:
    await bench.started(
        step(), step("later", due_ms=bench.now + 50), timer(bench.now + 60), wait(), child(), value("seen", b"1"),
        Command("local", "mark", "mark", at=1),
    )  # fmt: skip
    assert await bench.open_places() == {
        1: "q:default", 2: "delayed:step", 3: "delayed:timer", 4: "wait", 5: "outbox",
    }  # fmt: skip
    assert await bench.store.instances.read(A, "values") == {"seen": b"1"}
    assert [(q.seq, q.attempt, q.target) for q in await bench.queued()] == [(1, 1, "f")]
    assert [(m.what, m.seq) for m in await bench.messages()] == [("create", "5")]


async def test_a_commit_that_leaves_nothing_to_do_takes_the_ready_entry_away(bench: Bench) -> None:
    await bench.create()
    turned = await bench.commit([wait()])
    assert not turned.more
    assert await bench.ready() == []


async def test_a_fact_told_during_the_turn_keeps_the_wake_up(bench: Bench) -> None:
    generation = await bench.create()
    await bench.told()
    turned = await bench.commit([wait()], reached=generation)
    assert turned.more
    assert await bench.ready() == [A]


@pytest.mark.parametrize("what", ["base", "reached", "canceled", "stopped"])
async def test_a_turn_on_an_outdated_past_is_refused_and_changes_nothing(bench: Bench, what: str) -> None:
    generation = await bench.started(wait())
    await bench.told(nonce=3)
    given: dict[str, Any] = {"generation": generation, "base": generation, "reached": "2-3"}
    if what == "canceled":
        await bench.store.instances.cancel(A, payload=b"")
    elif what == "stopped":
        await bench.store.turns.stop(A, generation=generation, base="", reason=b"", fingerprint="")
    else:
        given[what] = "2-4" if what == "reached" else "1-4"
    with pytest.raises((StaleTurn, Ended)):
        await bench.commit([step()], **given)
    assert "c2" not in await bench.journal()
    assert await bench.queued() == []


async def test_a_turn_of_an_earlier_life_is_refused(bench: Bench) -> None:
    await bench.create()
    await bench.ended()
    await bench.store.turns.restart(A)
    with pytest.raises(StaleGeneration):
        await bench.commit([step()], generation="1-1")


async def test_a_turn_whose_last_event_was_lost_by_the_server_is_refused(bench: Bench) -> None:
    """The turn fed 2-3; the server came back without it and was told another fact since."""
    generation = await bench.started(wait())
    await bench.told(nonce=4)
    await bench.told(nonce=5)
    with pytest.raises(StaleTurn):
        await bench.commit([step()], base=generation, reached="2-3")


async def test_a_turn_may_stop_before_the_last_event(bench: Bench) -> None:
    await bench.started(wait())
    two = await bench.told()
    await bench.told()
    assert (await bench.commit(reached=two)).more
    assert (await bench.record()).consumed == two


async def test_a_turn_never_goes_back(bench: Bench) -> None:
    generation = await bench.started(wait())
    two = await bench.told()
    await bench.commit()
    with pytest.raises(StaleTurn):
        await bench.commit(base=two, reached=generation)


async def test_a_commit_repeated_because_its_reply_was_lost_is_refused_and_its_work_is_done_once(bench: Bench) -> None:
    generation = await bench.create()
    given: dict[str, Any] = {"base": "0-0", "reached": generation, "token": "t"}
    await bench.commit([step()], **given)
    with pytest.raises(StaleTurn):
        await bench.commit([step()], **given)
    assert len(await bench.queued()) == 1


async def test_an_unknown_actor_has_no_turns(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.commit(base="0-0", reached="0-0", generation="1-1", address="wf/nobody")


async def test_eager_commands_are_held_by_the_caller_up_to_its_slots(bench: Bench) -> None:
    await bench.create()
    turned = await bench.commit([step(), step(), step()], eager=EAGER._replace(slots=2), token="t")
    assert turned.granted == (1, 2)
    assert await bench.open_places() == {1: "held", 2: "held", 3: "q:default"}
    assert [(held.seq, held.token) for held in await bench.store.steps.held_by("w1")] == [(1, "t"), (2, "t")]


async def test_eager_commands_are_only_of_queues_that_the_caller_serves(bench: Bench) -> None:
    await bench.create()
    assert (await bench.commit([step()], eager=EAGER._replace(queues=",gpu,default2,"))).granted == ()


async def test_nothing_is_eager_past_a_queue_in_which_others_have_waited(bench: Bench) -> None:
    await bench.started(step())
    bench.now += 2000
    await bench.create("wf/b")
    impatient = EAGER._replace(patience_ms=1000)
    assert (await bench.commit([step()], address="wf/b", eager=impatient)).granted == ()


async def test_an_eager_command_with_a_timeout_has_its_timeout_armed(bench: Bench) -> None:
    await bench.started(step(timeout_ms=100), eager=EAGER)
    assert await bench.open_places() == {1: "held:timed"}
    assert len(await bench.members("delayed")) == 1


async def test_what_a_decision_takes_back_leaves_every_place(bench: Bench) -> None:
    await bench.started(
        step(), step("later", due_ms=bench.now + 50), timer(bench.now + 60), wait(), child(), step("held"),
    )  # fmt: skip
    held = (await bench.queued())[1]
    await bench.store.steps.begin(held, worker="w1", token="t")
    await bench.told()
    await bench.commit([wait("other")], canceled=[1, 2, 3, "=4:2", 5, 6])
    assert await bench.open_places() == {7: "wait"}
    assert await bench.queued() == []
    assert await bench.members("held") + await bench.members("delayed") == []
    journal = await bench.journal()
    assert {journal[f"x{seq}"].split(b"|")[2] for seq in (1, 2, 3, 5, 6)} == {b"canceled"}
    assert journal["x4"].endswith(b"|answered|2")
    assert [(m.what, m.payload.split(b"\n")[1:]) for m in await bench.messages()][1:] == [("cancel", [b"0", b"opts"])]


async def test_an_outcome_that_is_recorded_wins_over_taking_it_back(bench: Bench) -> None:
    await bench.started(step(), wait())
    await bench.complete((await bench.begun()).held)
    await bench.commit(canceled=[1])
    assert "x1" not in await bench.journal()


async def test_what_one_turn_asks_for_and_takes_back_is_never_placed(bench: Bench) -> None:
    await bench.create()
    await bench.commit([step(), wait("at once"), wait()], canceled=[1, "=2"])
    assert await bench.open_places() == {3: "wait"}


async def test_parking_deletes_the_mailbox(bench: Bench) -> None:
    await bench.create()
    await bench.commit([timer(bench.now + 10**6)], park=True)
    assert await bench.exists() == {"record", "journal", "open"}


async def test_parking_with_news_waiting_keeps_the_mailbox(bench: Bench) -> None:
    generation = await bench.create()
    await bench.told()
    await bench.commit([wait()], park=True, reached=generation)
    assert "events" in await bench.exists()


async def test_the_mailbox_keeps_the_last_64_consumed_events_however_many_a_turn_takes(bench: Bench) -> None:
    await bench.started(wait())
    bench.space.checking = False
    for _ in range(29):
        for _ in range(5):
            await bench.told()
        await bench.commit()
    length = await bench.space.send(bench.tag, "XLEN", keys.actor(bench.tag, A, "events"))
    assert isinstance(length, int)
    assert 64 <= length < 64 + 32


async def test_events_that_are_not_consumed_are_never_trimmed(bench: Bench) -> None:
    generation = await bench.started(wait())
    bench.space.checking = False
    events = [await bench.told() for _ in range(150)]
    await bench.commit(base=generation, reached=events[70])
    fetched = await bench.store.turns.fetch(A, generation=generation, fed=events[70])
    assert fetched.events is not None
    assert fetched.events[0].id == events[71]
