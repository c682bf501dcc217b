from __future__ import annotations

import pytest

from kernel.decision import End
from kernel.refusals import Ended, NotOwner, Obsolete
from kernel.store.steps import Advanced, Appended, Held
from tests.store.bench import EAGER, A, Bench, step, timer, wait


async def held_one(bench: Bench, *more: object) -> Held:
    await bench.started(step(), *more, eager=EAGER._replace(slots=1))  # type: ignore[arg-type]
    (held,) = await bench.store.steps.held_by("w1")
    return held


async def test_outcome_and_turn_are_recorded_together_and_the_next_command_is_held_at_once(bench: Bench) -> None:
    held = await held_one(bench)
    reply = await bench.advance(held, [step("g")], eager=EAGER, token="t2")
    assert reply == Advanced("2-77", (False, (2,)))  # type: ignore[arg-type]
    assert await bench.store.steps.held_by("w1") == [Held(A, held.generation, 2, 1, "w1", "t2")]
    record = await bench.record()
    assert (record.consumed, record.appended, record.commands) == ("2-77", "2-77", 2)
    assert await bench.ready() == []


async def test_with_somebody_in_between_only_the_outcome_is_recorded(bench: Bench) -> None:
    held = await held_one(bench)
    told = await bench.told()
    reply = await bench.advance(held, [step("g")], token="t2")
    assert isinstance(reply, Appended)
    assert (reply.event, reply.before) == ("3-77", told)
    assert (await bench.record()).commands == 1
    assert await bench.ready() == [A]


async def test_on_another_base_only_the_outcome_is_recorded(bench: Bench) -> None:
    held = await held_one(bench)
    assert isinstance(await bench.advance(held, [step("g")], base="1-1"), Appended)
    assert (await bench.record()).commands == 1


async def test_a_stopped_actor_takes_only_the_outcome(bench: Bench) -> None:
    held = await held_one(bench)
    await bench.store.turns.stop(A, generation=held.generation, base="", reason=b"", fingerprint="")
    assert isinstance(await bench.advance(held, [step("g")]), Appended)


async def test_a_call_repeated_because_its_reply_was_lost_changes_nothing(bench: Bench) -> None:
    held = await held_one(bench)
    await bench.advance(held, [step("g")], base=held.generation, token="t2")
    with pytest.raises(Obsolete):
        await bench.advance(held, [step("g")], base=held.generation, token="t2")
    assert (await bench.record()).commands == 2


async def test_a_former_holder_advances_nothing(bench: Bench) -> None:
    held = await held_one(bench)
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    with pytest.raises(NotOwner):
        await bench.advance(held, [step("g")])
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Ended):
        await bench.advance(held, [step("g")])


async def test_an_advance_ends_the_actor(bench: Bench) -> None:
    held = await held_one(bench, timer(bench.now + 50))
    await bench.advance(held, end=End("completed", b"out"), canceled=[2])
    assert await bench.store.instances.result(A) == b"completed|%d\nout" % bench.now
    assert await bench.exists() == {"record", "journal"}


async def test_an_advance_that_parks_deletes_the_mailbox(bench: Bench) -> None:
    held = await held_one(bench)
    await bench.advance(held, [wait()], park=True)
    assert await bench.exists() == {"record", "journal", "open"}
    news = await bench.told()
    fetched = await bench.store.turns.fetch(A, generation=held.generation, fed="2-77")
    assert fetched.events is not None
    assert [event.id for event in fetched.events] == [news]
