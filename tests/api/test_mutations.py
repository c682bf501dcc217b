"""Queries and mutations end to end: exactly once, watched, read-only, and clear failures."""

from __future__ import annotations

import asyncio

from actors import MutationBroken, ReadOnly, RetryPolicy, Step, StepFailed, Transaction, WorkflowManager
from tests.api.watching import Managers, seen


async def test_a_mutation_is_applied_once_and_a_query_reads_it(manager: WorkflowManager) -> None:
    @manager.mutation(name="add")
    async def add(tx: Transaction, by: int) -> int:
        before = int(await tx.get(tx.key("total")) or 0)
        tx.incrby(tx.key("total"), by)
        return before + by

    @manager.query(name="total")
    async def total(tx: Transaction) -> int:
        return int(await tx.get(tx.key("total")) or 0)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[int, int, int]:
        return (
            await step.run_mutation(add, 2),
            await step.run_mutation(add, 3),
            await step.run_query(total),
        )

    async with manager.worker():
        assert await (await manager.start(flow)).result() == (2, 5, 5)


async def test_what_a_mutation_reads_is_watched_and_on_a_conflict_it_runs_again(manager: WorkflowManager) -> None:
    runs: list[int] = []

    @manager.mutation(name="add")
    async def add(tx: Transaction) -> int:
        before = int(await tx.get("total") or 0)
        runs.append(before)
        if len(runs) == 1:
            store = await manager.store()
            await store.space.send("total", "SET", "total", "100")
        tx.set("total", before + 1)
        return before + 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_mutation(add)

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 101
        assert await (await manager.store()).space.send("total", "GET", "total") == b"101"
    assert runs == [0, 100]


async def test_many_mutations_of_one_key_by_two_workers_lose_nothing(managers: Managers) -> None:
    manager = managers(partitions=3)

    @manager.mutation(name="add")
    async def add(tx: Transaction) -> None:
        before = int(await tx.get("total") or 0)
        await asyncio.sleep(0)
        tx.set("total", before + 1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_mutation(add)
        await step.run_mutation(add)

    async with manager.worker(concurrency=5), manager.worker(concurrency=5):
        for handle in await manager.start_many(flow.bind() for _ in range(10)):
            await handle.result()
        assert await (await manager.store()).space.send("total", "GET", "total") == b"20"


async def test_a_mutation_that_raises_writes_nothing(manager: WorkflowManager) -> None:
    @manager.mutation(name="broken")
    async def broken(tx: Transaction) -> None:
        tx.set("total", 1)
        raise ValueError("changed my mind")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_mutation(broken)
        except StepFailed as error:
            return error.message
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result() == "changed my mind"
        assert await (await manager.store()).space.send("total", "EXISTS", "total") == 0


async def test_a_mutation_that_returns_a_wrong_value_writes_nothing(manager: WorkflowManager) -> None:
    @manager.mutation(name="wrong")
    async def wrong(tx: Transaction) -> int:
        tx.set("total", 1)
        return "many"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_mutation(wrong)
        except StepFailed as error:
            return type(error).__name__
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result() == "InvalidReturn"
        assert await (await manager.store()).space.send("total", "EXISTS", "total") == 0


async def test_a_write_in_a_query_is_refused(manager: WorkflowManager) -> None:
    @manager.query(name="sneaky", retry=True)
    async def sneaky(tx: Transaction) -> None:
        tx.set("total", 1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[str, int]:
        try:
            await step.run_query(sneaky)
        except StepFailed as error:
            return error.error_type, error.attempts
        return "", 0

    async with manager.worker():
        assert await (await manager.start(flow)).result() == (ReadOnly.__name__, 1)
        assert await (await manager.store()).space.send("total", "EXISTS", "total") == 0


async def test_a_key_that_holds_another_type_fails_the_step_and_nothing_is_written(manager: WorkflowManager) -> None:
    @manager.mutation(name="write")
    async def write(tx: Transaction) -> None:
        tx.set("other", 1)
        tx.incrby("list", 1)

    @manager.mutation(name="read and write")
    async def read(tx: Transaction) -> None:
        await tx.get("list")
        tx.set("other", 1)

    @manager.query(name="look")
    async def look(tx: Transaction) -> None:
        await tx.get("list")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        found: list[str] = []
        for future in (step.run_mutation(write), step.run_mutation(read), step.run_query(look)):
            try:
                await future
            except StepFailed as error:
                found.append("broken" if isinstance(error, MutationBroken) else str(error))
        return found

    async with manager.worker():
        store = await manager.store()
        await store.space.send("list", "RPUSH", "list", "x")
        texts = await (await manager.start(flow)).result(timeout=3)
        assert len(texts) == 3
        assert "list" in texts[0]
        assert "WRONGTYPE" in texts[1]
        assert "WRONGTYPE" in texts[2]
        assert await store.space.send("other", "EXISTS", "other") == 0


async def test_a_mutation_with_retry_is_tried_again_when_it_raises(manager: WorkflowManager) -> None:
    runs: list[int] = []

    @manager.mutation(name="flaky", retry=RetryPolicy(initial_backoff=0.01))
    async def flaky(tx: Transaction) -> int:
        runs.append(1)
        tx.incr("total")
        if len(runs) < 3:
            raise ValueError
        return len(runs)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_mutation(flaky)

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 3
        assert await (await manager.store()).space.send("total", "GET", "total") == b"1"


async def test_a_mutation_canceled_while_it_runs_writes_nothing(manager: WorkflowManager) -> None:
    began = asyncio.Event()

    @manager.mutation(name="slow")
    async def slow(tx: Transaction) -> None:
        tx.set("total", 1)
        began.set()
        await asyncio.Event().wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_mutation(slow)

    async with manager.worker():
        handle = await manager.start(flow)
        await began.wait()
        await seen(handle, lambda snapshot: snapshot.steps)
        await handle.cancel()
        assert await (await manager.store()).space.send("total", "EXISTS", "total") == 0
