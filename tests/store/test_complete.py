from __future__ import annotations

import pytest

from kernel.refusals import Conflict, Ended, Gone, NotFound, NotOwner, Obsolete, StaleGeneration
from kernel.store import keys
from kernel.store.journal import read_outcome
from kernel.store.steps import Held
from tests.store.bench import A, Bench, child, step, wait


async def test_an_outcome_becomes_the_next_event_and_wakes_the_actor(bench: Bench) -> None:
    generation = await bench.started(step())
    held = (await bench.begun()).held
    appended = await bench.complete(held, b"42")
    assert (appended.event, appended.before, appended.consumed) == ("2-7", generation, generation)
    outcome = read_outcome((await bench.journal())["r1"])
    assert (outcome.status, outcome.payload, outcome.worker) == ("ok", b"42", "w1")
    assert await bench.ready() == [A]
    assert await bench.open_places() == {}


async def test_an_outcome_is_recorded_once(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.complete(held, b"first")
    with pytest.raises(Obsolete):
        await bench.complete(held, b"second")
    assert (await bench.journal())["r1"].endswith(b"first")


async def test_a_zombie_is_refused_and_its_successor_is_not_disturbed(bench: Bench) -> None:
    await bench.started(step())
    zombie = (await bench.begun("w1")).held
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    successor = (await bench.begun("w2")).held
    with pytest.raises(NotOwner):
        await bench.complete(zombie, b"late")
    with pytest.raises(NotOwner):
        await bench.store.steps.retry(zombie, error=b"late", delay_ms=0)
    await bench.complete(successor, b"good")
    assert (await bench.journal())["r1"].endswith(b"good")


async def test_an_earlier_attempt_counts_no_more(bench: Bench) -> None:
    await bench.started(step())
    first = (await bench.begun()).held
    await bench.store.steps.retry(first, error=b"oops", delay_ms=0)
    with pytest.raises(Obsolete):
        await bench.complete(first)
    await bench.complete((await bench.begun()).held)


async def test_an_outcome_for_an_ended_actor_is_refused(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Ended):
        await bench.complete(held)
    await bench.store.instances.cleanup(A)
    with pytest.raises(Gone):
        await bench.complete(held)
    with pytest.raises(NotFound):
        await bench.complete(held._replace(address="wf/b"))


async def test_an_outcome_of_an_earlier_life_is_refused(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A)
    await bench.commit([step()])
    with pytest.raises(StaleGeneration):
        await bench.complete(held)


async def test_a_stopped_actor_takes_outcomes_without_being_woken(bench: Bench) -> None:
    generation = await bench.started(step())
    held = (await bench.begun()).held
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"", fingerprint="")
    await bench.complete(held)
    assert await bench.ready() == []


async def test_a_childs_result_is_taken_from_the_message_that_started_it(bench: Bench) -> None:
    generation = await bench.started(child())
    (message,) = await bench.messages()
    with pytest.raises(NotOwner):
        await bench.complete(Held(A, generation, 1, 1, "", "another"))
    await bench.complete(Held(A, generation, 1, 1, "", message.token))
    assert await bench.store.outbox.sent(message)


async def test_a_mutations_writes_are_there_exactly_when_its_success_is(bench: Bench) -> None:
    await bench.started(step(), wait())
    held = (await bench.begun()).held
    key = keys.shared(bench.tag, "app:n").encode()
    writes = [(b"INCR", key), (b"INCRBY", key, b"10")]
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        await exclusive.complete(held, nonce=1, at_ms=bench.now, payload=b"ok", broken=b"", writes=writes)
    assert await bench.space.send(bench.tag, "GET", key) == b"11"
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        with pytest.raises(Obsolete):
            await exclusive.complete(held, nonce=1, at_ms=bench.now, payload=b"ok", broken=b"", writes=writes)
    assert await bench.space.send(bench.tag, "GET", key) == b"11"


async def test_a_zombies_mutation_writes_nothing(bench: Bench) -> None:
    await bench.started(step())
    zombie = (await bench.begun("w1")).held
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    await bench.begun("w2")
    key = keys.shared(bench.tag, "app:n").encode()
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        with pytest.raises(NotOwner):
            await exclusive.complete(zombie, nonce=1, at_ms=bench.now, payload=b"", broken=b"", writes=[(b"INCR", key)])
    assert await bench.space.send(bench.tag, "EXISTS", key) == 0


async def test_a_mutation_whose_reading_has_changed_writes_nothing(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    key = keys.shared(bench.tag, "app:n")
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        await exclusive.watch([key.encode()])
        await bench.space.send(bench.tag, "SET", key, 5)
        with pytest.raises(Conflict):
            await exclusive.complete(
                held, nonce=1, at_ms=bench.now, payload=b"", broken=b"", writes=[(b"INCR", key.encode())]
            )
    assert await bench.space.send(bench.tag, "GET", key) == b"5"
    assert "r1" not in await bench.journal()


async def test_a_write_that_breaks_makes_the_outcome_a_failure_that_says_how_many_were_applied(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    key = keys.shared(bench.tag, "app:n").encode()
    writes = [(b"SET", key, b"text"), (b"INCR", key), (b"SET", key, b"never")]
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        appended = await exclusive.complete(
            held, nonce=1, at_ms=bench.now, payload=b"ok", broken=b"@APPLIED@ of 3", writes=writes
        )
    assert appended.event == "2-1"
    outcome = read_outcome((await bench.journal())["r1"])
    assert (outcome.status, outcome.payload) == ("failed", b"000000001 of 3")
    assert await bench.space.send(bench.tag, "GET", key) == b"text"
