from __future__ import annotations

from kernel.store import keys
from kernel.store.custody import Custody
from kernel.store.journal import read_outcome
from tests.store.bench import EAGER, A, Bench, step, wait


async def take_all(custody: Custody, worker: str = "w1") -> int:
    return await custody.take_all(worker, convict_at=3, unknown=b"unknown", died=b"died")


async def test_what_a_dead_worker_held_is_queued_again_with_a_crash_counted(bench: Bench) -> None:
    await bench.started(step(timeout_ms=99), step(), eager=EAGER)
    assert await take_all(bench.store.custody) == 2
    assert [(q.attempt, q.crashes) for q in await bench.queued()] == [(1, 1), (1, 1)]
    assert await bench.members("held") + await bench.members("delayed") == []
    assert await take_all(bench.store.custody) == 0


async def test_only_what_that_very_worker_held_is_taken(bench: Bench) -> None:
    await bench.started(step(), step())
    await bench.begun("w1")
    await bench.begun("w10")
    assert await take_all(bench.store.custody, "w1") == 1
    assert len(await bench.store.steps.held_by("w10")) == 1


async def test_an_at_most_once_step_is_not_run_again_its_outcome_is_unknown(bench: Bench) -> None:
    await bench.started(step(at_most_once=True), eager=EAGER)
    await take_all(bench.store.custody)
    assert read_outcome((await bench.journal())["r1"]).payload == b"unknown"
    assert await bench.ready() == [A]


async def test_a_step_that_kills_its_workers_is_convicted(bench: Bench) -> None:
    await bench.started(step())
    for crashes in range(3):
        assert (await bench.begun("w1")).crashes == crashes
        await take_all(bench.store.custody)
    assert read_outcome((await bench.journal())["r1"]).payload == b"died"
    assert await bench.space.send(bench.tag, "XLEN", f"{bench.tag}:dead") == 1


async def test_what_a_fenced_worker_begins_before_it_hears_of_it_is_no_crash(bench: Bench) -> None:
    await bench.started(step())
    await bench.begun("w1")
    fenced_at = bench.now
    for _ in range(4):
        custody = bench.store.custody
        await custody.requeue(bench.tag, "w1", convict_at=3, unknown=b"", died=b"died", until_ms=fenced_at)
        bench.now += 1
        await bench.begun("w1")
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"died", was_crash=False)
    assert [queued.crashes for queued in await bench.queued()] == [1]


async def test_a_retry_keeps_the_count_of_crashes(bench: Bench) -> None:
    await bench.started(step())
    await bench.begun("w1")
    await take_all(bench.store.custody)
    begun = await bench.begun("w2")
    await bench.store.steps.retry(begun.held, error=b"", delay_ms=0)
    assert (await bench.begun("w2")).crashes == 1


async def test_entries_of_a_dead_consumer_are_claimed_with_their_deliveries_counted(bench: Bench) -> None:
    await bench.create()
    ready = keys.shared(bench.tag, "ready")
    await bench.space.send(ready, "XREADGROUP", "GROUP", "dispatchers", "w1", "STREAMS", ready, ">")
    for deliveries, (dead, heir) in enumerate([("w1", "w2"), ("w2", "w3")], 2):
        (entry,) = await bench.store.custody.claim(ready, "dispatchers", dead=dead, me=heir)
        assert (entry.fields, entry.deliveries) == ([b"a", A.encode()], deliveries)
        assert await bench.store.custody.claim(ready, "dispatchers", dead=dead, me="w9") == []


async def test_claiming_forgets_entries_that_are_gone(bench: Bench) -> None:
    ready = keys.shared(bench.tag, "ready")
    bench.space.checking = False
    entry = await bench.space.send(ready, "XADD", ready, "*", "a", "wf/x")
    await bench.space.send(ready, "XREADGROUP", "GROUP", "dispatchers", "w1", "STREAMS", ready, ">")
    assert isinstance(entry, bytes)
    await bench.space.send(ready, "XDEL", ready, entry)
    bench.space.checking = True
    assert await bench.store.custody.claim(ready, "dispatchers", dead="w1", me="w2") == []
    assert await bench.store.custody.forget(ready, "dispatchers", "w1")
    assert await bench.store.custody.forget(ready, "dispatchers", "w2")


async def test_a_consumer_with_something_pending_is_not_forgotten(bench: Bench) -> None:
    await bench.create()
    ready = keys.shared(bench.tag, "ready")
    await bench.space.send(ready, "XREADGROUP", "GROUP", "dispatchers", "w1", "STREAMS", ready, ">")
    assert not await bench.store.custody.forget(ready, "dispatchers", "w1")
    await bench.commit([wait()])
    assert await bench.store.custody.forget(ready, "dispatchers", "w1")
    assert await bench.store.custody.consumers(ready, "dispatchers") == []


async def test_a_stream_that_does_not_exist_has_nobody_to_take_over_from(bench: Bench) -> None:
    stream = keys.queue(bench.tag, "none")
    assert await bench.store.custody.claim(stream, "workers", dead="w1", me="w2") == []
    assert await bench.store.custody.forget(stream, "workers", "w1")


async def test_a_fenced_worker_learns_it_by_its_heartbeat_and_does_not_come_back_by_it(bench: Bench) -> None:
    custody = bench.store.custody
    await custody.register("w1", "about")
    assert await custody.heartbeat("w1", 1)
    assert await custody.fence("w1", "1")
    assert not await custody.heartbeat("w1", 2)
    assert await custody.living() == []
    assert await custody.about() == {}


async def test_a_worker_that_has_beaten_since_is_not_fenced(bench: Bench) -> None:
    custody = bench.store.custody
    await custody.register("w1", "about")
    await custody.heartbeat("w1", 2)
    assert not await custody.fence("w1", "1")
    assert [beat.worker for beat in await custody.living()] == ["w1"]


async def test_fencing_twice_and_leaving_by_oneself_are_the_same(bench: Bench) -> None:
    custody = bench.store.custody
    await custody.register("w1", "about")
    assert await custody.fence("w1", "")
    assert await custody.fence("w1", "0")


async def test_those_who_hold_something_are_listed_once_each(bench: Bench) -> None:
    await bench.started(*(step() for _ in range(4)))
    for worker in ("w1", "w1", "w2", "w10"):
        await bench.begun(worker)
    assert await bench.store.custody.holders(bench.tag) == {"w1", "w2", "w10"}
