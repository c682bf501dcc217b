"""Pools beside the doctor: their keys are ours, who waits for a permit is named, what was lost is mended."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from actors import Step, WorkflowHandle, WorkflowManager, Workpool
from tests.doctor.patients import codes, of
from tests.engine.process import until


async def pooled(manager: WorkflowManager, *, limit: int) -> WorkflowHandle[int]:
    """Start an instance that asks for a permit, and wait until its pool has heard of it."""
    pool = Workpool(manager, "press", max_parallelism=limit)

    @manager.action(name="print", pool="press", queue="gpu", retry=True)
    async def print_it() -> int:
        return 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        await step.run_action(print_it)
        return await step.run_action(print_it)

    handle = await manager.start(flow.with_options(id="i"))

    async def asked() -> bool:
        status = await pool.status()
        return status.under_way + status.waiting == 1

    async with manager.worker():
        await until(asked)
        if limit:
            await until(lambda: _is_queued(manager))
    return handle


async def _is_queued(manager: WorkflowManager) -> bool:
    space = (await manager.store()).space
    tag = space.keys.tag_of("wf/i")
    return await space.send(tag, "XLEN", f"{tag}:q:gpu") == 1


async def test_the_keys_of_pools_are_nobody_s_orphans(manager: WorkflowManager) -> None:
    await pooled(manager, limit=0)
    assert codes(await manager.doctor(orphans_older_than=0)) == set()


async def test_a_step_that_waits_for_a_permit_for_long_is_named(manager: WorkflowManager) -> None:
    await pooled(manager, limit=0)
    async with manager.worker():
        finding = of(await manager.doctor(stuck_after=0), "waits_for_permit")
    assert (finding.subject, finding.severity) == ("i", "note")
    assert "step 1 (print) waits for a permit of the pool 'press' since" in finding.text
    assert "headrace queues" in finding.advice


@pytest.mark.parametrize("part", ["pool", "pool.held", "pool.waiting", "pools"])
async def test_a_pool_s_key_of_another_type_is_told(manager: WorkflowManager, part: str) -> None:
    await pooled(manager, limit=0)
    space = (await manager.store()).space
    tag = space.keys.tag_of("pool/press")
    key = f"{tag}:{part}" + ("" if part == "pools" else ":press")
    await space.send(tag, "DEL", key)
    await space.send(tag, "SET", key, "x")
    assert of(await manager.doctor(), "foreign_key").subject == key


async def test_a_pooled_step_whose_entry_was_lost_asks_anew_and_its_permit_comes_back(
    manager: WorkflowManager,
) -> None:
    handle = await pooled(manager, limit=1)
    space = (await manager.store()).space
    tag = space.keys.tag_of("wf/i")
    await space.send(tag, "XTRIM", f"{tag}:q:gpu", "MAXLEN", 0)
    assert of(await manager.doctor(repair=True), "lost_place").repaired
    async with asyncio.timeout(10), manager.worker(queues=("default", "gpu")):
        assert await handle.result() == 1
        store = await manager.store()

        async def is_empty() -> bool:
            return tuple(await store.pools.status("press")) == (1, 0, 0)

        await until(is_empty)


async def test_a_pooled_step_whose_open_field_was_lost_is_asked_for_again(manager: WorkflowManager) -> None:
    handle = await pooled(manager, limit=1)
    space = (await manager.store()).space
    tag = space.keys.tag_of("wf/i")
    await space.send(tag, "DEL", f"{tag}:wf.open:i")
    await manager.doctor(repair=True)
    store = await manager.store()
    tag = space.keys.tag_of("pool/press")
    (member,) = cast("list[bytes]", await space.send(tag, "ZRANGE", f"{tag}:pool.held:press", 0, -1))
    await space.send(tag, "ZADD", f"{tag}:pool.held:press", 0, member)  # a minute later
    async with asyncio.timeout(10), manager.worker(queues=("default", "gpu")):
        assert await handle.result() == 1

        async def is_empty() -> bool:
            return tuple(await store.pools.status("press")) == (1, 0, 0)

        await until(is_empty)
