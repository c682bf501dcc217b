"""What only a real server does: forget its scripts, run out of memory, keep nothing of what it does not know."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

import pytest

from kernel.decision import End
from kernel.errors import ServerRefused
from kernel.refusals import Conflict
from kernel.store import Store, keys
from kernel.store.connect import connector
from kernel.store.exclusive import COMPARED_BYTES_MAX, NoRoom, NotQueued
from kernel.store.payloads import LARGE_BYTES
from kernel.store.reader import found_group
from kernel.store.space import Space
from tests.store.bench import EAGER, A, Bench, step, wait

pytestmark = pytest.mark.server

KEY = "{t:0}:app:n"


class Completing(TypedDict):
    """What a mutation's completion is given."""

    nonce: int
    at_ms: int
    payload: bytes
    broken: bytes
    writes: list[tuple[bytes, ...]]


WRITING: Completing = {"nonce": 1, "at_ms": 0, "payload": b"", "broken": b"", "writes": [(b"INCR", KEY.encode())]}


@pytest.fixture
def url(server_url: str) -> str:
    return server_url


@asynccontextmanager
async def full(bench: Bench) -> AsyncGenerator[None]:
    """Let the server have no memory left for what may be refused."""
    bench.space.checking = False
    await bench.space.send(bench.tag, "CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        await bench.space.send(bench.tag, "CONFIG", "SET", "maxmemory", "0")
        bench.space.checking = True


async def test_a_server_that_has_forgotten_its_scripts_is_given_them_again(bench: Bench) -> None:
    await bench.started(step(), eager=EAGER)
    await bench.space.send(bench.tag, "SCRIPT", "FLUSH")
    (held,) = await bench.store.steps.held_by("w1")
    await bench.complete(held)
    assert await bench.ready() == [A]


async def test_a_mutation_does_not_rely_on_what_the_server_remembers(bench: Bench) -> None:
    await bench.started(step(), eager=EAGER)
    (held,) = await bench.store.steps.held_by("w1")
    await bench.space.send(bench.tag, "SCRIPT", "FLUSH")
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        await exclusive.complete(held, **WRITING)
    assert await bench.space.send(bench.tag, "GET", KEY) == b"1"


async def test_with_memory_full_a_start_and_an_event_are_refused_whole(bench: Bench) -> None:
    await bench.started(wait())
    async with full(bench):
        with pytest.raises(ServerRefused, match="OOM"):
            await bench.create("wf/new")
        with pytest.raises(ServerRefused, match="OOM"):
            await bench.told()
    assert await bench.exists("wf/new") == set()
    assert await bench.ready() == []


async def test_with_memory_full_a_start_over_a_tombstone_is_refused_whole(bench: Bench) -> None:
    await bench.create(message="m1")
    await bench.ended()
    await bench.store.instances.cleanup(A)
    async with full(bench):
        with pytest.raises(ServerRefused, match="OOM"):
            await bench.create(message="m2")
    assert await bench.store.instances.record(A) == {"status": b"gone", "message": b"m1"}


async def test_with_memory_full_what_runs_goes_on_and_ends_and_is_cleaned_up(bench: Bench) -> None:
    await bench.create("wf/old")
    await bench.ended(address="wf/old")
    await bench.create()
    async with full(bench):
        await bench.commit([step(f"s{n}", timeout_ms=5) for n in range(250)])
        await bench.store.turns.emit(A, generation=(await bench.record()).generation, token="t", eager=EAGER)
        begun = await bench.begun()
        assert await bench.store.steps.beat(begun.held, b"details")
        await bench.store.steps.retry(begun.held, error=b"", delay_ms=5)
        await bench.promote(5)
        await bench.store.steps.release((await bench.begun()).held, nonce=1, delay_ms=0, unknown=b"")
        await bench.complete((await bench.begun()).held)
        await bench.told(kind="cancel_requested")
        await bench.advance((await bench.begun()).held, base="1-1")
        await bench.commit(end=End("canceled", b""))
        for _ in range(4):
            await bench.promote()
        assert await bench.store.instances.cleanup("wf/old")
        assert await bench.store.instances.cleanup(A)
    await bench.space.check("all that")


async def test_with_memory_full_a_large_outcome_is_recorded(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    large = b"x" * (LARGE_BYTES + 1)
    async with full(bench):
        await bench.complete(held, large)
    assert (await bench.space.payloads.get_field(A, "r1", (await bench.journal())["r1"])).endswith(large)


async def test_with_memory_full_a_mutation_is_not_queued_but_compared(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.space.send(bench.tag, "SET", KEY, "5")
    async with full(bench):
        async with bench.store.exclusives.one(bench.tag) as exclusive:
            await exclusive.watch([KEY.encode()])
            with pytest.raises(NotQueued):
                await exclusive.complete(held, **WRITING)
        assert await bench.space.send(bench.tag, "GET", KEY) == b"5"
        async with bench.store.exclusives.one(bench.tag) as exclusive:
            await exclusive.watch([KEY.encode()])
            assert (await exclusive.complete(held, **WRITING, compare=True)).status == "ok"
    assert await bench.space.send(bench.tag, "GET", KEY) == b"6"
    await bench.space.check("a completion that compares")


async def test_with_memory_full_what_another_deletes_is_a_conflict(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.space.send(bench.tag, "SET", KEY, "5")
    async with full(bench), bench.store.exclusives.one(bench.tag) as exclusive:
        await exclusive.watch([KEY.encode()])
        await bench.space.send(bench.tag, "DEL", KEY)
        with pytest.raises(Conflict):
            await exclusive.complete(held, **WRITING, compare=True)
    assert await bench.space.send(bench.tag, "EXISTS", KEY) == 0
    assert "r1" not in await bench.journal()


async def test_keys_that_take_much_memory_are_not_compared(bench: Bench) -> None:
    await bench.started(step())
    held = (await bench.begun()).held
    await bench.space.send(bench.tag, "SETRANGE", KEY, COMPARED_BYTES_MAX, "x")
    async with bench.store.exclusives.one(bench.tag) as exclusive:
        await exclusive.watch([KEY.encode()])
        with pytest.raises(NoRoom, match="too much to be compared"):
            await exclusive.complete(held, **WRITING, compare=True)
    assert "r1" not in await bench.journal()


async def test_with_memory_full_workers_appear_and_stay_alive_and_the_namespace_opens(bench: Bench, url: str) -> None:
    async with full(bench):
        await bench.store.custody.register("w1", "about")
        assert await bench.store.custody.heartbeat("w1", 1)
        for stream in ("q:default", "q:new"):
            await found_group(bench.space, keys.shared(bench.tag, stream), "workers")
        other = Space(connector(url), namespace="t", partitions=None, default_partitions=1)
        await other.open()
        assert await Store(other).custody.living()
        await other.close()
    assert await bench.space.send(bench.tag, "EXISTS", keys.shared(bench.tag, "q:new")) == 1


async def test_with_memory_full_an_eager_command_is_granted_whole(bench: Bench) -> None:
    await bench.create()
    async with full(bench):
        assert (await bench.commit([step()], eager=EAGER)).granted == (1,)
    await bench.space.check("an eager commit")
