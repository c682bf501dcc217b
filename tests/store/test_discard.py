"""discard: deletes an actor whatever its keys hold, tells who waits for it, and leaves a tombstone."""

from __future__ import annotations

from typing import cast

import pytest

from kernel import Discarded
from kernel.refusals import Gone, StaleGeneration
from kernel.store import keys
from kernel.store.snapshot import pairs
from tests.store.bench import EAGER, A, Bench, child, step, timer

WAITER = "wf/boss|1-1|000003|t"


async def fields_of(bench: Bench, part: str = "") -> dict[str, str]:
    reply = await bench.space.send(bench.tag, "HGETALL", keys.actor(bench.tag, A, part))
    return pairs(reply)


async def messages(bench: Bench) -> list[tuple[str, str]]:
    rows = await bench.space.send(bench.tag, "XRANGE", keys.shared(bench.tag, "outbox"), "-", "+")
    found = [pairs(fields) for _, fields in cast("list[tuple[bytes, list[bytes]]]", rows)]
    return [(one["w"], one["to"]) for one in found]


async def discard(bench: Bench, *, completes: bool = False) -> Discarded:
    """Discard it; between its two halves the audit would find what the second takes away."""
    bench.space.checking = False
    return await bench.store.discarding.discard(A, unknown=b"unknown", completes=completes)


async def test_nothing_but_a_tombstone_and_messages_is_left(bench: Bench) -> None:
    await bench.started(step(), timer(bench.now + 10**6), child(), eager=EAGER, fields={"parent": WAITER})

    found = await discard(bench)

    assert found.told == 3
    assert {"record", "journal", "open"} <= set(found.parts)
    assert set(found.places) == {"held", "delayed", "index:flow:running", "outbox"}
    assert await messages(bench) == [("cancel", ""), ("cleanup", ""), ("outcome", "wf/boss")]
    assert (await fields_of(bench))["status"] == "gone"
    assert await fields_of(bench, "journal") == {}


async def test_the_start_that_it_stands_for_is_refused_afterwards(bench: Bench) -> None:
    await bench.create(message="wf/boss|3|t")

    await discard(bench)
    with pytest.raises(Gone):
        await bench.create(message="wf/boss|3|t")


async def test_the_second_time_there_is_nothing(bench: Bench) -> None:
    await bench.started(step())
    assert (await discard(bench)).parts
    again = await discard(bench)
    assert (again.parts, again.places, again.told) == ((), {}, 0)


async def test_who_was_told_at_its_end_is_not_told_again(bench: Bench) -> None:
    await bench.create(fields={"parent": WAITER})
    await bench.ended()
    before = await messages(bench)
    assert (await discard(bench, completes=True)).told == 0
    assert await messages(bench) == before


async def test_one_that_began_anew_since_the_look_is_let_live(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.create()

    async def seen_before(*_: str) -> bytes:
        return b"1-1"

    monkeypatch.setattr(bench.store.discarding, "_generation", seen_before)
    before = await fields_of(bench)
    with pytest.raises(StaleGeneration):
        await discard(bench)
    assert await fields_of(bench) == before
