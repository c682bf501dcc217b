"""What is taken back before the answer that brings it into a worker's hands was read: no code of it goes on."""

from __future__ import annotations

import asyncio
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from actors import RetryPolicy, Step, WorkflowManager
from actors.testing import WorkflowTester
from actors.testing.crashes import Life

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

RETRIED = RetryPolicy(max_attempts=2, initial_backoff=1, jitter=False)
DELAYED_S = 5


class Late(Life):
    """A worker's life in which something is done after one write, before its answer is read."""

    def __init__(self, at: int, act: Callable[[], Awaitable[object]]) -> None:
        """``at``: the write, from 1."""
        super().__init__()
        self._at, self._act = at, act

    async def answered(self, number: int) -> None:
        """Hold the answer back until all have heard of what was done."""
        if number and number == self._at:
            await self._act()
            for _ in range(20):
                await asyncio.sleep(0)


class HeldTester(WorkflowTester):
    """A tester whose worker has one life."""

    life: Life

    def _lives(self) -> Iterator[Life]:
        return repeat(self.life)


async def cancel_after(write: int, *, delayed: bool) -> tuple[int, int, int]:
    """Cancel after a write: return how often code ran, how much of it runs then, and the number of writes."""
    manager = WorkflowManager("redis://nowhere.invalid")
    ran = running = 0

    @manager.action(retry=RETRIED)
    async def work() -> None:
        nonlocal ran, running
        ran, running = ran + 1, running + 1
        try:
            await asyncio.sleep(60)
        finally:
            running -= 1

    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(work.with_options(run_after=DELAYED_S) if delayed else work)

    tester = HeldTester(manager)
    tester.life = Late(write, lambda: tester.manager.handle("one").cancel())
    async with tester:
        handle = await tester.start(flow.with_options(id="one"))
        await tester.advance(DELAYED_S * delayed + 0.1)
        if (await handle.status()).type == "in_progress":
            return ran, 0, tester.life.writes
        return ran, running, tester.life.writes


@pytest.mark.parametrize("delayed", [False, True], ids=["granted with its turn", "taken from its queue"])
def test_a_step_that_was_canceled_before_its_worker_knew_that_it_has_it_does_not_run(*, delayed: bool) -> None:
    ran, _, writes = asyncio.run(cancel_after(0, delayed=delayed))
    assert ran == 1
    late = [asyncio.run(cancel_after(write, delayed=delayed)) for write in range(1, writes + 1)]
    assert [running for _, running, _ in late] == [0] * writes
    assert min(ran for ran, _, _ in late) == 0
