"""Permits of pools: asked for, granted, given back; script by script, each also a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.decision import Scheduling
from kernel.refusals import Obsolete
from kernel.store.journal import read_command, write_command
from kernel.store.pools import RECHECK_MS, Asking, Permit
from kernel.store.timers import SILENT_MS
from tests.store.bench import EAGER, A, Bench, step, wait
from tests.store.permits import tell_of_permit

if TYPE_CHECKING:
    from kernel.decision import Command
    from kernel.store.outbox import Message

POOL = "press"


def pooled(priority: int = 0, **more: object) -> Command:
    scheduling = Scheduling(priority=priority, pool=POOL)._replace(**more)  # type: ignore[arg-type]
    return step(scheduling=scheduling)


async def deliver(bench: Bench, message: Message) -> None:
    """Do what a courier does with one message, short of taking it out."""
    await tell_of_permit(bench.store.pools, message)


async def carry(bench: Bench, *, times: int = 1) -> list[str]:
    """Deliver messages, each so many times, until none is left; return what they were."""
    carried: list[str] = []
    while messages := await bench.messages():
        for message in messages:
            for _ in range(times):
                await deliver(bench, message)
            await bench.store.outbox.sent(message)
            carried.append(message.what)
    return carried


async def counts(bench: Bench) -> tuple[int, int]:
    """Return how many have a permit, and how many wait."""
    status = await bench.store.pools.status(POOL)
    return status.under_way, status.waiting


async def begun(bench: Bench, count: int, *, limit: int = 9) -> list[Permit]:
    """Let ``count`` steps of one actor ask, and deliver all; return what was granted."""
    await bench.store.pools.declare(POOL, limit)
    await bench.started(*(pooled() for _ in range(count)))
    await carry(bench)
    held = (await bench.keys()).pools[POOL].held
    return sorted(Permit.of(POOL, member) for member in held)


def test_what_a_journal_says_of_a_pool_is_read_back() -> None:
    command = step(scheduling=Scheduling(5, 6, 7, pool="a-b.c_1"), at_most_once=True)
    field = write_command(command, token="t", void=True)
    assert read_command(field) == command
    assert field.split(b"|")[3] == b"default@a-b.c_1"


async def test_a_step_of_a_pool_asks_before_it_goes_to_its_queue_however_free_its_worker_is(bench: Bench) -> None:
    await bench.started(pooled(), eager=EAGER)
    assert await bench.open_places() == {1: "pool:press"}
    assert [m.what for m in await bench.messages()] == ["acquire"]
    assert await bench.queued() == []


async def test_a_permit_lets_it_go_to_its_queue_and_comes_back_with_its_outcome(bench: Bench) -> None:
    (permit,) = await begun(bench, 1)
    assert await bench.open_places() == {1: f"q:default:{(await bench.queued())[0].entry}@press"}
    held = (await bench.begun()).held
    assert await bench.open_places() == {1: "held@press"}
    assert await counts(bench) == (1, 0)
    await bench.complete(held)
    assert [(m.what, m.token) for m in await bench.messages()] == [("free", permit.ask)]
    await carry(bench)
    assert await counts(bench) == (0, 0)


async def test_no_more_are_granted_than_the_limit_allows_and_the_next_follows_at_once(bench: Bench) -> None:
    await begun(bench, 4, limit=2)
    assert await counts(bench) == (2, 2)
    assert len(await bench.queued()) == 2
    await bench.complete((await bench.begun()).held)
    assert await carry(bench) == ["free", "grant"]
    assert await counts(bench) == (2, 1)
    assert len(await bench.queued()) == 2


async def test_the_higher_priority_gets_its_permit_first_and_else_whoever_asked_first(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 0)
    await bench.started(*(pooled(priority) for priority in (0, 5, 0, 9, 5)))
    await carry(bench)
    order: list[int] = []
    for limit in range(1, 6):
        before = (await bench.keys()).pools[POOL].held
        await bench.store.pools.resize(POOL, limit, declared=0)
        (new,) = (await bench.keys()).pools[POOL].held - before
        order.append(Permit.of(POOL, new).seq)
    assert order == [4, 2, 5, 1, 3]


async def test_nothing_is_granted_while_nobody_has_said_how_many(bench: Bench) -> None:
    await bench.started(pooled())
    await carry(bench)
    assert await bench.store.pools.status(POOL) == (None, 0, 1)
    assert await bench.store.pools.declare(POOL, 1) == 1
    assert await carry(bench) == ["grant"]


async def test_what_was_set_stays_until_the_code_declares_another_number(bench: Bench) -> None:
    pools = bench.store.pools
    assert await pools.declare(POOL, 3) == 3
    await pools.resize(POOL, 0, declared=3)
    assert await pools.declare(POOL, 3) == 0
    await pools.resize(POOL, 2, declared=8)  # by a service whose code is of another time
    assert await pools.declare(POOL, 3) == 2
    assert await pools.declare(POOL, 4) == 4


async def test_whoever_only_looks_declares_nothing_unless_nobody_has(bench: Bench) -> None:
    pools = bench.store.pools
    assert await pools.declare(POOL, 3, if_unknown=True) == 3
    assert await pools.declare(POOL, 4, if_unknown=True) == 3
    assert await pools.declare(POOL, 4) == 4


async def test_a_limit_that_is_raised_lets_hundreds_go(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 0)
    bench.space.checking = False
    await bench.create()
    await bench.commit([pooled() for _ in range(200)])
    await bench.commit([pooled() for _ in range(50)])
    messages = await bench.messages()
    await bench.store.pools.acquire([Asking(Permit.in_message(m), m.priority) for m in messages])
    await bench.store.pools.resize(POOL, 220, declared=0)
    assert await counts(bench) == (220, 30)
    await bench.store.pools.resize(POOL, 10, declared=0)
    assert await counts(bench) == (220, 30)


async def test_a_message_delivered_twice_changes_nothing(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 1)
    await bench.started(pooled(), pooled())
    for left in (1, 0):
        await carry(bench, times=2)
        assert await counts(bench) == (1, left)
        assert len(await bench.queued()) == 1
        await bench.complete((await bench.begun()).held)
    await carry(bench, times=2)
    assert await counts(bench) == (0, 0)


async def test_what_asks_after_it_was_canceled_gets_a_permit_and_gives_it_back(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 1)
    await bench.started(pooled(), wait())
    await bench.commit(canceled=[1])
    acquire, free = await bench.messages()
    await deliver(bench, free)
    await deliver(bench, acquire)
    assert await counts(bench) == (1, 0)
    await carry(bench)
    assert await counts(bench) == (0, 0)


@pytest.mark.parametrize("where", ["asked", "waiting", "granted", "queued", "held"])
async def test_the_end_of_its_actor_leaves_nothing_in_the_pool(bench: Bench, where: str) -> None:
    await bench.store.pools.declare(POOL, 0 if where == "waiting" else 1)
    await bench.started(pooled())
    if where != "asked":
        (message,) = await bench.messages()
        await deliver(bench, message)
        await bench.store.outbox.sent(message)
    if where in {"queued", "held"}:
        await carry(bench)
    if where == "held":
        await bench.begun()
    await bench.store.instances.cancel(A, payload=b"")
    assert not await bench.store.instances.cleanup(A)
    await carry(bench)
    assert await counts(bench) == (0, 0)
    assert await bench.exists() == {"record"}
    assert await bench.members("delayed") == []


async def test_a_failed_attempt_gives_its_permit_back_and_asks_anew_when_it_is_due(bench: Bench) -> None:
    (first,) = await begun(bench, 1)
    await bench.store.steps.retry((await bench.begun()).held, error=b"no", delay_ms=100)
    assert await bench.open_places() == {1: "retries"}
    await carry(bench)
    assert await counts(bench) == (0, 0)
    await bench.promote(100)
    assert await bench.open_places() == {1: "pool:press"}
    assert await carry(bench) == ["acquire", "grant"]
    (second,) = (await bench.keys()).pools[POOL].held
    assert (Permit.of(POOL, second).attempt, Permit.of(POOL, second).ask == first.ask) == (2, False)


async def test_a_step_that_is_to_wait_gives_its_permit_back_and_one_that_goes_on_at_once_keeps_it(bench: Bench) -> None:
    (permit,) = await begun(bench, 1)
    unknown = {"nonce": 1, "unknown": b""}
    await bench.store.steps.release((await bench.begun()).held, delay_ms=0, **unknown)  # type: ignore[arg-type]
    assert await bench.messages() == []
    assert (await bench.keys()).pools[POOL].held == {permit.member}
    await bench.store.steps.release((await bench.begun()).held, delay_ms=50, **unknown)  # type: ignore[arg-type]
    # The next ask may be delivered first: it is another one, so the first one's return does not take it away.
    await bench.promote(50)
    free, acquire = await bench.messages()
    await deliver(bench, acquire)
    await deliver(bench, free)
    await carry(bench)
    assert await counts(bench) == (1, 0)
    assert len(await bench.queued()) == 1


async def test_a_step_that_was_read_and_not_begun_keeps_its_permit_unless_it_is_to_wait(bench: Bench) -> None:
    await begun(bench, 1)
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=0)
    assert await bench.messages() == []
    assert len(await bench.queued()) == 1
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=10)
    assert await bench.open_places() == {1: "delayed:release"}
    await carry(bench)
    assert await counts(bench) == (0, 0)


@pytest.mark.parametrize("delay_ms", [0, 10])
async def test_so_does_one_that_may_not_wait_for_ever(bench: Bench, delay_ms: int) -> None:
    await bench.store.pools.declare(POOL, 1)
    await bench.started(pooled(wait_ms=500))
    await carry(bench)
    await bench.store.steps.decline((await bench.queued())[0], delay_ms=delay_ms)
    await carry(bench)
    assert await counts(bench) == (int(delay_ms == 0), 0)
    await bench.promote(delay_ms)
    await carry(bench)
    await bench.complete((await bench.begun()).held)
    assert [member for member in await bench.members("delayed") if not member.startswith("reconcile|")] == []


async def test_an_entry_that_its_step_no_longer_names_begins_nothing(bench: Bench) -> None:
    await begun(bench, 1)
    (before,) = await bench.queued()
    await bench.store.steps.decline(before, delay_ms=0)
    with pytest.raises(Obsolete):
        await bench.store.steps.begin(before, worker="w1", token="t")
    assert (await bench.begun()).held.seq == 1


async def test_who_asks_again_keeps_its_place(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 0)
    await bench.started(pooled(), pooled())
    first, second = await bench.messages()
    for message in (first, second, first):
        await deliver(bench, message)
    await bench.store.pools.resize(POOL, 1, declared=0)
    await carry(bench)
    assert [queued.seq for queued in await bench.queued()] == [1]


async def test_a_permit_of_an_earlier_ask_is_not_taken_for_a_later_one_s(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 0)
    await bench.started(pooled())
    (message,) = await bench.messages()
    permit = Permit.in_message(message)
    assert not await bench.store.pools.admit(permit._replace(ask="1-1"))
    assert not await bench.store.pools.admit(permit._replace(pool="other"))
    assert await bench.store.pools.admit(permit, only_look=True)
    assert await bench.open_places() == {1: "pool:press"}
    await carry(bench)


async def test_a_dead_worker_s_step_keeps_its_permit(bench: Bench) -> None:
    await begun(bench, 1)
    await bench.begun("dead")
    await bench.store.custody.requeue(bench.tag, "dead", convict_at=3, unknown=b"", died=b"")
    assert await bench.messages() == []
    assert await counts(bench) == (1, 0)
    await bench.complete((await bench.begun("alive")).held)
    await carry(bench)
    assert await counts(bench) == (0, 0)


async def test_a_step_that_kills_its_workers_gives_its_permit_back_at_last(bench: Bench) -> None:
    await begun(bench, 1)
    await bench.begun("dead")
    await bench.store.custody.requeue(bench.tag, "dead", convict_at=1, unknown=b"", died=b"died")
    assert await carry(bench) == ["free"]
    assert await counts(bench) == (0, 0)


async def test_a_limit_of_waiting_counts_the_wait_for_a_permit(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 0)
    await bench.started(pooled(wait_ms=500), pooled(wait_ms=500))
    await carry(bench)
    bench.now += 300
    await bench.store.pools.resize(POOL, 1, declared=0)
    await carry(bench)
    assert len(await bench.queued()) == 1
    bench.now += 199
    reply = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    assert reply.timed_out == []
    bench.now += 1
    reply = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    late = [one.held for one in reply.timed_out]
    assert [(held.seq, one.why) for held, one in zip(late, reply.timed_out, strict=True)] == [
        (1, "waiting"), (2, "waiting"),
    ]  # fmt: skip
    for held in late:
        await bench.complete(held, status="failed")
    await carry(bench)
    assert await counts(bench) == (0, 0)
    assert await bench.queued() == []


async def test_a_pooled_step_with_limits_has_them_all_while_it_runs(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 1)
    limits = Scheduling(wait_ms=500, silence_ms=300, priority=4, pool=POOL)
    await bench.started(step(scheduling=limits, timeout_ms=900))
    await carry(bench)
    (queued,) = await bench.queued("default!4")
    held = (await bench.store.steps.begin(queued, worker="w1", token="t")).held
    assert await bench.open_places() == {1: "held:timed:beats@press"}
    bench.now += 200
    assert await bench.store.steps.beat(held, b"")
    bench.now += 299
    assert (await bench.store.timers.promote(bench.tag, timeout_payload=b"")).timed_out == []
    bench.now += 1
    (silent,) = (await bench.store.timers.promote(bench.tag, timeout_payload=b"")).timed_out
    assert silent.why == "silent"


async def test_a_step_that_is_not_due_asks_when_it_is(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 1)
    await bench.started(pooled()._replace(due_ms=bench.now + 1000))
    assert await bench.messages() == []
    await bench.promote(1000)
    assert await carry(bench) == ["acquire", "grant"]


async def test_a_restart_asks_under_another_name(bench: Bench) -> None:
    (before,) = await begun(bench, 1)
    await bench.ended("failed")
    await carry(bench)
    await bench.store.turns.restart(A, from_seq=1)
    await bench.commit([pooled()])
    await carry(bench)
    (after,) = (await bench.keys()).pools[POOL].held
    assert Permit.of(POOL, after).generation != before.generation


async def test_beginning_anew_gives_permits_back(bench: Bench) -> None:
    await begun(bench, 2, limit=1)
    await bench.ended("continued")
    await carry(bench)
    assert await counts(bench) == (0, 0)


async def test_whoever_waits_for_long_asks_again(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 1)
    await bench.started(pooled(3))
    (message,) = await bench.messages()
    bench.space.checking = False
    await bench.store.outbox.sent(message)  # as if the pool's server had lost it
    reply = await bench.store.timers.promote(bench.tag, timeout_payload=b"")
    assert reply.to_reconcile == []
    bench.now += SILENT_MS
    assert (await bench.store.timers.promote(bench.tag, timeout_payload=b"")).to_reconcile == [A]
    again = await bench.store.timers.reconcile(A)
    assert again.asking == [Asking(Permit.in_message(message), 3)]
    assert len(await bench.members("delayed")) == 1  # it is looked after again
    await bench.store.pools.acquire(again.asking)
    bench.space.checking = True
    await carry(bench)
    assert len(await bench.queued("default!3")) == 1
    assert await bench.store.timers.reconcile(A) == (0, 0, [])
    assert await bench.members("delayed") == []  # nothing is left to look after


async def test_a_permit_that_nobody_wants_is_found_and_given_to_the_next(bench: Bench) -> None:
    await begun(bench, 2, limit=1)
    bench.space.checking = False
    stale = [Permit(POOL, "wf/lost", "1-1", number, 1, "1-0") for number in (1, 2)]
    await bench.store.pools.acquire([Asking(one, 9) for one in stale])
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
    await bench.complete((await bench.begun()).held)
    for message in await bench.messages():
        await deliver(bench, message)  # the first stale one gets the permit, and its message is lost
        await bench.store.outbox.sent(message)
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
    assert await counts(bench) == (1, 2)
    bench.now += RECHECK_MS - 1
    assert await bench.store.pools.recheck(POOL) == 1  # of those that wait some are looked at each time
    bench.now += 1
    assert await bench.store.pools.recheck(POOL) == 1
    await carry(bench)
    bench.space.checking = True
    assert await counts(bench) == (1, 0)
    assert len(await bench.queued()) == 1


async def test_a_permit_whose_message_was_lost_is_told_again(bench: Bench) -> None:
    await bench.store.pools.declare(POOL, 1)
    await bench.started(pooled())
    bench.space.checking = False
    for _ in range(2):  # the ask is delivered, what it grants is lost
        (message,) = await bench.messages()
        if message.what == "acquire":
            await deliver(bench, message)
        await bench.store.outbox.sent(message)
    assert await bench.queued() == []
    bench.now += RECHECK_MS
    assert await bench.store.pools.recheck(POOL) == 0
    (permit,) = (await bench.keys()).pools[POOL].held
    seen = await bench.space.send(bench.tag, "ZSCORE", f"{bench.tag}:pool.held:{POOL}", permit)
    assert seen == str(bench.now).encode()
    bench.space.checking = True
    assert len(await bench.queued()) == 1


async def test_the_permits_of_a_discarded_actor_come_back_when_its_pool_is_looked_after(bench: Bench) -> None:
    assert len(await begun(bench, 2, limit=2)) == 2
    bench.space.checking = False  # until then pool and actors do not agree
    await bench.store.discarding.discard(A, unknown=b"unknown", completes=False)
    assert await counts(bench) == (2, 0)
    bench.now += RECHECK_MS + 1
    assert await bench.store.pools.recheck(POOL) == 2
    assert await counts(bench) == (0, 0)
