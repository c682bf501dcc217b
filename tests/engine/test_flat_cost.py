"""The thousandth step of a workflow costs what its first did, and thousands of steps are replayed within a second."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from actors import Step, WorkflowManager
from actors.servers import Worker, WorkerSettings
from kernel import ZERO, Space, Store, connector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from actors.definitions import Workflow

pytestmark = [pytest.mark.server, pytest.mark.slow]

SEQUENTIAL = 5_000
PARALLEL = 2_000
WINDOW = 500
RATIO_MAX = 1.3
REPLAY_S_MAX = 1.0
TRIES = 3
"""Others use the machine too: the best of a few measurements counts."""
RESULT_S_MAX = 60


class Flows:
    """Workflows of many steps that note when each begins."""

    def __init__(self, url: str) -> None:
        self.manager = manager = WorkflowManager(url, namespace=uuid4().hex, partitions=1)
        self.begun: list[float] = []
        self.through = asyncio.Event()

        @manager.action(name="tick")
        async def tick(n: int) -> None:
            self.begun.append(time.perf_counter())
            if n == SEQUENTIAL - 1:
                self.through.set()

        @manager.workflow(name="sequential")
        async def sequential(step: Step) -> str:
            for n in range(SEQUENTIAL):
                await step.run_action(tick, n)
            return await step.await_event("end", str)

        @manager.workflow(name="parallel")
        async def parallel(step: Step) -> None:
            await asyncio.gather(*(step.run_action(tick, n) for n in range(PARALLEL)))

        self.sequential: Workflow[[], str] = sequential
        self.parallel: Workflow[[], None] = parallel


async def best(measure: Callable[[], Awaitable[float]], limit: float) -> None:
    """Measure until it is within the limit; fail if it never is."""
    found: list[float] = []
    while len(found) < TRIES:
        found.append(await measure())
        if found[-1] <= limit:
            return
    pytest.fail(f"measured {found}, the limit is {limit}")


def growth_of_gaps(begun: Sequence[float]) -> float:
    """Return what a step costs at the end in units of what it cost at the beginning."""
    gaps = [late - early for early, late in pairwise(begun)]
    return median(gaps[-WINDOW:]) / median(gaps[:WINDOW])


def growth_of_windows(begun: Sequence[float]) -> float:
    """Return the same of steps that begin in bursts."""
    return (begun[-1] - begun[-1 - WINDOW]) / (begun[WINDOW] - begun[0])


async def test_a_sequential_step_costs_the_same_at_the_end_as_at_the_beginning(server_url: str) -> None:
    async def measure() -> float:
        flows = Flows(server_url)
        async with flows.manager as manager, manager.worker():
            await manager.start(flows.sequential)
            async with asyncio.timeout(RESULT_S_MAX):
                await flows.through.wait()
        return growth_of_gaps(flows.begun)

    await best(measure, RATIO_MAX)


async def test_a_parallel_step_costs_the_same_at_the_end_as_at_the_beginning(server_url: str) -> None:
    async def measure() -> float:
        flows = Flows(server_url)
        # Few slots: of many the first steps are handed out with the decision itself, at half the price of the others.
        async with flows.manager as manager, manager.worker():
            handle = await manager.start(flows.parallel)
            await handle.result(timeout=RESULT_S_MAX)
        return growth_of_windows(flows.begun)

    await best(measure, RATIO_MAX)


async def test_a_journal_of_thousands_is_replayed_within_a_second(server_url: str) -> None:
    flows = Flows(server_url)
    async with flows.manager as manager:
        async with manager.worker():
            handle = await manager.start(flows.sequential)
            async with asyncio.timeout(RESULT_S_MAX):
                await flows.through.wait()
        space = Space(connector(server_url), namespace=manager.namespace, partitions=1)
        await space.open()
        worker = Worker(store=Store(space), registry=manager, settings=WorkerSettings())
        await worker.start()
        replicas, turns = worker.host.turner._replicas, worker.host.store.turns

        async def measure() -> float:
            worker.host.cache.clear()
            began = time.perf_counter()
            fetched = await turns.fetch(handle.address, generation="", fed=ZERO)
            replica = await replicas.bring_up(None, fetched, handle.address)
            assert len(replica.instance.commands) >= SEQUENTIAL
            return time.perf_counter() - began

        await best(measure, REPLAY_S_MAX)
        await worker.stop()
        await worker.host.store.close()
