"""Limits of waiting and of silence, priorities and inline steps, script by script."""

from __future__ import annotations

import pytest

from kernel.decision import Scheduling
from kernel.refusals import NotOwner, Obsolete
from kernel.store.journal import read_command, write_command
from kernel.store.turns import Eager
from tests.store.bench import EAGER, A, Bench, step

PATIENT = step(scheduling=Scheduling(wait_ms=500))
LIVELY = step(scheduling=Scheduling(silence_ms=500), timeout_ms=5000)


async def promoted(bench: Bench) -> list[tuple[str, str]]:
    """Move what is due; return why steps are late, and whose they are."""
    reply = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    return [(late.why, late.held.worker) for late in reply.timed_out]


@pytest.mark.parametrize("marks", [Scheduling(), Scheduling(1, 2, 3, inline=True), Scheduling(wait_ms=70)])
def test_what_a_step_s_scheduling_says_is_read_back_from_the_journal(marks: Scheduling) -> None:
    command = step(scheduling=marks, at_most_once=True)
    assert read_command(write_command(command, token="t", void=True)) == command


async def test_a_step_that_waits_too_long_is_told_until_somebody_decides(bench: Bench) -> None:
    await bench.started(PATIENT)
    bench.now += 499
    assert await promoted(bench) == []
    bench.now += 1
    assert await promoted(bench) == [("waiting", "")]
    assert await promoted(bench) == []
    bench.now += 5000
    assert await promoted(bench) == [("waiting", "")]


async def test_a_step_that_is_late_is_failed_unless_a_worker_was_quicker(bench: Bench) -> None:
    await bench.started(PATIENT, PATIENT)
    bench.now += 500
    reply = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    first, second = (late.held for late in reply.timed_out)
    begun = await bench.begun()
    assert begun.held.seq == first.seq
    with pytest.raises(NotOwner):
        await bench.complete(first)
    await bench.complete(second)
    assert await bench.queued() == []
    await bench.complete(begun.held)
    assert await bench.members("delayed") == []


async def test_a_step_that_was_given_back_unbegun_goes_on_waiting_and_one_that_was_begun_waits_anew(
    bench: Bench,
) -> None:
    await bench.started(PATIENT)
    bench.now += 300
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=100)
    bench.now += 100
    assert await promoted(bench) == []
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=0)
    held = (await bench.begun()).held
    assert await bench.members("delayed") == []
    await bench.store.steps.release(held, nonce=1, delay_ms=0, unknown=b"")
    bench.now += 499
    assert await promoted(bench) == []
    bench.now += 1
    assert await promoted(bench) == [("waiting", "")]


async def test_the_limit_holds_while_nobody_knows_the_code(bench: Bench) -> None:
    await bench.started(PATIENT)
    for _ in range(2):
        await bench.store.steps.decline((await bench.queued())[0], delay_ms=240)
        bench.now += 240
        assert await promoted(bench) == []
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=240)
    bench.now += 20
    assert await promoted(bench) == [("waiting", "")]
    reply = (await bench.store.steps.held_by(""), await bench.open_places())
    assert reply == ([], {1: "delayed:release:timed"})


async def test_a_delayed_step_and_a_retry_wait_from_when_they_are_due(bench: Bench) -> None:
    await bench.started(PATIENT._replace(due_ms=bench.now + 1000))
    bench.now += 1000
    assert await promoted(bench) == []
    held = (await bench.begun()).held
    await bench.store.steps.retry(held, error=b"oops", delay_ms=1000)
    assert len(await bench.members("delayed")) == 0
    bench.now += 1000
    assert await promoted(bench) == []
    bench.now += 500
    assert await promoted(bench) == [("waiting", "")]


@pytest.mark.parametrize("eager", [True, False])
async def test_a_silent_attempt_is_told_and_a_heartbeat_gives_it_more_time(bench: Bench, *, eager: bool) -> None:
    await bench.started(LIVELY, **({"eager": EAGER} if eager else {}))
    held = (await bench.store.steps.held_by("w1"))[0] if eager else (await bench.begun()).held
    bench.now += 400
    assert await bench.store.steps.beat(held, b"")
    bench.now += 400
    assert await promoted(bench) == []
    bench.now += 100
    assert await promoted(bench) == [("silent", held.worker)]
    await bench.store.steps.retry(held, error=b"silent", delay_ms=0)
    assert await bench.members("delayed") == []
    with pytest.raises(Obsolete):
        await bench.complete(held)


async def test_a_step_of_a_priority_waits_in_a_band_of_its_own(bench: Bench) -> None:
    await bench.started(step(), step("g", scheduling=Scheduling(priority=7)))
    assert [queued.target for queued in await bench.queued()] == ["f"]
    assert await bench.open_places() == {1: "q:default", 2: "q:default!7"}
    assert await bench.store.custody.bands() == {"default!7"}
    await bench.store.instances.cancel(A, payload=b"")
    assert await bench.space.send(bench.tag, "XLEN", f"{bench.tag}:q:default!7") == 0


async def test_an_eager_step_does_not_go_ahead_of_a_higher_one_that_has_waited(bench: Bench) -> None:
    await bench.started(step(scheduling=Scheduling(priority=7)))
    await bench.create("wf/b")
    for address, priority, queues, held in (
        ("wf/b", 0, "!,default,default!7,", "q:default"),
        ("wf/c", 8, "!,default,default!7,", "held"),
        ("wf/d", 0, ",default,", "q:default"),  # b waits since
    ):
        if address != "wf/b":
            await bench.create(address)
        bench.now += 1000
        command = step(scheduling=Scheduling(priority=priority))
        await bench.commit([command], address=address, eager=Eager("w1", 10, queues, 500))
        assert await bench.open_places(address) == {1: held}


async def test_an_inline_step_is_begun_by_who_commits_it_without_slot_and_queue(bench: Bench) -> None:
    inline = step(scheduling=Scheduling(inline=True))
    await bench.create()
    turned = await bench.commit([inline, step()], eager=Eager("w1", 0, ",other,", 0))
    assert turned.granted == (1,)
    assert await bench.open_places() == {1: "held", 2: "q:default"}


async def test_an_inline_step_that_nobody_may_begin_at_once_goes_through_its_queue(bench: Bench) -> None:
    await bench.started(step(scheduling=Scheduling(inline=True)))
    assert await bench.open_places() == {1: "q:default"}
