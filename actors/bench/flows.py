"""Flows: the workflows that are measured. Plain definitions: no option that an author would not write is set."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from actors.workflow import Step  # noqa: TC001 - read by the definitions at run time

if TYPE_CHECKING:
    from actors.definitions import Workflow
    from actors.manager import WorkflowManager

STEPS: Final = 10
"""Steps of one workflow of ``sequential``."""
MONTH: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Flows:
    """The workflows, as registered with one manager."""

    sequential: Workflow[[], None]
    """``STEPS`` no-op actions, one after the other."""
    stamped: Workflow[[int], list[int]]
    """So many actions, one after the other; each returns when it ran, ns of the machine's monotonic clock."""
    fanout: Workflow[[int], int]
    """So many no-op actions at once."""
    parked: Workflow[[], None]
    """A month's sleep."""


def define_flows(manager: WorkflowManager) -> Flows:
    """Register the workflows and their steps."""

    @manager.action(name="bench.noop")
    async def noop() -> None: ...

    @manager.action(name="bench.stamp")
    async def stamp() -> int:
        return time.perf_counter_ns()

    @manager.workflow(name="bench.sequential")
    async def sequential(step: Step) -> None:
        for _ in range(STEPS):
            await step.run_action(noop)

    @manager.workflow(name="bench.stamped")
    async def stamped(step: Step, count: int) -> list[int]:
        return [await step.run_action(stamp) for _ in range(count)]

    @manager.workflow(name="bench.fanout")
    async def fanout(step: Step, count: int) -> int:
        return len(await asyncio.gather(*(step.run_action(noop) for _ in range(count))))

    @manager.workflow(name="bench.parked")
    async def parked(step: Step) -> None:
        await step.sleep(MONTH)

    return Flows(sequential, stamped, fanout, parked)
