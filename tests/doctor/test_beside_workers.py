"""The doctor beside workers that are busy: it reports nothing that is not so, and its repairs harm nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

import pytest

from actors import Step, Transaction, WorkflowCanceled, WorkflowManager
from actors.definitions import Workflow
from actors.doctor import Examination, Report, Thoroughness
from kernel import Placed, Slice, Space, actor_violations, read_slice
from kernel.store.audit import audit
from tests.api.watching import Managers
from tests.doctor.patients import codes, queued

WAVES = 1


def define(manager: WorkflowManager) -> Workflow[[int], int]:
    @manager.action(name="work", retry=True, timeout=30)
    async def work(i: int) -> int:
        for _ in range(i % 4):
            await asyncio.sleep(0)
        return i

    @manager.mutation(name="count")
    async def count(tx: Transaction) -> None:
        tx.incr("total")

    @manager.workflow(name="child")
    async def child(step: Step, i: int) -> int:
        return await step.run_action(work, i)

    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        total = 0
        for n in range(3):
            total += sum(await asyncio.gather(*(step.run_action(work, i + n + m) for m in range(2))))
            await step.sleep(0.001)
        await step.run_mutation(count)
        return total + await step.run_workflow(child, i)

    return flow


async def storm(manager: WorkflowManager, *, waves: int, seed: int) -> int:
    """Start, cancel and clean up at random; return how many ran to their end."""
    random, flow, ended = Random(seed), manager.get_workflow("flow"), 0
    for _ in range(waves):
        delay = timedelta(seconds=random.choice((0.0, 0.01)))
        options = flow.with_options(run_after=delay) if delay else flow
        handles = await manager.start_many(options.bind(i) for i in range(16))
        for handle in random.sample(handles, 4):
            await handle.cancel(cleanup=random.random() < 0.5)
        for handle in handles:
            try:
                await handle.result()
                ended += 1
            except WorkflowCanceled:
                continue
        for handle in random.sample(handles, 8):
            await handle.cleanup()
    return ended


async def test_what_was_read_of_two_moments_is_not_reported(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queued(manager)
    torn: list[str] = []

    async def read_torn(space: Space, address: str) -> Slice:
        """Return a slice whose instance's step was begun after the record was read."""
        found = await read_slice(space, address)
        found.found.streams.clear()
        torn.extend(violation.code for violation in actor_violations(found.found, found.actor))
        return found

    async def suspect_all(_space: Space, page: list[Placed]) -> list[Placed]:
        return page

    monkeypatch.setattr("actors.doctor.examination.read_slice", read_torn)
    monkeypatch.setattr("kernel.store.rounds.perhaps_nobodys", suspect_all)

    assert codes(await manager.doctor(repair=True)) == set()
    assert torn == ["lost_place"]


async def test_nothing_false_is_reported_while_workers_are_busy(managers: Managers) -> None:
    manager = managers(partitions=3, worker_timeout=2)
    define(manager)
    store = await manager.store()
    how = Thoroughness(repair=True, orphans_older_than_s=0, pause_s=0.001, worker_timeout_s=2)
    reports: list[Report] = []
    async with manager.worker(concurrency=4, cache_instances=5), manager.worker(concurrency=4):
        busy = asyncio.create_task(storm(manager, waves=WAVES, seed=7))
        while not busy.done():
            reports.append(await Examination(store, how).run())
        ended = await busy
    assert ended >= WAVES * 8
    assert [finding for report in reports for finding in report.findings] == []
    assert sum(report.instances for report in reports) > 0
    assert await audit(store.space) == []


@pytest.mark.server
async def test_nothing_false_is_reported_beside_busy_workers_of_a_real_server(
    managers: Managers, server_url: str
) -> None:
    manager = managers(server_url, partitions=2, worker_timeout=2)
    define(manager)
    store = await manager.store()
    how = Thoroughness(pause_s=0, worker_timeout_s=2)
    found: set[str] = set()
    async with manager.worker(concurrency=8), manager.worker(concurrency=8):
        busy = asyncio.create_task(storm(manager, waves=2 * WAVES, seed=8))
        while not busy.done():
            found |= set((await Examination(store, how).run()).counts)
        await busy
    assert found <= {"no_maxmemory"}
    assert await audit(store.space) == []
