from __future__ import annotations

from kernel.refusals import Refused
from tests.store.bench import EAGER, A, Bench, step, timer, wait


async def test_a_timer_fires_when_it_is_due_and_wakes_its_actor(bench: Bench) -> None:
    await bench.started(timer(bench.now + 100))
    promoted = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    assert (promoted.moved, promoted.due_ms) == (0, bench.now + 100)
    assert await bench.promote(100) == 1
    assert (await bench.journal())["r1"].split(b"|")[2] == b"fired"
    assert await bench.ready() == [A]
    assert await bench.promote() == 0


async def test_timers_due_at_once_fire_in_the_order_asked_for(bench: Bench) -> None:
    await bench.started(*(timer(bench.now + 5) for _ in range(12)))
    await bench.promote(5)
    history = await bench.store.turns.history(A, await bench.record())
    assert [event.seq for event in history.events[1:]] == list(range(1, 13))


async def test_at_most_a_hundred_members_move_a_call(bench: Bench) -> None:
    await bench.started(*(timer(bench.now + 5) for _ in range(130)))
    assert [await bench.promote(5), await bench.promote(), await bench.promote()] == [100, 30, 0]


async def test_a_step_with_a_time_is_queued_when_it_is_due(bench: Bench) -> None:
    await bench.started(step(due_ms=bench.now + 10))
    await bench.promote(10)
    assert await bench.open_places() == {1: "q:default"}


async def test_an_attempt_that_takes_too_long_is_shown_to_whoever_decides_again_and_again_until_it_is(
    bench: Bench,
) -> None:
    await bench.started(step(timeout_ms=100), eager=EAGER)
    (held,) = await bench.store.steps.held_by("w1")
    bench.now += 100
    for _ in range(2):
        (late,) = (await bench.store.timers.promote(bench.tag, timeout_payload=b"")).timed_out
        assert (late.held, late.command.target) == (held, "f")
        assert (await bench.store.timers.promote(bench.tag, timeout_payload=b"")).timed_out == []
        bench.now += 5000
    await bench.store.steps.retry(held, error=b"timeout", delay_ms=0)
    assert await bench.members("delayed") == []


async def test_a_stopped_actor_still_has_its_timers_fire(bench: Bench) -> None:
    generation = await bench.started(timer(bench.now + 5))
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"", fingerprint="")
    await bench.promote(5)
    assert "r1" in await bench.journal()
    assert await bench.ready() == []


async def test_two_timekeepers_move_a_member_once(bench: Bench) -> None:
    await bench.started(timer(bench.now + 5), wait())
    assert await bench.promote(5) + await bench.promote() == 1
    assert (await bench.record()).appended.startswith("2-")


async def test_members_of_an_earlier_life_do_nothing(bench: Bench) -> None:
    await bench.started(timer(bench.now + 5))
    bench.space.checking = False
    (member,) = await bench.members("delayed")
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.turns.restart(A)
    await bench.commit([timer(bench.now + 5000)])
    await bench.space.send(bench.tag, "ZADD", f"{bench.tag}:delayed", bench.now, member)
    await bench.promote(5)
    assert "r1" not in await bench.journal()
    bench.space.checking = True
    await bench.told()


async def test_a_postponed_actor_comes_back(bench: Bench) -> None:
    await bench.create()
    entry = (await bench.record()).ready
    await bench.store.turns.postpone(A, entry, delay_ms=1000)
    assert await bench.ready() == []
    await bench.store.turns.postpone(A, entry, delay_ms=1000)
    await bench.promote(1000)
    assert await bench.ready() == [A]


async def test_a_postponed_actor_is_woken_early_by_news(bench: Bench) -> None:
    await bench.create()
    await bench.store.turns.postpone(A, (await bench.record()).ready, delay_ms=1000)
    await bench.told()
    assert await bench.ready() == [A]
    await bench.promote(1000)
    assert await bench.ready() == [A]


async def test_a_delay_that_holds_at_one_point_gives_way_to_another_elsewhere(bench: Bench) -> None:
    await bench.create()
    postpone = bench.store.turns.postpone
    assert await postpone(A, (await bench.record()).ready, delay_ms=1000, at="7-7", else_ms=10) == "0-0"
    await bench.promote(10)
    assert await bench.ready() == [A]
    assert await postpone(A, (await bench.record()).ready, delay_ms=1000, at="0-0", else_ms=10) == "0-0"
    await bench.promote(10)
    assert await bench.ready() == []
    assert await postpone(A, "0-1", delay_ms=1000) == ""


async def test_why_a_journal_cannot_be_read_is_kept_until_a_turn_is_committed(bench: Bench) -> None:
    await bench.create()
    for why in ("one\nkey", "another", "one key", "no codec", "too many"):
        await bench.store.turns.postpone(A, (await bench.record()).ready, delay_ms=0, why=why)
    field = (await bench.store.instances.record(A))["unread"]
    assert field == b"0-0|5\none key\nanother\nno codec"
    await bench.commit([wait()])
    assert "unread" not in await bench.store.instances.record(A)

    await bench.told()
    await bench.store.turns.postpone(A, (await bench.record()).ready, delay_ms=0, why="x" * 1000)
    assert (await bench.store.instances.record(A))["unread"] == (
        await bench.record()
    ).consumed.encode() + b"|1\n" + 300 * b"x"


async def test_an_entry_postponed_without_delay_goes_to_the_end(bench: Bench) -> None:
    await bench.create()
    await bench.create("wf/b")
    await bench.store.turns.postpone(A, (await bench.record()).ready, delay_ms=0)
    assert await bench.ready() == ["wf/b", A]


async def test_settling_takes_an_entry_away_only_if_nothing_is_left_to_do(bench: Bench) -> None:
    await bench.create()
    entry = (await bench.record()).ready
    assert await bench.store.turns.settle(A, entry)
    assert await bench.ready() == [A]
    await bench.commit([wait()])
    assert not await bench.store.turns.settle(A, entry)


async def test_a_ready_entry_that_the_record_does_not_name_is_dropped_alone(bench: Bench) -> None:
    await bench.create()
    bench.space.checking = False
    stray = await bench.space.send(bench.tag, "XADD", f"{bench.tag}:ready", "*", "a", A)
    assert isinstance(stray, bytes)
    bench.space.checking = True
    assert not await bench.store.turns.settle(A, stray.decode())
    assert await bench.ready() == [A]


async def test_a_stopped_actor_resumes_with_other_code_or_by_hand(bench: Bench) -> None:
    for fingerprint, resumes in (("same", False), ("other", True), ("", True)):
        address = f"wf/by {fingerprint}"
        generation = await bench.create(address)
        await bench.store.turns.stop(address, generation=generation, base="", reason=b"why", fingerprint="same")
        try:
            await bench.store.instances.resume(address, fingerprint=fingerprint)
        except Refused:
            assert not resumes
        else:
            assert resumes
            assert (await bench.record(address)).status == "running"


async def test_a_stop_decided_on_an_outdated_past_is_refused(bench: Bench) -> None:
    generation = await bench.started(wait())
    try:
        await bench.store.turns.stop(A, generation=generation, base="0-0", reason=b"", fingerprint="")
    except Refused:
        assert (await bench.record()).status == "running"
    else:
        raise AssertionError


async def test_a_cancel_request_survives_a_stop(bench: Bench) -> None:
    generation = await bench.started(wait())
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"", fingerprint="")
    await bench.told(kind="cancel_requested")
    await bench.store.instances.resume(A)
    assert (await bench.record()).status == "canceling"


async def test_postponing_an_entry_that_the_record_does_not_name_drops_it_alone(bench: Bench) -> None:
    await bench.create()
    bench.space.checking = False
    stray = await bench.space.send(bench.tag, "XADD", f"{bench.tag}:ready", "*", "a", A)
    assert isinstance(stray, bytes)
    bench.space.checking = True
    await bench.store.turns.postpone(A, stray.decode(), delay_ms=1000)
    assert await bench.ready() == [A]


async def test_a_timeout_or_a_timer_that_nobody_named_does_nothing(bench: Bench) -> None:
    """Neither should ever lie there; a person may have put back an old member by hand."""
    generation = await bench.started(step(timeout_ms=9), step(), eager=EAGER._replace(slots=1))
    bench.space.checking = False
    for member in (f"timeout|{generation}|000001|1|stale|{A}", f"timer|{generation}|000002|1||{A}"):
        await bench.space.send(bench.tag, "ZADD", f"{bench.tag}:delayed", bench.now, member)
    promoted = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    assert (promoted.moved, promoted.timed_out) == (2, [])
    assert "r2" not in await bench.journal()
    await bench.space.check("promoting strays")
