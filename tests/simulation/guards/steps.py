"""Steps of the workflows that are run while a guard is missing. They note that they run, outside of Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from actors import RetryPolicy, Transaction, WorkflowManager, current_step

if TYPE_CHECKING:
    from random import Random

    from actors.definitions import Action, Mutation

AGAIN: Final = RetryPolicy(max_attempts=50, initial_backoff=0.2, max_backoff=2, jitter=False)
LUCKY: Final = 3
"""The attempt that succeeds."""


class Notes:
    """What the steps of one run leave outside of Redis."""

    def __init__(self) -> None:
        self.began: Counter[str] = Counter()
        """How often each attempt began."""
        self.began_once: Counter[str] = Counter()
        """The same of actions that may run once only."""
        self.ends_heard: Counter[str] = Counter()
        """How often what is to be called on completion was called, by instance."""
        self.overrun = 0
        """Steps that went on long after they were canceled."""

    def begin(self) -> str:
        """Note that an attempt begins; return its name."""
        step = current_step()
        key = f"{step.idempotency_key}:{step.attempt}"
        self.began[key] += 1
        return key


class Steps(NamedTuple):
    """What the workflows run."""

    act: Action[[int], int]
    """Takes some time, or none."""
    quick: Action[[int], int]
    unwanted: Action[[int], int]
    """Is canceled long before it has ended."""
    long: Action[[int], int]
    flaky: Action[[int], int]
    once: Action[[int], int]
    """May run once only."""
    large: Action[[int], str]
    """Returns so many letters."""
    time_ms: Action[[], int]
    """Returns the loop's time."""
    novel: Action[[int], int]
    """Older workers do not have it."""
    hear_of_end: Action[[str, object, object], None]
    """Is called on completion."""
    write: Mutation[[], int]
    """Adds one to a number that it reads, and leaves a line."""


def define_steps(manager: WorkflowManager, random: Random, notes: Notes, *, is_old: bool = False) -> Steps:
    """Define them for one run; ``is_old``: as older workers have them."""

    @manager.action(name="act", retry=AGAIN)
    async def act(number: int) -> int:
        notes.begin()
        await asyncio.sleep(random.choice((0, 0.01, 0.3, 2)))
        return number

    @manager.action(name="quick", retry=AGAIN)
    async def quick(number: int) -> int:
        notes.begin()
        return number

    @manager.action(name="unwanted", retry=AGAIN)
    async def unwanted(number: int) -> int:
        await asyncio.sleep(8)
        notes.overrun += 1
        return number

    @manager.action(name="long", retry=AGAIN)
    async def long(number: int) -> int:
        notes.begin()
        await asyncio.sleep(9)
        return number

    @manager.action(name="flaky", retry=AGAIN)
    async def flaky(number: int) -> int:
        notes.begin()
        await asyncio.sleep(random.choice((0, 0.02)))
        if current_step().attempt < 3:
            raise ValueError(number)
        return number

    @manager.action(name="once")
    async def once(number: int) -> int:
        notes.began_once[notes.begin()] += 1
        await asyncio.sleep(random.choice((0.1, 2, 6)))
        return number

    @manager.mutation(name="write")
    async def write(tx: Transaction) -> int:
        total = int(await tx.get(tx.key("total")) or 0) + 1
        await asyncio.sleep(random.choice((0, 0.05)))
        tx.set(tx.key("total"), str(total))
        tx.rpush(tx.key("lines"), current_step().idempotency_key)
        return total

    return Steps(act, quick, unwanted, long, flaky, once, *_define_rarer(manager, notes, is_old=is_old), write)


def _define_rarer(
    manager: WorkflowManager, notes: Notes, *, is_old: bool
) -> tuple[Action[[int], str], Action[[], int], Action[[int], int], Action[[str, object, object], None]]:
    newest = WorkflowManager() if is_old else manager

    @manager.action(name="large", retry=AGAIN)
    async def large(size: int) -> str:
        notes.begin()
        return "x" * size

    @manager.action(name="time", retry=AGAIN)
    async def time_ms() -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    @newest.action(name="newest", retry=AGAIN)
    async def novel(number: int) -> int:
        notes.begin()
        return number

    @manager.action(name="hear_of_end", retry=AGAIN)
    async def hear_of_end(workflow_id: str, result: object, context: object) -> None:
        notes.ends_heard[workflow_id] += 1

    return large, time_ms, novel, hear_of_end
