"""Runs a workflow in a process that dies at every write in turn, and lets another end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from actors import WorkflowManager
from actors.definitions import Workflow
from kernel.memory import drop_memory_server
from tests.engine.mortal import Life, When
from tests.engine.process import MortalManager, Process

Define = Callable[[WorkflowManager], Workflow[[], Any]]
"""Defines a workflow and its steps at a manager."""
POINTS_MAX = 400


async def run_with_death(url: str, die_at: int, when: When, *, define: Define, result: object) -> Life:
    """Run the workflow in a process that dies at a write; return its life."""
    life = Life(die_at, when)
    first, second = Process(MortalManager(url, life)), Process(MortalManager(url))
    flow, again = define(first.manager), define(second.manager)

    async def begin() -> None:
        await first.start()
        await (await first.manager.start(flow.with_options(id="j"))).result()

    try:
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(begin()), asyncio.create_task(life.died.wait())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert done, f"stuck after {life.writes} writes"
        life.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await first.die()
        await second.start()
        if first.incarnation:
            await second.take_over(first.incarnation)
        found = await (await second.manager.start(again.with_options(id="j"))).result(timeout=10)
        assert found == result, f"died {when} write {die_at}, {life.last}"
    finally:
        await second.stop()
    return life


def die_at_every_write(when: When, *, define: Define, result: object) -> int:
    """Run it with a death at each write until nobody dies; return how many there were."""
    for die_at in range(1, POINTS_MAX):
        memory = f"memory://{uuid4().hex}"
        try:
            life = asyncio.run(run_with_death(memory, die_at, when, define=define, result=result))
        finally:
            drop_memory_server(memory)
        if not life.last:
            return die_at - 1
    raise AssertionError("it makes too many writes for this test")
