"""The doctor's scripts look once more: where all is well they do nothing, and they take nothing that somebody names."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from kernel.decision import Scheduling
from kernel.store import rounds
from kernel.store.audit import actor_violations
from kernel.store.mending import Mendable
from kernel.store.slices import read_steady
from kernel.store.snapshot import read_partition
from tests.store.bench import EAGER, A, Bench, child, step, timer, wait

if TYPE_CHECKING:
    from kernel.decision import Command

WHATS: tuple[Mendable, ...] = get_args(Mendable)
WAITING = Scheduling(5_000, 0, 0, False)
BEATING = Scheduling(0, 5_000, 0, False)


async def everything_open(bench: Bench) -> list[Command]:
    """Bring the actor into a state in which it has a command in each kind of place."""
    held: list[Command] = [step(timeout_ms=9_000), step(scheduling=BEATING)]
    others = [step(scheduling=WAITING), timer(bench.now + 10**6), wait(), child(), step(due_ms=bench.now + 10**6)]
    await bench.started(*held, eager=EAGER, timeout_ms=10**6)
    await bench.told()
    await bench.commit(others)
    await bench.told()
    return [*held, *others]


async def snapshot(bench: Bench) -> object:
    return await read_partition(bench.space, bench.tag)


async def test_where_all_is_well_nothing_is_mended(bench: Bench) -> None:
    count = len(await everything_open(bench))
    before = await snapshot(bench)

    for what in WHATS:
        assert await bench.store.mending.mend(A, what, unknown=b"unknown", commands=range(1, count + 1)) == 0, what
    assert await bench.store.mending.place_again(A) == 0

    assert await snapshot(bench) == before


async def test_where_nobody_is_nothing_is_mended(bench: Bench) -> None:
    for what in WHATS:
        assert await bench.store.mending.mend("wf/ghost", what, commands=[1]) == 0, what


async def test_nothing_that_an_actor_names_is_dropped(bench: Bench) -> None:
    await everything_open(bench)
    await bench.create("wf/soon", start_at_ms=bench.now + 10**6)
    await bench.started(address="wf/done", retention_ms=5)
    await bench.ended(address="wf/done")
    before, dropped, seen = await snapshot(bench), list[rounds.Placed](), 0
    for name in ("held", "delayed", "retries", "expiry", "ready", "q:default", "index:flow:running"):
        async for page in rounds.place_pages(bench.space, bench.tag, name):
            seen += len(page)
            dropped += [place for place in page if await bench.store.mending.drop(place)]
            assert await rounds.perhaps_nobodys(bench.space, page) == []
    assert seen == 12
    assert dropped == []
    assert await snapshot(bench) == before


async def test_a_record_is_not_purged(bench: Bench) -> None:
    await everything_open(bench)
    before = await snapshot(bench)
    assert await bench.store.mending.purge(A) == 0
    assert await snapshot(bench) == before


@pytest.mark.parametrize("what", ["timeout", "silent", "waiting"])
async def test_a_limit_that_was_lost_is_armed_again(bench: Bench, what: str) -> None:
    count = len(await everything_open(bench))
    (lost,) = [one for one in await bench.members("delayed") if one.startswith(f"{what}|")]
    await bench.space.send(bench.tag, "ZREM", f"{bench.tag}:delayed", lost)
    found = await read_steady(bench.space, A)
    assert found is not None
    (violation,) = actor_violations(found.found, found.actor)
    assert violation.code == "lost_place"

    assert await bench.store.mending.mend(A, "commands", commands=range(1, count + 1)) == 1

    assert lost in await bench.members("delayed")


@pytest.mark.parametrize("number", range(1, 8))
async def test_every_kind_of_command_whose_trace_was_lost_is_asked_for_again(bench: Bench, number: int) -> None:
    commands = await everything_open(bench)
    space, tag = bench.space, bench.tag
    space.checking = False
    place = await space.send(tag, "HGET", f"{tag}:wf.open:a", number)
    assert isinstance(place, bytes)
    await space.send(tag, "HDEL", f"{tag}:wf.open:a", number)
    for name in ("held", "delayed", "ready", "q:default"):
        async for page in rounds.place_pages(space, tag, name):
            for one in [one for one in page if await rounds.is_nobodys(space, one)]:
                assert await bench.store.mending.drop(one)

    assert await bench.store.mending.mend(A, "commands", commands=[number]) == 1
    assert await bench.store.mending.mend(A, "commands", commands=[number]) == 0

    again = await space.send(tag, "HGET", f"{tag}:wf.open:a", number)
    assert isinstance(again, bytes)
    kind = commands[number - 1].kind
    if kind != "step" or commands[number - 1].due_ms:
        assert again.split(b"|")[3].partition(b":")[0] == place.split(b"|")[3].partition(b":")[0]
    else:
        assert again.split(b"|")[3].startswith(b"q:default:")
    found = await read_steady(space, A)
    assert found is not None
    assert list(actor_violations(found.found, found.actor)) == []
