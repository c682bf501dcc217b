"""Further workflows that are run while a guard is missing: what needs a Cluster, a clock, other code or a callback."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from actors import Step, StepFailed
from actors.errors import WorkflowFailed
from tests.simulation.guards.program import Program

if TYPE_CHECKING:
    from actors import WorkflowManager
    from tests.simulation.guards.steps import Steps

NAP_S = 3.0
BRIEF_S = 27.0
"""How long what is brief is kept: pruners look every 30 s."""
LARGE = 80_000


def define_rarer(manager: WorkflowManager, steps: Steps, *, is_old: bool) -> dict[str, Program]:
    """Define them for one run, by name; ``is_old``: as older workers have them."""
    return {
        **_relatives(manager, steps),
        **_by_the_clock(manager, steps),
        **_with_an_end(manager, steps),
        **_for_two_versions(manager, steps, is_old=is_old),
    }


def _relatives(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    """Children in other partitions, and large payloads."""

    @manager.workflow(name="niece")
    async def niece(step: Step, number: int) -> int:
        await step.run_action(steps.act, number)
        return await step.run_action(steps.quick, number)

    @manager.workflow(name="distant")
    async def distant(step: Step, rounds: int) -> int:
        total = 0
        for number in range(rounds):
            relative = niece.with_options(id=f"{number}-of-{step.workflow_id}")
            total += await step.run_workflow(relative, number)
        return total

    @manager.workflow(name="bulky")
    async def bulky(step: Step, rounds: int) -> int:
        return sum([len(await step.run_action(steps.large, LARGE + number)) > 0 for number in range(rounds)])

    return {"distant": Program(distant, (4,), 6), "bulky": Program(bulky, (3,), 3)}


def _by_the_clock(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    @manager.workflow(name="nap")
    async def nap(step: Step, rounds: int) -> int:
        for _ in range(rounds):
            before = await step.run_action(steps.time_ms)
            await step.sleep(NAP_S)
            if await step.run_action(steps.time_ms) < before + NAP_S * 1000 - 1:
                return -1
        return rounds

    @manager.workflow(name="watch")
    async def watch(step: Step, rounds: int) -> int:
        last = step.now()
        for number in range(rounds):
            await step.run_action(steps.quick, number)
            if step.now() < last:
                return -1
            last = step.now()
        return rounds

    @manager.workflow(name="order")
    async def order(step: Step, rounds: int) -> int:
        """Asks for something else, depending on which step was first."""
        for number in range(rounds):
            tasks = [asyncio.create_task(_awaited(step.run_action(steps.act, n))) for n in range(5)]
            for done in range(5):
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                first = next(index for index, task in enumerate(tasks) if task.done())
                del tasks[first]
                await step.run_action((steps.quick, steps.flaky)[(number + first + done) % 2], first)
        return rounds

    return {"nap": Program(nap, (4,), 4), "watch": Program(watch, (9,), 9), "order": Program(order, (2,), 2)}


def _with_an_end(manager: WorkflowManager, steps: Steps) -> dict[str, Program]:
    @manager.workflow(name="helpless")
    async def helpless(step: Step) -> int:
        await step.run_action(steps.quick, 1)
        await asyncio.get_running_loop().create_future()  # which nobody knows
        return 1

    @manager.workflow(name="helper")
    async def helper(step: Step, rounds: int) -> int:
        for _ in range(rounds):
            with contextlib.suppress(StepFailed, WorkflowFailed):
                await step.run_workflow(helpless)
                return -1
        return rounds

    @manager.workflow(name="told")
    async def told(step: Step) -> int:
        return await step.run_action(steps.act, 7)

    @manager.workflow(name="brief", retention=BRIEF_S)
    async def brief(step: Step) -> int:
        return await step.run_action(steps.act, 5)

    return {
        "helper": Program(helper, (2,), 2),
        "told": Program(told.with_options(on_complete=steps.hear_of_end, context=None), (), 7),
        "brief": Program(brief, (), 5),
    }


def _for_two_versions(manager: WorkflowManager, steps: Steps, *, is_old: bool) -> dict[str, Program]:
    """A step that older workers do not have, and code that is another one with them."""

    @manager.workflow(name="novel")
    async def novel(step: Step, rounds: int) -> int:
        return sum([await step.run_action(steps.novel, 1) for _ in range(rounds)])

    @manager.workflow(name="mended")
    async def mended(step: Step, rounds: int) -> int:
        total = 0
        for number in range(rounds):
            total += await step.run_action(steps.act if is_old and number else steps.quick, 1)
        return total

    return {"novel": Program(novel, (3,), 3), "mended": Program(mended, (4,), 4)}


async def _awaited(future: object) -> object:
    return await future  # type: ignore[misc]  # of a step
