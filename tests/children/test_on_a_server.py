"""A sample of families and completions on a real server, over twelve partitions and two workers."""

from __future__ import annotations

import asyncio

import pytest

from actors import Completed, Result, Step, Transaction, WorkflowManager
from kernel.store.audit import audit
from tests.api.watching import Managers
from tests.children.waiting import statuses, until

pytestmark = pytest.mark.server


@pytest.fixture
def manager(managers: Managers, server_url: str) -> WorkflowManager:
    return managers(server_url, partitions=12)


async def test_a_family_with_all_its_options_leaves_nothing_but_tombstones(manager: WorkflowManager) -> None:
    @manager.mutation(name="count")
    async def count(tx: Transaction, workflow_id: str, result: Result[int], context: int) -> None:
        assert isinstance(result, Completed)
        tx.incrby("told", context * result.result)

    @manager.mutation(name="note")
    async def note(tx: Transaction, what: str) -> None:
        tx.incr(f"noted:{what}")

    @manager.query(name="noted")
    async def noted(tx: Transaction, what: str) -> int:
        return int(await tx.get(f"noted:{what}") or 0)

    @manager.workflow(name="leaf")
    async def leaf(step: Step, x: int) -> int:
        await step.sleep(0.01)
        await step.run_mutation(note, "leaf")
        return x

    @manager.workflow(name="branch")
    async def branch(step: Step, x: int) -> int:
        told = leaf.with_options(on_complete=count, context=10)
        return sum(await asyncio.gather(*(step.run_workflow(told, x) for _ in range(5))))

    @manager.workflow(name="root")
    async def root(step: Step) -> int:
        free = step.run_workflow(leaf.with_options(id="free", detached=True), 1)
        shared = branch.with_options(id="shared")
        both = await asyncio.gather(step.run_workflow(shared, 2), step.run_workflow(shared, 2))
        try:
            async with step.saga() as saga:
                saga.undo(note, "undone")
                await step.wait_for(noted.bind("leaf"), interval=0.01)
                raise LookupError
        except LookupError:
            return sum(both) + await free

    async with manager.worker(), manager.worker():
        handle = await manager.start(root.with_options(id="root", on_complete=count, context=1000))
        assert await handle.result() == 21
        store = await manager.store()
        tag = store.space.keys.tags[0]

        async def told() -> bool:
            return await store.space.send(tag, "GET", "told") == b"21100"

        await until(told)
        assert await store.space.send(tag, "GET", "noted:undone") == b"1"
        await handle.cleanup()

        async def gone() -> bool:
            found = {**await statuses(manager), **await statuses(manager, "retrier")}
            return {name for name, status in found.items() if status != "gone"} == {"free"}

        await until(gone)
        assert await audit(store.space) == []
