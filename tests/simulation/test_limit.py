"""A run that does not end is ended, whatever the loop takes for the time, and says where it was."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from actors import Misuse, Step, WorkflowManager
from actors.testing.simulation import NO_FAULTS, Schedule, Simulation, SimulationFailed, limit, run, simulate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT_S = 0.3
END_S = 20.0
"""Far beyond the limit and its grace: a machine under load is no failure."""


async def waits(_simulation: Simulation) -> None:
    await asyncio.Event().wait()


async def sleeps_on(_simulation: Simulation) -> None:
    while True:  # noqa: ASYNC110 - it shall not end
        await asyncio.sleep(1)


async def blocks(_simulation: Simulation) -> None:
    while True:
        pass


class Endless:
    """A scenario that does not end."""

    old = None

    def __init__(self, way: Callable[[Simulation], Awaitable[None]]) -> None:
        self.way = way
        self.manager = WorkflowManager("memory://")

        @self.manager.workflow(name="flow")
        async def flow(step: Step) -> None:
            await step.sleep(5)

        self.flow = flow

    async def play(self, simulation: Simulation) -> None:
        await simulation.start(self.flow)
        await self.way(simulation)


@pytest.mark.parametrize("way", [waits, sleeps_on, blocks])
def test_a_run_that_does_not_end_is_ended(
    way: Callable[[Simulation], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, "GRACE_S", 0.3)
    schedule = NO_FAULTS.draw(1, workers=1)
    began = time.monotonic()

    done = run(lambda _schedule: Endless(way), schedule, seconds_max=LIMIT_S)

    assert isinstance(done.error, SimulationFailed)
    assert f"with {schedule}:\n  it has not ended within 0.3 s; it was at\n" in str(done.error)
    assert "File " in str(done.error)
    assert time.monotonic() - began < END_S


def test_what_ends_in_time_is_left_alone() -> None:
    async def ends(simulation: Simulation) -> None:
        await simulation.finish()

    assert run(lambda _schedule: Endless(ends), NO_FAULTS.draw(1, workers=1)).error is None


async def in_a_loop() -> None:
    with pytest.raises(Misuse, match="a loop runs here"):
        run(lambda _schedule: Endless(waits), Schedule(1))
    with pytest.raises(Misuse, match="a loop runs here"):
        simulate(lambda _schedule: Endless(waits), [1])


def test_within_a_loop_a_run_is_refused() -> None:
    asyncio.run(in_a_loop())
