"""Workflows that are run while a guard is missing, and what comes of each."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from actors import Step, StepFailed
from tests.simulation.guards.program import Program

if TYPE_CHECKING:
    from actors import WorkflowManager
    from tests.simulation.guards.steps import Steps

EVENTS: Final = 6
"""That each listener is told."""


def define_programs(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    """Define them for one run, by name."""
    return {
        **_one_after_another(manager, steps),
        **_at_once(manager, steps),
        **_canceling(manager, steps),
        **_families(manager, steps),
    }


def _one_after_another(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    """Steps, timers and events in a row."""

    @manager.workflow(name="chain")
    async def chain(step: Step, rounds: int) -> int:
        total = 0
        for number in range(rounds):
            total += await step.run_action(steps.act, number)
        total += await step.run_action(steps.flaky, 1)
        with contextlib.suppress(StepFailed):
            total += await step.run_action(steps.once, 0)
        await asyncio.gather(step.run_mutation(steps.write), step.run_action(steps.act, 5), step.sleep(1))
        return total

    @manager.workflow(name="listen")
    async def listen(step: Step, heard: list[int], until: int) -> list[int]:
        for _ in range(2):
            heard = [*heard, await step.await_event("go", int)]
            if len(heard) == until:
                return heard
        await step.run_action(steps.act, 1)
        return listen.continue_as_new(heard, until)

    return {
        "chain": Program(chain, (3,), 4),
        "listen": Program(listen, ([], EVENTS), list(range(EVENTS))),
    }


def _at_once(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    """Many steps at once, or long ones."""

    @manager.workflow(name="lasting")
    async def lasting(step: Step) -> int:
        risky = [step.run_action(steps.once, n) for n in range(3)]
        works = [step.run_action(steps.long, n) for n in range(3)]
        both = await asyncio.gather(*works, step.run_action(steps.flaky, 4))
        await asyncio.gather(*risky, return_exceptions=True)
        return sum(both) + await step.run_action(steps.act, 0)

    @manager.workflow(name="busy")
    async def busy(step: Step, rounds: int) -> int:
        async def row() -> int:
            return sum([await step.run_action(steps.act, 1) for _ in range(rounds)])

        return sum(await asyncio.gather(*(row() for _ in range(8))))

    @manager.workflow(name="add")
    async def add(step: Step, times: int) -> int:
        await asyncio.gather(*(step.run_mutation(steps.write) for _ in range(times)))
        return await step.run_mutation(steps.write)

    return {
        "lasting": Program(lasting, (), 7),
        "busy": Program(busy, (3,), 24),
        "add": Program(add, (3,), None),
    }


def _canceling(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    """Steps that are no longer wanted before they have ended."""

    @manager.workflow(name="waves")
    async def waves(step: Step, rounds: int) -> int:
        for number in range(rounds):
            await step.run_action(steps.quick, number)
            tasks = [asyncio.create_task(_awaited(step.run_action(steps.quick, n))) for n in range(7)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        return rounds

    @manager.workflow(name="impatient")
    async def impatient(step: Step, rounds: int) -> int:
        for number in range(rounds):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.4):
                    await step.run_action(steps.unwanted, number)
        await step.sleep(12)
        return rounds

    @manager.workflow(name="race")
    async def race(step: Step, wide: int) -> int:
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await step.run_action(steps.long, 1)
        tasks = [asyncio.create_task(_awaited(step.run_action(steps.act, n))) for n in range(wide)]
        done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        await step.run_action(steps.act, 7)
        return len(done) > 0

    return {
        "waves": Program(waves, (5,), 5),
        "impatient": Program(impatient, (6,), 6),
        "race": Program(race, (6,), 1),
    }


def _families(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    """Children that are awaited, canceled, named, or gone soon."""

    @manager.workflow(name="child")
    async def child(step: Step, number: int) -> int:
        await step.run_action(steps.act, number)
        await step.sleep(1)
        return await step.run_action(steps.act, number)

    @manager.workflow(name="leaf", retention=0)
    async def leaf(step: Step) -> int:
        return len(step.workflow_id)

    @manager.workflow(name="parent")
    async def parent(step: Step, name: str) -> int:
        total = await step.run_workflow(child, 1)
        kept = child.with_options(id=name) if name else child
        for seconds in (0.01, 0.5):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await step.run_workflow(child, 2)
        total += await step.run_workflow(kept, 3)
        await step.run_workflow(leaf)
        await step.run_action(steps.act, 1)
        return total

    return {
        "parent": Program(parent, ("",), 4),
        "named": Program(parent, ("chosen",), 4),
    }


async def _awaited(future: Any) -> Any:  # noqa: ANN401 - of a step
    return await future
