"""A scenario of steps that share a pool: every instance ends, and the pool holds and awaits nothing at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from actors import Canceled, Step, WorkflowCanceled, WorkflowManager, Workpool
from actors.testing import TestedHandle
from actors.testing.simulation import Schedule, Simulation
from tests.simulation import flows
from tests.simulation.scenario import Mixed

HEALED_S_MAX = 400
"""After a failover that lost writes a pool is looked after once a minute."""

manager = WorkflowManager("memory://unused", retention=36_000)
pool = Workpool(manager, "few", max_parallelism=2)
do_book = manager.mutation(name="book", pool="few")(flows.book)
do_work = manager.action(name="work", retry=flows.PATIENT, pool="few")(flows.work)
do_flaky = manager.action(name="flaky", retry=flows.PATIENT, pool="few", schedule_timeout=3_000)(flows.flaky)


@manager.workflow(name="crowd")
async def crowd(step: Step, me: str) -> int:
    works = [step.run_action(do_work.with_options(priority=n), f"{me}-{n}", 0.2 * n) for n in range(4)]
    booked = step.run_mutation(do_book, f"{me}-b", "shared")
    await step.run_action(do_flaky, f"{me}-flaky", 1)
    await booked
    return len(await asyncio.gather(*works))


@manager.workflow(name="hasty")
async def hasty(step: Step, me: str) -> str:
    racing: list[asyncio.Future[Any]] = [step.run_action(do_work, f"{me}-{n}", 0.1 * n) for n in range(3)]
    done, late = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
    for one in late:
        one.cancel()
    return str(done.pop().result())


@manager.workflow(name="renewed")
async def renewed(step: Step, me: str, generation: int = 0) -> int:
    _ = step.run_action(do_work, f"{me}-{generation}-left", 1.0)
    await step.run_mutation(do_book, f"{me}-{generation}", "own")
    if generation < 2:
        renewed.continue_as_new(me, generation + 1)
    return generation


class Pooled(Mixed):
    """One run."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.manager, self.old = manager, None  # type: ignore[assignment]

    async def play(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.ledger = flows.begin()
        kinds: list[Callable[[str], Awaitable[None]]] = [self.crowd, self.crowd_canceled, self.hasty, self.renewed]
        chosen = [self.random.choice(kinds) for _ in range(3)]
        await asyncio.gather(*(self.tuned(), *(kind(f"{kind.__name__}{n}") for n, kind in enumerate(chosen))))
        await self._check_lines()
        await self._check_pool()
        await simulation.vanish()

    async def tuned(self) -> None:
        """Pause the pool for a while, as a person does."""
        if self.random.random() < 0.5:
            pools = (await self.simulation.manager.store()).pools
            await self.later()
            await pools.resize("few", 0, declared=2)
            await self.later()
            await pools.resize("few", self.random.choice([1, 2, 5]), declared=2)

    async def crowd(self, me: str) -> None:
        handle = await self.start(crowd, me)
        self.books(f"{me}-b")
        assert await handle.result() == 4

    async def crowd_canceled(self, me: str) -> None:
        handle: TestedHandle[Any] = await self.start(crowd, me)
        self.maybe.add(f"{me}-b")
        await self.later()
        await handle.cancel()
        try:
            assert await handle.result() == 4
        except WorkflowCanceled:
            assert isinstance(await handle.status(), Canceled)

    async def hasty(self, me: str) -> None:
        handle = await self.start(hasty, me)
        assert (await handle.result()).startswith(me)

    async def renewed(self, me: str) -> None:
        handle = await self.start(renewed, me)
        self.books(*(f"{me}-{n}" for n in range(3)))
        assert await handle.result() == 2

    async def _check_pool(self) -> None:
        pools = (await self.simulation.manager.store()).pools
        status = await pools.status("few")
        for _ in range(HEALED_S_MAX):
            if status[1:] == (0, 0):
                return
            await self.simulation.advance(1)
            status = await pools.status("few")
        raise AssertionError(f"nothing is under way, and the pool has {status}")
