from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.errors import ActorDamaged
from kernel.refusals import Gone, NotFound, StaleGeneration
from kernel.store import keys
from tests.store.bench import A, Bench, step, timer, wait

if TYPE_CHECKING:
    from collections.abc import Sequence


async def test_it_returns_what_follows_the_cached_event_without_a_gap(bench: Bench) -> None:
    generation = await bench.started(wait())
    one, two = await bench.told(), await bench.told()
    fetched = await bench.store.turns.fetch(A, generation=generation, fed=generation)
    assert fetched.events is not None
    assert [event.id for event in fetched.events] == [one, two]


async def test_it_returns_at_most_a_hundred_events_and_the_rest_afterwards(bench: Bench) -> None:
    generation = await bench.started(wait())
    bench.space.checking = False
    for _ in range(130):
        await bench.told()
    first = (await bench.store.turns.fetch(A, generation=generation, fed=generation)).events
    assert first is not None
    assert len(first) == 100
    rest = (await bench.store.turns.fetch(A, generation=generation, fed=first[-1].id)).events
    assert rest is not None
    assert [event.number for event in rest] == list(range(102, 132))


async def test_an_up_to_date_cache_gets_nothing(bench: Bench) -> None:
    generation = await bench.started(wait())
    assert (await bench.store.turns.fetch(A, generation=generation, fed=generation)).events == []


async def test_a_deleted_mailbox_is_a_gap_to_a_cache_that_has_not_seen_all_of_it(bench: Bench) -> None:
    generation = await bench.started(wait(), timer(bench.now + 10**6))
    consumed = await bench.told()
    await bench.commit(park=True)
    assert "events" not in await bench.exists()
    news = await bench.told()
    assert (await bench.store.turns.fetch(A, generation=generation, fed=generation)).events is None
    known = (await bench.store.turns.fetch(A, generation=generation, fed=consumed)).events
    assert known is not None
    assert [event.id for event in known] == [news]


async def test_a_trimmed_mailbox_is_a_gap(bench: Bench) -> None:
    generation = await bench.started(wait())
    bench.space.checking = False
    for _ in range(110):
        await bench.told()
        await bench.commit()
    assert (await bench.store.turns.fetch(A, generation=generation, fed=generation)).events is None


async def test_a_cache_of_a_history_that_was_lost_is_not_continued(bench: Bench) -> None:
    """A server that lost writes has another event under the cached one's number."""
    generation = await bench.started(wait())
    await bench.told(nonce=500)
    await bench.commit()
    await bench.told()
    for nonce in (400, 600):
        assert (await bench.store.turns.fetch(A, generation=generation, fed=f"2-{nonce}")).events is None


async def test_a_cache_of_another_generation_is_a_gap(bench: Bench) -> None:
    generation = await bench.create()
    assert (await bench.store.turns.fetch(A, generation="1-1", fed="0-0")).events is None
    assert (await bench.store.turns.fetch(A, generation=generation, fed="0-0")).events


async def test_an_unknown_and_a_deleted_actor_are_told_apart(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.record()
    await bench.create()
    await bench.ended()
    await bench.store.instances.cleanup(A)
    with pytest.raises(Gone):
        await bench.record()


async def test_a_history_of_what_was_deleted_meanwhile_is_refused(bench: Bench) -> None:
    await bench.started(wait())
    record = (await bench.store.turns.fetch(A, generation="", fed="0-0")).record
    await bench.store.instances.cancel(A, payload=b"")
    await bench.store.instances.cleanup(A)
    with pytest.raises(StaleGeneration):
        await bench.store.turns.history(A, record)


async def test_a_history_of_which_the_server_lost_a_part_is_refused(bench: Bench) -> None:
    await bench.started(wait())
    record = (await bench.store.turns.fetch(A, generation="", fed="0-0")).record
    more = record._replace(commands=record.commands + 1)
    with pytest.raises(StaleGeneration):
        await bench.store.turns.history(A, more)


@pytest.mark.parametrize("field", ["c1", "r1", "e3"], ids=["a_command", "an_outcome", "a_fact"])
async def test_a_history_that_was_lost_and_written_again_while_it_was_read_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    await bench.started(step())
    await bench.complete((await bench.begun()).held)
    await bench.told()
    assert field in await bench.journal()
    record = (await bench.store.turns.fetch(A, generation="", fed="0-0")).record
    read = bench.store.turns._values

    async def read_too_early(tag: str, journal: str, fields: Sequence[str]) -> dict[str, bytes]:
        found = await read(tag, journal, fields)
        return {name: value for name, value in found.items() if name != field}

    monkeypatch.setattr(bench.store.turns, "_values", read_too_early)
    with pytest.raises(StaleGeneration):
        await bench.store.turns.history(A, record)


@pytest.mark.parametrize(
    ("field", "named"), [("c1", "c1"), ("r1", "event 2"), ("e3", "event 3")], ids=["a_command", "an_outcome", "a_fact"]
)
async def test_a_history_that_stays_incomplete_is_damaged(bench: Bench, field: str, named: str) -> None:
    await bench.started(step())
    await bench.complete((await bench.begun()).held)
    await bench.told()
    record = (await bench.store.turns.fetch(A, generation="", fed="0-0")).record
    await bench.space.send(bench.tag, "HDEL", keys.actor(bench.tag, A, "journal"), field)
    with pytest.raises(ActorDamaged, match=f"its journal lacks {named}$"):
        await bench.store.turns.history(A, record)


async def test_a_history_during_whose_reading_a_connection_broke_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.started(wait())
    record = (await bench.store.turns.fetch(A, generation="", fed="0-0")).record
    read = bench.store.turns._values

    async def read_and_break(tag: str, journal: str, fields: Sequence[str]) -> dict[str, bytes]:
        found = await read(tag, journal, fields)
        bench.space.link(tag).epoch += 1
        return found

    monkeypatch.setattr(bench.store.turns, "_values", read_and_break)
    with pytest.raises(StaleGeneration):
        await bench.store.turns.history(A, record)
