"""Running simulations: one, many, and the shortest schedule that still fails."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from actors.testing.checking import refuse_in_loop
from actors.testing.simulation.limit import Limit, OverLimit
from actors.testing.simulation.schedule import Fault, Faults, Schedule
from actors.testing.simulation.simulation import Simulation, SimulationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.manager import WorkflowManager

REAL_S_MAX: Final = 60.0
"""How long one run may take, in real seconds."""
SHRINK_S: Final = 60.0
"""How long a shorter schedule is looked for, in real seconds."""


class Scenario(Protocol):
    """What is run: made anew for every run, so that one run knows nothing of another."""

    @property
    def manager(self) -> WorkflowManager:
        """The definitions."""
        ...

    @property
    def old(self) -> WorkflowManager | None:
        """The definitions of older workers; None: the same."""
        ...

    async def play(self, simulation: Simulation) -> None:
        """Start workflows, wait, assert. Whatever it raises is a failure of the run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one run."""

    schedule: Schedule
    error: BaseException | None = None
    """Why it failed; None: all was well."""
    injected: Counter[str] = field(default_factory=Counter[str])
    taken: tuple[Fault, ...] = ()
    """The faults of the schedule that came to pass."""
    digest: int = 0
    writes: int = 0
    seconds: float = 0.0
    """Of virtual time."""
    trace: tuple[str, ...] = ()


def run(
    make: Callable[[Schedule], Scenario], schedule: Schedule, *, trace: bool = False, seconds_max: float = REAL_S_MAX
) -> Run:
    """Run one schedule. ``make`` makes the scenario, which may differ by ``schedule.seed``.

    A run that has not ended after ``seconds_max`` real seconds has failed: it is canceled, and broken off 5 s later.

    Raises:
        Misuse: an event loop runs here.
    """
    refuse_in_loop("Simulation")
    scenario = make(schedule)
    simulation = Simulation(scenario.manager, schedule=schedule, old=scenario.old, trace=trace)

    limit = Limit(seconds_max)

    async def play() -> None:
        limit.cancels(asyncio.current_task())
        async with simulation:
            await scenario.play(simulation)

    error: BaseException | None = None
    try:
        with limit:
            asyncio.run(play())
    except (Exception, asyncio.CancelledError, OverLimit) as raised:  # noqa: BLE001 - whatever it is, it is what the run came to
        error = raised
    if limit.passed:
        simulation.abandon()
        said = f"with {schedule}:\n  it has not ended within {seconds_max:g} s; it was at\n{limit.where}"
        error, error.__cause__ = SimulationFailed(said), error
    if not simulation.has_begun:
        return Run(schedule=schedule, error=error)
    world = simulation.world
    return Run(
        schedule=schedule,
        error=error,
        injected=world.injected,
        taken=tuple(world.taken),
        digest=world.digest,
        writes=world.writes,
        seconds=world.seconds,
        trace=tuple(simulation.trace),
    )


def simulate(
    make: Callable[[Schedule], Scenario], seeds: Iterable[int], *, workers: int = 3, faults: Faults | None = None
) -> Counter[str]:
    """Run many seeds; return what went wrong in all of them together.

    Raises:
        SimulationFailed: one failed; with the shortest schedule that was found, and why.
    """
    injected: Counter[str] = Counter()
    for seed in seeds:
        done = run(make, (faults or Faults()).draw(seed, workers=workers))
        if done.error is not None:
            least = shrink(lambda schedule: run(make, schedule), done)
            raise SimulationFailed(f'seed {seed} fails; schedule="{least.schedule}" is enough:\n{least.error}') from (
                least.error
            )
        injected += done.injected
    return injected


def shrink(play: Callable[[Schedule], Run], failed: Run, *, seconds_max: float = SHRINK_S) -> Run:
    """Return the failing run with the fewest and smallest faults that is found within ``seconds_max``."""
    deadline = time.monotonic() + seconds_max
    best = failed
    if set(failed.taken) != set(failed.schedule.faults):
        kept = tuple(fault for fault in failed.schedule.faults if fault in failed.taken or fault.kind == "old")
        best = _failing(play, [replace(failed.schedule, faults=kept)], deadline) or failed
    while (better := _failing(play, _smaller(best.schedule), deadline)) is not None:
        best = better
    return best


def _failing(play: Callable[[Schedule], Run], schedules: Iterable[Schedule], deadline: float) -> Run | None:
    """Return the first run that fails."""
    for schedule in schedules:
        if time.monotonic() > deadline:
            return None
        if (done := play(schedule)).error is not None:
            return done
    return None


def _smaller(schedule: Schedule) -> Iterable[Schedule]:
    """Yield schedules with less in them, the boldest first."""
    faults = schedule.faults
    size = len(faults) // 2
    while size >= 1:
        for first in range(0, len(faults), size):
            yield replace(schedule, faults=faults[:first] + faults[first + size :])
        size //= 2
    if schedule.delays:
        yield replace(schedule, delays=False)
    if schedule.workers > 1:
        yield replace(schedule, workers=schedule.workers - 1)
    if schedule.nodes > 1 and all(fault.kind != "failover" for fault in faults):
        yield replace(schedule, nodes=1)
    for fault in faults:
        for amount in {fault.amount // 10, fault.amount // 2} - {fault.amount}:
            if abs(amount) >= 1:
                yield replace(schedule, faults=tuple(sorted({*faults} - {fault} | {replace(fault, amount=amount)})))
