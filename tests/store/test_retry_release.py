from __future__ import annotations

import pytest

from kernel.refusals import NotOwner, Obsolete
from kernel.store.journal import read_outcome
from tests.store.bench import A, Bench, step


async def test_a_retry_waits_for_its_delay_and_is_another_attempt(bench: Bench) -> None:
    await bench.started(step(timeout_ms=500))
    held = (await bench.begun()).held
    await bench.store.steps.retry(held, error=b"oops", delay_ms=100)
    assert await bench.open_places() == {1: "retries"}
    assert await bench.promote(99) == 0
    assert await bench.promote(1) == 1
    assert (await bench.begun()).held.attempt == 2
    assert (await bench.journal())["a1.1"].endswith(b"\noops")


async def test_a_retry_repeated_because_its_reply_was_lost_counts_once(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.store.steps.retry(held, error=b"oops", delay_ms=0)
    with pytest.raises(Obsolete):
        await bench.store.steps.retry(held, error=b"oops", delay_ms=0)
    assert [queued.attempt for queued in await bench.queued()] == [2]


async def test_a_step_given_back_goes_to_the_end_of_its_queue_as_the_same_attempt(bench: Bench) -> None:
    await bench.started(step(), step("g"))
    held = (await bench.begun()).held
    await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"")
    assert [(queued.seq, queued.attempt, queued.crashes) for queued in await bench.queued()] == [(2, 1, 0), (1, 1, 0)]


async def test_a_step_given_back_twice_is_queued_once(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    for _ in range(2):
        await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"")
    assert len(await bench.queued()) == 1


async def test_a_step_of_unknown_code_comes_back_after_a_delay(bench: Bench) -> None:
    await bench.started(step())
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=1000)
    assert await bench.open_places() == {1: "delayed:release"}
    assert await bench.queued() == []
    await bench.promote(1000)
    assert await bench.open_places() == {1: "q:default"}


async def test_declining_an_entry_that_somebody_else_has_begun_drops_the_entry_alone(bench: Bench) -> None:
    await bench.started(step())
    queued = (await bench.queued())[0]
    held = (await bench.begun()).held
    await bench.store.steps.decline(queued, delay_ms=0)
    assert await bench.store.steps.held_by("w1") == [held]
    assert await bench.queued() == []


async def test_an_at_most_once_step_that_had_begun_is_not_given_back_its_outcome_is_unknown(bench: Bench) -> None:
    await bench.started(step(at_most_once=True))
    held = (await bench.begun()).held
    for _ in range(2):
        await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"unknown")
    outcome = read_outcome((await bench.journal())["r1"])
    assert (outcome.status, outcome.payload) == ("failed", b"unknown")
    assert await bench.queued() == []


async def test_an_at_most_once_step_that_has_not_begun_is_given_back(bench: Bench) -> None:
    await bench.started(step(at_most_once=True))
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=0)
    assert len(await bench.queued()) == 1


async def test_a_former_holder_gives_nothing_back(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun("w1")).held
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    new = (await bench.begun("w2")).held
    await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"")
    with pytest.raises(NotOwner):
        await bench.store.steps.retry(held, error=b"", delay_ms=0)
    assert await bench.store.steps.held_by("w2") == [new]


async def test_nothing_of_an_ended_actor_is_given_back(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"")
    assert await bench.queued() == []
