"""Cancel, restart and cleanup at any moment of random programs: nothing is left running, nothing pending, no key."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from actors import (
    RetryPolicy,
    Step,
    StepFailed,
    Transaction,
    WorkflowBusy,
    WorkflowFailed,
    WorkflowManager,
    WorkflowNotFound,
    WorkflowRunning,
    Workpool,
)
from actors.testing import WorkflowTester
from kernel import Refused
from kernel.store.audit import audit
from tests.life.leftovers import keys_left, pending

Program = list[Any]
"""Parts one after another: a word, or a word and programs."""
WORDS = ("work", "work", "flaky", "write", "sleep", "event", "fail", "anew", "timed")
OF_POOLS = ("shared", "shared", "limited", "write", "event", "fail", "anew")
NESTING = ("child", "left", "both", "first", "finally")


def draw(rng: random.Random, depth: int = 2, *, words: tuple[str, ...] = WORDS) -> Program:
    parts: Program = []
    for _ in range(rng.randint(1, 3)):
        if depth and rng.random() < 0.4:
            nested = draw(rng, depth - 1, words=words), draw(rng, depth - 1, words=words)
            parts.append([rng.choice(NESTING), *nested])
        else:
            parts.append(rng.choice(words))
    return parts


class Steps:
    """What programs run."""

    def __init__(self, manager: WorkflowManager) -> None:
        @manager.action(name="work", retry=RetryPolicy(max_attempts=3, initial_backoff=1, jitter=False))
        async def work(number: int) -> int:
            return number

        @manager.action(name="flaky", retry=False)
        async def flaky(number: int) -> int:
            raise ValueError(number)

        @manager.action(name="shared", pool="few", retry=RetryPolicy(max_attempts=2, initial_backoff=1, jitter=False))
        async def shared(seconds: float) -> None:
            await asyncio.sleep(seconds)

        @manager.mutation(name="write")
        async def write(tx: Transaction, number: int) -> None:
            tx.incrby(tx.key("total"), number)

        @manager.workflow(name="program", tags={"test": "moment"})
        async def program(step: Step, parts: list[Any], generation: int = 0) -> int:
            await Player(self, step, parts, generation).play(parts)
            return generation

        self.work, self.flaky, self.shared, self.write, self.program = work, flaky, shared, write, program


class Player:
    """Plays a program as an instance's code."""

    def __init__(self, steps: Steps, step: Step, parts: Program, generation: int) -> None:
        self.steps, self.step, self.parts, self.generation = steps, step, parts, generation

    async def play(self, parts: Program) -> None:
        for part in parts:
            await (self.word(part) if isinstance(part, str) else self.nested(*part))

    async def word(self, word: str) -> None:
        step, steps = self.step, self.steps
        match word:
            case "work":
                await step.run_action(steps.work, 1)
            case "flaky":
                await step.run_action(steps.flaky, 2)
            case "shared" | "limited":
                limits: Any = {"schedule_timeout": 4, "run_after": 1} if word == "limited" else {}
                await step.run_action(steps.shared.with_options(**limits), 7)
            case "write":
                await step.run_mutation(steps.write, 3)
            case "sleep":
                await step.sleep(5)
            case "event":
                await step.await_event("go", timeout=30)
            case "timed":
                await step.run_action(steps.work.with_options(run_after=3, timeout=2), 4)
            case "fail":
                raise LookupError("as drawn")
            case _:
                if self.generation < 2:
                    steps.program.continue_as_new(self.parts, self.generation + 1)

    async def nested(self, word: str, one: Program, other: Program) -> None:
        match word:
            case "child":
                await self.step.run_workflow(self.steps.program, one, 2)
                await self.play(other)
            case "left":
                _ = self.step.run_workflow(self.steps.program, one, 2)
                await self.play(other)
            case "both":
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.play(one))
                    group.create_task(self.play(other))
            case "first":
                tasks = [asyncio.create_task(self.play(side)) for side in (one, other)]
                _, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in late:
                    task.cancel()
            case _:
                await self.guarded(one)
                await self.play(other)

    async def guarded(self, parts: Program) -> None:
        try:
            await self.play(parts)
        except (StepFailed, WorkflowFailed, TimeoutError):
            self.step.set_value("caught", 1)
        finally:
            await self.step.run_action(self.steps.work, 9)


async def disturb(tester: WorkflowTester, rng: random.Random, ids: list[str]) -> None:
    """Do one of the things that people do, to one of the instances; children are instances as well."""
    everyone = [item.id for item in (await tester.manager.list(limit=50)).items] or ids
    handle = tester.manager.handle(rng.choice([*ids, *everyone]))
    try:
        match rng.randrange(6):
            case 0:
                await handle.cancel()
            case 1:
                await handle.cancel(cleanup=True)
            case 2:
                await handle.restart()
            case 3:
                await handle.restart(from_step=1)
            case 4:
                await handle.cleanup()
            case _:
                if (await handle.status()).type == "in_progress":
                    await tester.send_event(handle, "go", 1)
    except (WorkflowNotFound, WorkflowRunning, WorkflowBusy, Refused):
        pass  # it is too late, or too early


@pytest.mark.parametrize("seed", range(30))
def test_nothing_runs_nothing_waits_and_after_cleanup_no_key_is_left(seed: int) -> None:
    play(seed, WORDS)


@pytest.mark.parametrize("seed", range(100, 108))
def test_nor_has_a_pool_given_a_permit_to_anybody_or_anybody_waiting(seed: int) -> None:
    play(seed, OF_POOLS)


def play(seed: int, words: tuple[str, ...]) -> None:
    rng = random.Random(seed)
    manager = WorkflowManager("memory://unused", retention=3600)
    Workpool(manager, "few", max_parallelism=1 + seed % 2)
    program = Steps(manager).program

    async def scenario(tester: WorkflowTester) -> None:
        ids = [(await tester.start(program, draw(rng, words=words))).id for _ in range(3)]
        for _ in range(rng.randint(3, 12)):
            if rng.random() < 0.5:
                await tester.advance(rng.choice([0.001, 1, 4, 40]))
            else:
                for _ in range(rng.randint(0, 30)):
                    await asyncio.sleep(0)
            await disturb(tester, rng, ids)
        store = await tester.manager.store()
        for _ in range(3):  # who ends may have begun a child that its message starts only now
            await tester.manager.cancel_many()
            await tester.advance(120)
        assert await tester.manager.cancel_many() == 0
        assert await pending(store) == []
        assert await audit(store.space) == []
        await tester.manager.cleanup_many(tags={"test": "moment"})
        await tester.advance(60)
        assert (await tester.manager.list()).items == ()
        assert await audit(store.space) == []
        assert await keys_left(store) == []
        assert (await store.pools.status("few"))[1:] == (0, 0)

    tester = WorkflowTester(
        manager,
        crash_seed=seed if seed % 3 == 0 else None,
        replay="always" if seed % 2 else "cached",
        seed=seed,
        strict=False,  # the collector may run in workflow code, and Hypothesis measures its time then
    )
    tester.play(scenario)
