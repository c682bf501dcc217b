"""The same on a real server: its Lua, its sorted sets, its memory."""

from __future__ import annotations

import pytest

from actors import Step, WorkflowFailed
from kernel import Store
from kernel.store.audit import audit
from kernel.store.replies import listed
from tests.api.watching import Managers

pytestmark = pytest.mark.server


async def test_a_whole_life_leaves_nothing_but_tombstones_that_expire(managers: Managers, server_url: str) -> None:
    manager = managers(server_url, namespace="life", partitions=3)
    broken = True

    @manager.action(name="work")
    async def work(number: int) -> int:
        if broken and number == 1:
            raise ValueError(number)
        return number

    @manager.workflow(name="child", tags={"of": "child"})
    async def child(step: Step, number: int) -> int:
        return await step.run_action(work, number)

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        if step.patched("double"):
            await step.run_action(work, 7)
        got = await step.run_workflow(child, number)
        if number < 2:
            flow.continue_as_new(number + 1)
        return got

    async with manager.worker():
        calls = [flow.with_options(id=f"order-{n}", tags={"of": "test"}).bind(0) for n in range(12)]
        handles = await manager.start_many(calls)
        for handle in handles:
            with pytest.raises(WorkflowFailed):
                await handle.result()
        assert len((await manager.list(tags={"of": "test"}, status="failed", limit=5)).items) == 5
        broken = False
        assert await manager.restart_many(tags={"of": "test"}) == 12
        assert [await handle.result() for handle in handles] == [2] * 12
        store = await manager.store()
        assert await audit(store.space) == []
        while await manager.cleanup_many() or (await manager.list()).items:
            pass
        await only_tombstones_are_left(store)
        assert await audit(store.space) == []


async def only_tombstones_are_left(store: Store) -> None:
    for tag in store.space.keys.tags:
        for key in listed(await store.space.send(tag, "KEYS", f"{tag}:wf*")):
            ttl = await store.space.send(tag, "PTTL", key)
            assert isinstance(ttl, int)
            assert 0 < ttl <= 3_600_000
        assert listed(await store.space.send(tag, "KEYS", f"{tag}:index:*")) == []
