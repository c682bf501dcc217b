from __future__ import annotations

import pytest

from kernel.refusals import Obsolete
from tests.store.bench import EAGER, A, Bench, step, wait


async def test_a_command_leaves_its_queue_in_the_moment_in_which_it_is_held(bench: Bench) -> None:
    await bench.started(step())
    begun = await bench.begun("w1", "t")
    assert (begun.command.target, begun.command.arguments, begun.command.options) == ("f", b"args", b"opts")
    assert (begun.held.attempt, begun.crashes, begun.begun_ms, begun.details) == (1, 0, bench.now, b"")
    assert await bench.queued() == []
    assert await bench.open_places() == {1: "held"}


async def test_the_same_worker_asks_again_with_the_same_token_and_gets_the_same_answer(bench: Bench) -> None:
    await bench.started(step())
    queued = (await bench.queued())[0]
    first = await bench.store.steps.begin(queued, worker="w1", token="t")
    assert await bench.store.steps.begin(queued, worker="w1", token="t") == first


@pytest.mark.parametrize(("worker", "token"), [("w2", "t"), ("w1", "t2")])
async def test_an_entry_that_is_delivered_again_does_not_run_a_live_step_twice(
    bench: Bench, worker: str, token: str
) -> None:
    await bench.started(step())
    queued = (await bench.queued())[0]
    await bench.store.steps.begin(queued, worker="w1", token="t")
    with pytest.raises(Obsolete):
        await bench.store.steps.begin(queued, worker=worker, token=token)
    assert [held.worker for held in await bench.store.steps.held_by("w1")] == ["w1"]


async def test_an_entry_of_another_place_attempt_or_life_is_dropped(bench: Bench) -> None:
    await bench.started(step())
    old = (await bench.queued())[0]
    held = (await bench.begun()).held
    await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"")
    for queued in (old, old._replace(attempt=2), old._replace(generation="1-1"), old._replace(address="wf/b")):
        with pytest.raises(Obsolete):
            await bench.store.steps.begin(queued, worker="w1", token="t")
    assert len(await bench.queued()) == 1


async def test_a_step_of_an_ended_actor_does_not_begin(bench: Bench) -> None:
    await bench.started(step())
    queued = (await bench.queued())[0]
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Obsolete):
        await bench.store.steps.begin(queued, worker="w1", token="t")


async def test_a_step_of_a_stopped_actor_begins(bench: Bench) -> None:
    generation = await bench.started(step())
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"", fingerprint="")
    assert (await bench.begun()).command.target == "f"


async def test_a_step_with_a_timeout_has_it_armed_when_it_begins(bench: Bench) -> None:
    await bench.started(step(timeout_ms=50))
    assert await bench.members("delayed") == []
    held = (await bench.begun()).held
    assert len(await bench.members("delayed")) == 1
    await bench.complete(held)
    assert await bench.members("delayed") == []


async def test_only_the_holder_adopts_what_is_listed(bench: Bench) -> None:
    await bench.started(step(), eager=EAGER)
    (held,) = await bench.store.steps.held_by("w1")
    assert (await bench.store.steps.adopt(held)).command.target == "f"
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    with pytest.raises(Obsolete):
        await bench.store.steps.adopt(held)


async def test_nothing_is_adopted_after_the_end(bench: Bench) -> None:
    await bench.started(step(), eager=EAGER)
    (held,) = await bench.store.steps.held_by("w1")
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Obsolete):
        await bench.store.steps.adopt(held)


async def test_details_of_a_heartbeat_reach_the_next_attempt(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    assert await bench.store.steps.beat(held, b"row 7")
    assert await bench.store.steps.beat(held, b"")
    await bench.store.steps.retry(held, error=b"oops", delay_ms=0)
    assert (await bench.begun()).details == b"row 7"
    assert not await bench.store.steps.beat(held, b"row 9")


async def test_a_heartbeat_learns_that_the_step_is_no_longer_wanted(bench: Bench) -> None:
    await bench.started(step(), wait())
    held = (await bench.begun()).held
    await bench.told()
    await bench.commit(canceled=[1])
    assert not await bench.store.steps.beat(held, b"")


async def test_a_heartbeat_of_a_former_holder_leaves_nothing(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun("w1")).held
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    new = (await bench.begun("w2")).held
    assert not await bench.store.steps.beat(held, b"stale")
    await bench.store.steps.release(new, nonce=1, delay_ms=0, unknown=b"")
    assert (await bench.begun()).details == b""


async def test_a_step_of_an_ended_actor_that_is_not_cleared_up_yet_does_not_begin_complete_or_go_back(
    bench: Bench,
) -> None:
    await bench.started(*(step() for _ in range(150)), eager=EAGER._replace(slots=150))
    held = await bench.store.steps.held_by("w1")
    for one in held[:75]:
        await bench.store.steps.release(one, nonce=1, delay_ms=0, unknown=b"")
    await bench.store.instances.cancel(A, payload=b"")
    left = await bench.open_places()
    assert len(left) == 50
    for queued in await bench.queued():
        with pytest.raises(Obsolete):
            await bench.store.steps.begin(queued, worker="w1", token="t")
    for one in await bench.store.steps.held_by("w1"):
        with pytest.raises(Obsolete):
            await bench.store.steps.adopt(one)
        assert not await bench.store.steps.beat(one, b"")
    await bench.promote()
    assert await bench.exists() == {"record", "journal"}
