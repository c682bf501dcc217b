"""Of what waits in a queue the higher priority goes first, and the lowest does not starve."""

from __future__ import annotations

import asyncio

from actors import Step, WorkflowManager
from actors.servers.bands import LOWEST_EVERY
from kernel.store.replies import listed
from tests.api.watching import Managers, in_state, seen


class Press:
    """A worker's only slot, kept busy until everything waits; then the order in which things run."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.order: list[int] = []
        self.entered, self.leave = asyncio.Event(), asyncio.Event()

        @manager.action(name="block")
        async def block() -> None:
            self.entered.set()
            await self.leave.wait()

        @manager.action(name="print")
        async def print_it(priority: int) -> None:
            self.order.append(priority)

        @manager.workflow(name="full")
        async def full(step: Step) -> None:
            await step.run_action(block)

        @manager.workflow(name="flow")
        async def flow(step: Step, priorities: list[int]) -> None:
            await asyncio.gather(*(step.run_action(print_it.with_options(priority=p), p) for p in priorities))

        self.full, self.flow = full, flow


async def test_what_has_a_higher_priority_is_begun_first(manager: WorkflowManager) -> None:
    press = Press(manager)
    async with manager.worker(concurrency=1):
        await manager.start(press.full)
        await press.entered.wait()
        handle = await manager.start(press.flow, [0, 3, 9, 0, 3, 9])
        await seen(handle, lambda snapshot: [s.state for s in snapshot.steps] == ["queued"] * 6)
        press.leave.set()
        await handle.result(timeout=5)
    assert press.order == [9, 9, 3, 3, 0, 0]


async def test_the_lowest_gets_its_turn_while_higher_ones_wait(manager: WorkflowManager) -> None:
    press = Press(manager)
    async with manager.worker(concurrency=1):
        await manager.start(press.full)
        await press.entered.wait()
        handle = await manager.start(press.flow, [5] * 30 + [0])
        await seen(handle, lambda snapshot: [s.state for s in snapshot.steps] == ["queued"] * 31)
        press.leave.set()
        await handle.result(timeout=5)
    assert press.order.index(0) <= LOWEST_EVERY


async def test_another_worker_serves_a_band_that_came_up_after_its_start(managers: Managers) -> None:
    first, second = managers(), managers()
    press, other = Press(first), Press(second)
    async with first.worker(queues=("none",)), second.worker():
        handle = await first.start(press.flow, [4])
        await handle.result(timeout=5)
    assert other.order == [4]


async def test_what_waits_in_a_band_is_canceled_with_its_workflow(manager: WorkflowManager) -> None:
    press = Press(manager)
    async with manager.worker(queues=("none",)):
        handle = await manager.start(press.flow, [4])
        await seen(handle, in_state("print", "queued"))
        await handle.cancel()
    store = await manager.store()
    tag = store.space.keys.tags[0]
    assert await store.space.send(tag, "XLEN", f"{tag}:q:default!4") == 0


async def test_a_worker_reads_no_more_steps_than_it_has_slots_for_though_they_wait_in_many_partitions(
    managers: Managers,
) -> None:
    """What it read beyond that, it would have to give back, to the end of the queue."""
    manager = managers(partitions=12)
    begun: list[str] = []

    @manager.action(name="draw", queue="gpu")
    async def draw(workflow_id: str) -> None:
        begun.append(workflow_id)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(draw, step.workflow_id)

    ids = [f"{number}" for number in range(36)]
    async with manager.worker():  # serves no queue of that name
        handles = [await manager.start(flow.with_options(id=workflow_id)) for workflow_id in ids]
        for handle in handles:
            await seen(handle, in_state("draw", "queued"))
    space = (await manager.store()).space
    queues = [listed(await space.send(tag, "XRANGE", f"{tag}:q:gpu", "-", "+")) for tag in space.keys.tags]
    orders = [[fields[1].decode().removeprefix("wf/") for _, fields in queue] for queue in queues if queue]
    assert len(orders) > 6

    async with manager.worker(concurrency=1, queues=("gpu",)) as worker:
        declined: list[object] = []
        decline = worker.host.store.steps.decline

        async def noted(queued: object, **how: int) -> None:
            declined.append(queued)
            await decline(queued, **how)  # type: ignore[arg-type]

        worker.host.store.steps.decline = noted  # type: ignore[method-assign]
        for handle in handles:
            await handle.result(timeout=10)
    assert not declined
    for waited in orders:
        assert [workflow_id for workflow_id in begun if workflow_id in waited] == waited
