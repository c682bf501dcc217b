from __future__ import annotations

from typing import cast

import pytest

from kernel.decision import End
from kernel.refusals import Ended, Gone, NotFound, NotOwner, Running
from kernel.store.steps import Held
from kernel.store.timers import SILENT_MS
from tests.store.bench import A, Bench, child, step, timer, value, wait


async def sent_all(bench: Bench) -> None:
    for message in await bench.messages():
        assert await bench.store.outbox.sent(message)


async def test_a_message_is_counted_until_it_is_answered_for(bench: Bench) -> None:
    await bench.started(child())
    (message,) = await bench.messages()
    assert await bench.store.outbox.sent(message)
    assert not await bench.store.outbox.sent(message)
    assert await bench.open_places() == {1: "sent"}
    assert (await bench.store.instances.record(A))["undelivered"] == b"0"


async def test_cleanup_waits_for_the_last_message(bench: Bench) -> None:
    await bench.create(fields={"on_complete": "call"}, message="m1")
    await bench.ended()
    assert not await bench.store.instances.cleanup(A)
    assert not await bench.store.instances.cleanup(A)
    await sent_all(bench)
    assert [message.what for message in await bench.messages()] == ["cleanup"]  # what was called on its completion
    await sent_all(bench)
    assert await bench.exists() == {"record"}
    with pytest.raises(Gone):
        await bench.store.instances.cleanup(A)


async def test_cleanup_leaves_a_tombstone_for_an_hour_and_nothing_else(bench: Bench) -> None:
    await bench.create(retention_ms=5, message="m1")
    await bench.ended()
    assert await bench.store.instances.cleanup(A)
    assert await bench.store.instances.record(A) == {"status": b"gone", "message": b"m1"}
    left = await bench.space.send(bench.tag, "PTTL", f"{bench.tag}:wf:a")
    assert isinstance(left, int)
    assert 3_590_000 < left <= 3_600_000
    assert await bench.members("expiry") == []


async def test_what_has_not_ended_is_not_cleaned_up(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.store.instances.cleanup(A)
    await bench.started(wait())
    with pytest.raises(Running):
        await bench.store.instances.cleanup(A)


async def test_what_is_kept_longer_is_not_expired(bench: Bench) -> None:
    await bench.create(retention_ms=1000)
    await bench.ended()
    with pytest.raises(Running):
        await bench.store.instances.cleanup(A, only_if_due=True)
    bench.now += 1000
    assert await bench.store.instances.cleanup(A, only_if_due=True)


async def test_children_are_told_before_their_parent_goes(bench: Bench) -> None:
    await bench.create()
    await bench.commit([child("one"), wait(), child("two")])
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
        await bench.complete(Held(A, message.generation, int(message.seq), 1, "", message.token))
    await bench.ended()
    assert not await bench.store.instances.cleanup(A)
    messages = await bench.messages()
    assert [(m.what, m.seq, m.payload.split(b"\n")[1:]) for m in messages] == [
        ("cleanup", "1", [b"0", b"opts"]), ("cleanup", "3", [b"0", b"opts"]),
    ]  # fmt: skip
    await sent_all(bench)
    assert await bench.exists() == {"record"}


async def test_hundreds_of_children_are_told_bit_by_bit(bench: Bench) -> None:
    await bench.create()
    await bench.commit([child() for _ in range(200)])
    bench.space.checking = False
    for message in await bench.messages():
        await bench.store.outbox.sent(message)
        await bench.complete(Held(A, message.generation, int(message.seq), 1, "", message.token))
    bench.space.checking = True
    await bench.commit([child() for _ in range(50)])
    await bench.store.instances.cancel(A, payload=b"")
    bench.space.checking = False
    await sent_all(bench)
    bench.space.checking = True
    assert not await bench.store.instances.cleanup(A)
    assert len(await bench.messages()) == 200
    await bench.promote()
    assert len(await bench.messages()) == 250
    bench.space.checking = False
    await sent_all(bench)
    assert await bench.exists() == {"record"}


async def test_an_actor_with_open_commands_to_clear_up_goes_when_they_are(bench: Bench) -> None:
    await bench.create()
    await bench.commit([wait() for _ in range(150)])
    await bench.store.instances.cancel(A, payload=b"")
    assert not await bench.store.instances.cleanup(A)
    await bench.promote()
    assert await bench.exists() == {"record"}
    assert await bench.members("delayed") == []


async def test_a_cancel_that_overtakes_the_start_leaves_a_tombstone_for_it(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.store.instances.cancel(A, payload=b"", tombstone_for="m1")
    with pytest.raises(Gone):
        await bench.create(message="m1")
    await bench.create(message="m2")


async def test_a_message_neither_cancels_nor_cleans_up_an_actor_that_another_one_started(bench: Bench) -> None:
    await bench.create(message="m1")
    with pytest.raises(NotOwner):
        await bench.store.instances.cancel(A, payload=b"", tombstone_for="m2")
    await bench.store.instances.cancel(A, payload=b"", tombstone_for="m1")
    with pytest.raises(NotOwner):
        await bench.store.instances.cleanup(A, message="m2")
    assert await bench.store.instances.cleanup(A, message="m1")


async def test_an_ended_actor_is_not_canceled_by_a_message_again(bench: Bench) -> None:
    await bench.create(message="m1")
    await bench.ended()
    with pytest.raises(Ended):
        await bench.store.instances.cancel(A, payload=b"", tombstone_for="m1")


async def test_a_message_without_news_is_sent_again_after_a_minute(bench: Bench) -> None:
    await bench.started(child(), wait())
    await sent_all(bench)
    bench.now += 59_999
    assert await bench.store.timers.reconcile(A) == (0, 0, [])
    bench.now += 1
    assert await bench.store.timers.reconcile(A) == (1, 0, [])
    assert [(m.what, m.seq) for m in await bench.messages()] == [("create", "1")]
    assert await bench.store.timers.reconcile(A) == (0, 0, [])


async def test_commands_whose_place_is_gone_are_put_back(bench: Bench) -> None:
    """It should never be so; a person may have deleted a key by hand."""
    await bench.started(step(), timer(bench.now + 5), step("held"), step("once", at_most_once=True), child(), wait())
    for _ in range(3):
        await bench.begun()
    bench.space.checking = False
    await bench.store.steps.release((await bench.store.steps.held_by("w1"))[0], nonce=1, delay_ms=0, unknown=b"")
    for name in ("q:default", "delayed", "held", "outbox"):
        await bench.space.send(bench.tag, "DEL", f"{bench.tag}:{name}")
    await bench.space.send(bench.tag, "HSET", f"{bench.tag}:wf:a", "undelivered", 0)
    assert await bench.store.timers.reconcile(A) == (0, 5, [])
    await bench.space.check("healing")


async def reconcile_once(bench: Bench, cursor: str) -> tuple[int, str]:
    """Make one call; return how many commands were put back, and where to go on."""
    reply = await bench.space.actor_call("reconcile", A, bench.space.clock, A, cursor, SILENT_MS)
    _, healed, following, *_ = cast("tuple[int, int, bytes]", reply)
    return healed, following.decode()


@pytest.mark.parametrize("grows", [False, True])
async def test_a_call_puts_no_more_back_than_its_header_says_and_the_next_goes_on(bench: Bench, *, grows: bool) -> None:
    """Redis hands out a small table whole; 600 make a large one, which it hands out by pages."""
    await bench.create()
    await bench.commit([timer(bench.now + 5) for _ in range(150)])
    await bench.commit([timer(bench.now + 5) for _ in range(150)])
    bench.space.checking = False
    await bench.space.send(bench.tag, "DEL", f"{bench.tag}:delayed")
    counts: list[int] = []
    cursor = ""
    while cursor != "0":
        healed, cursor = await reconcile_once(bench, cursor or "0")
        counts.append(healed)
        if grows and len(counts) == 1:
            for _ in range(3):
                await bench.commit([timer(bench.now + 5) for _ in range(100)])
    assert sum(counts) == 300
    assert len(await bench.members("delayed")) == 300 + 300 * grows
    assert max(counts) <= 100 + 10 * grows
    await bench.space.check("healing")


async def test_ends_that_are_due_at_once_take_no_more_back_in_one_call_than_its_header_says(bench: Bench) -> None:
    actors = [f"wf/{name}" for name in "abcde"]
    for address in actors:
        await bench.create(address, timeout_ms=1000)
        await bench.commit([wait() for _ in range(60)], address=address)
    ended: list[int] = []
    for _ in range(3):
        await bench.promote(1000)
        statuses = [(await bench.store.instances.record(address))["status"] for address in actors]
        ended.append(statuses.count(b"failed"))
    assert ended == [2, 4, 5]


async def test_children_are_told_to_go_only_when_what_starts_and_cancels_them_has_left(bench: Bench) -> None:
    await bench.started(child())
    await bench.store.instances.cancel(A, payload=b"")
    assert not await bench.store.instances.cleanup(A)
    assert [message.what for message in await bench.messages()] == ["create", "cancel"]
    await sent_all(bench)
    assert [message.what for message in await bench.messages()] == ["cleanup"]
    await sent_all(bench)
    assert await bench.exists() == {"record"}


async def test_each_start_that_was_canceled_before_it_arrived_is_refused(bench: Bench) -> None:
    """An id that people choose may stand for several starts."""
    with pytest.raises(NotFound):
        await bench.store.instances.cancel(A, payload=b"", tombstone_for="m1")
    for _ in range(2):
        with pytest.raises(Gone):
            await bench.store.instances.cancel(A, payload=b"", tombstone_for="m2")
    for message in ("m1", "m2"):
        with pytest.raises(Gone):
            await bench.create(message=message)
    await bench.create(message="m3")


async def test_one_that_runs_can_be_told_to_go_at_its_end(bench: Bench) -> None:
    await bench.create(message="m1", retention_ms=5000)
    with pytest.raises(NotOwner):
        await bench.store.instances.cleanup(A, message="m2", when_ended=True)
    assert not await bench.store.instances.cleanup(A, message="m1", when_ended=True)
    await bench.ended()
    assert await bench.store.instances.expired(bench.tag, now_ms=bench.now) == [A]
    assert await bench.store.instances.cleanup(A, only_if_due=True)


async def test_a_detached_child_starts_even_if_its_parent_ends_by_the_same_turn(bench: Bench) -> None:
    await bench.create()
    free = child("free")._replace(detached=True)
    await bench.commit([free, child("other"), value("seen", b"1")], end=End("completed", b""))
    (message,) = await bench.messages()
    assert (message.what, message.seq, message.payload.endswith(b"argsopts")) == ("create", "1", True)
    await sent_all(bench)
    assert await bench.store.instances.cleanup(A)


async def test_an_earlier_message_about_a_command_is_found_until_it_has_left(bench: Bench) -> None:
    await bench.started(child(), child())
    first, second = await bench.messages()
    outbox = bench.store.outbox
    assert await outbox.has_earlier(second, what="create", seq="1", token=first.token)
    assert not await outbox.has_earlier(second, what="create", seq="2", token=first.token)
    assert not await outbox.has_earlier(first, what="create", seq="1", token=first.token)
    await outbox.sent(first)
    assert not await outbox.has_earlier(second, what="create", seq="1", token=first.token)
