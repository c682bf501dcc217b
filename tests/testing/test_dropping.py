"""What a tester ran on goes with it: a suite of thousands of tests needs no more memory than one of ten."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from actors import Step, WorkflowManager
from actors.testing import WorkflowTester
from actors.testing.simulation import Simulation
from kernel.memory import drop_memory_server, memory_server

if TYPE_CHECKING:
    from actors.definitions import Workflow

KINDS = ("FakeServer", "LuaRuntime", "_LuaFunction", "MemoryServer")


def alive() -> Counter[str]:
    """Count servers, their Lua and what looks after them, once all that can be collected is."""
    gc.collect()
    names = (type(one).__name__ for one in gc.get_objects())
    return Counter(name for name in names if name in KINDS)


@pytest.fixture
def flow(manager: WorkflowManager) -> Workflow[[int], int]:
    @manager.action(name="work")
    async def work(number: int) -> int:
        return number

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        return await step.run_action(work, number)

    return flow


@pytest.mark.parametrize(("kind", "times"), [(WorkflowTester, 30), (Simulation, 5)])
def test_of_many_testers_in_a_row_no_server_stays(
    manager: WorkflowManager, flow: Workflow[[int], int], kind: type[WorkflowTester], times: int
) -> None:
    before = alive()

    for number in range(times):
        assert kind(manager).run(flow, number) == number

    assert not alive() - before


def test_a_dropped_server_in_memory_goes_with_its_last_manager() -> None:
    url = "memory://goes"

    async def use() -> None:
        manager = WorkflowManager(url)

        @manager.workflow(name="flow")
        async def flow(step: Step) -> str:
            return step.workflow_id

        try:
            async with manager.worker():
                handle = await manager.start(flow.with_options(id="a"))
                assert await handle.result(timeout=10) == "a"
        finally:
            await manager.close()

    before = alive()
    asyncio.run(use())
    server = weakref.ref(memory_server(url))
    assert (alive() - before)["LuaRuntime"] == 1
    drop_memory_server(url)
    assert not alive() - before
    assert server() is None


async def test_who_still_uses_a_dropped_server_goes_on_with_it() -> None:
    url = "memory://used"
    async with WorkflowManager(url) as manager:

        @manager.workflow(name="flow")
        async def flow(step: Step) -> str:
            return step.workflow_id

        async with manager.worker():
            await manager.start(flow.with_options(id="a"))
            drop_memory_server(url)
            gc.collect()
            assert await manager.result("a", timeout=10) == "a"
            handle = await manager.start(flow.with_options(id="b"))
            assert await handle.result(timeout=10) == "b"
