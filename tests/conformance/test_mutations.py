"""What is promised of mutations and queries."""

from __future__ import annotations

import asyncio

import pytest

from actors import RetryPolicy, Step, StepFailed, Transaction, WorkflowManager, current_step
from tests.conformance.here import Here
from tests.topology.clusters import slot_of


async def test_the_writes_of_a_mutation_happen_exactly_once_however_many_want_them(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.mutation(name="draw")
    async def draw(tx: Transaction) -> int:
        number = int(await tx.get(tx.key("next")) or 0)
        tx.set(tx.key("next"), number + 1)
        tx.rpush(tx.key("drawn"), number)
        return number

    @manager.query(name="look")
    async def look(tx: Transaction, number: int) -> bool:
        return int(await tx.get(tx.key("next")) or 0) > number

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        numbers = [await step.run_mutation(draw) for _ in range(3)]
        numbers += await asyncio.gather(*(step.run_mutation(draw.with_options(inline=True)) for _ in range(2)))
        assert await step.run_query(look, numbers[-1])
        return numbers

    async with here.working(manager), here.working(manager):
        handles = await manager.start_many(flow.with_options(id=f"same/{i}").bind() for i in range(8))
        drawn = [number for handle in handles for number in await handle.result()]
        assert sorted(drawn) == list(range(40))
        space = (await manager.store()).space
        tag = space.keys.tag_of("wf/same/0")
        assert await space.send(tag, "LRANGE", f"{tag}:app:drawn", 0, -1) == [str(i).encode() for i in range(40)]


async def test_a_mutation_that_fails_writes_nothing_and_may_run_again(here: Here, manager: WorkflowManager) -> None:
    @manager.mutation(name="write", retry=RetryPolicy(max_attempts=3, initial_backoff=0.01))
    async def write(tx: Transaction) -> None:
        tx.incr(tx.key("written"))
        if current_step().attempt < 3:
            raise ValueError("not yet")

    @manager.mutation(name="refused")
    async def refused(tx: Transaction) -> None:
        tx.set(tx.key("before"), 1)
        tx.rpush(tx.key("written"), "a number is no list")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        await step.run_mutation(write)
        try:
            await step.run_mutation(refused)
        except StepFailed as failed:
            return failed.error_type
        return ""

    async with here.working(manager):
        handle = await manager.start(flow)
        assert await handle.result() == "MutationRefused"
        space = (await manager.store()).space
        tag = space.keys.tag_of(handle.address)
        assert await space.send(tag, "MGET", f"{tag}:app:written", f"{tag}:app:before") == [b"1", None]


async def test_a_key_of_the_transaction_lies_in_the_slot_of_its_instance(here: Here, manager: WorkflowManager) -> None:
    @manager.mutation(name="name")
    async def name(tx: Transaction) -> str:
        key = tx.key("stock")
        tx.set(key, "here")
        return key

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_mutation(name)

    async with here.working(manager):
        for handle in await manager.start_many(flow.bind() for _ in range(6)):
            key = await handle.result()
            space = (await manager.store()).space
            assert slot_of(key) == slot_of(space.keys.tag_of(handle.address))
            assert await space.send(key, "GET", key) == b"here"


@pytest.mark.parametrize("reads", [1, 3])
async def test_mutations_that_read_what_others_write_are_as_if_one_had_run_after_another(
    here: Here, manager: WorkflowManager, reads: int
) -> None:
    @manager.mutation(name="move")
    async def move(tx: Transaction, i: int) -> None:
        for n in range(reads):
            assert int(await tx.get(tx.key(f"sum{n}")) or 0) >= 0
        total = int(await tx.get(tx.key("total")) or 0)
        await asyncio.sleep(0)
        tx.set(tx.key("total"), total + i)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await asyncio.gather(*(step.run_mutation(move, i) for i in range(10)))

    async with here.working(manager), here.working(manager):
        handles = await manager.start_many(flow.with_options(id=f"same/{i}").bind() for i in range(2))
        await asyncio.gather(*(handle.result() for handle in handles))
        space = (await manager.store()).space
        tag = space.keys.tag_of("wf/same/0")
        assert await space.send(tag, "GET", f"{tag}:app:total") == b"90"
