"""Staff: the worker processes of a simulation. Whoever is killed is replaced after a while by another."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from actors.servers import Worker
from actors.testing.clock import end_housekeeping, housekeeping
from actors.testing.simulation.lane import SimulatedConnector
from actors.testing.simulation.world import mixed, rest
from actors.testing.twin import Twin
from kernel import LaneLost, LaneTimedOut, Space, Store, heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from actors.definitions import StepDefinition
    from actors.servers import WorkerSettings
    from actors.testing.simulation.world import Process, World

T = TypeVar("T")

BEATS_A_TIMEOUT: Final = 5


class SimulatedSpace(Space):
    """A namespace as one process sees it: the server has a clock of its own, the process another."""

    process: Process

    @property
    def clock(self) -> str:
        """Scripts ask the server for the time."""
        return ""

    def now_ms(self) -> int:
        """Return what the process takes for the server's time."""
        return super().now_ms() + self.process.skew_ms


class SimulatedTwin(Twin):
    """The definitions as one process has them."""

    process: Process

    @classmethod
    def for_process(cls, twin: Twin, process: Process) -> SimulatedTwin:
        """Return a copy of a twin for one process; fakes are shared."""
        copy = object.__new__(cls)
        copy.__dict__.update(vars(twin))
        copy.__dict__.update(process=process, _store=None, _loop=None, _opening=None)
        return copy

    async def _open(self, *, patience_s: float | None) -> Store:
        return await self._open_on(
            SimulatedConnector(self._connector(), self.process), patience_s=patience_s, kind=self._kind()
        )

    async def open_store(self) -> Store:
        """Return new connections of the process."""
        return await self._open(patience_s=None)

    def _kind(self) -> type[SimulatedSpace]:
        process = self.process

        class OfThisProcess(SimulatedSpace):
            """Its clock is the process'."""

        OfThisProcess.process = process
        return OfThisProcess

    def get_step(self, name: str) -> StepDefinition[..., Any]:
        """Return the step that runs here: nothing of it begins in a process that is dead or stands still."""
        step = super().get_step(name)
        function, process = step.function, self.process
        if not inspect.iscoroutinefunction(function):
            return step

        async def run(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - whatever the step takes
            await process.gate()
            end_housekeeping()
            return await function(*args, **kwargs)

        step.function = run  # super() returned a copy
        return step


class SimulatedPulse:
    """A worker's heartbeat, over a connection of its own, as that of the thread of a real one."""

    def __init__(
        self, store: Store, process: Process, *, worker: str, timeout_s: float, fenced: Callable[[], None]
    ) -> None:
        """Beat five times within ``timeout_s``; ``fenced`` is called when this incarnation was declared dead."""
        self._store, self._process, self._worker = store, process, worker
        self._every_s, self._fenced = timeout_s / BEATS_A_TIMEOUT, fenced
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.get_running_loop().create_task(self._beat(), name="pulse")

    def stop(self) -> None:
        """Stop beating."""
        if self._task is not None:
            self._task.cancel()

    async def _beat(self) -> None:
        connector, key = self._store.space.connector, self._store.space.keys.workers
        assert isinstance(connector, SimulatedConnector)
        lane, value = None, 0
        try:
            while True:
                value += 1
                try:
                    lane = lane or await connector.open(key, counts=False)
                    (reply,) = await lane.send([heartbeat(key, self._worker, value)])
                    if reply == b"FENCED":
                        self._fenced()
                        return
                except (LaneLost, LaneTimedOut):
                    if lane is not None:
                        await lane.close()
                    lane = None
                await rest(self._every_s)
        finally:
            if lane is not None:
                await lane.close()


class SimulatedWorker(Worker):
    """A whole worker of one process, all of it on the loop."""

    def __init__(self, process: Process, *, store: Store, registry: Twin, settings: WorkerSettings) -> None:
        """Work as ``process``."""
        super().__init__(store=store, registry=registry, settings=settings)
        self.process = process
        self._lives = 0

    def _new_incarnation(self) -> str:
        self._lives += 1
        return (
            f"{mixed(self.process.world.schedule.seed, self.process.number, self._lives):016x}-w{self.process.number}"
        )

    def _make_pulse(self, incarnation: str) -> SimulatedPulse:
        return SimulatedPulse(
            self._store,
            self.process,
            worker=incarnation,
            timeout_s=self._settings.worker_timeout_s,
            fenced=partial(self._begin_rebirth, incarnation),
        )

    def _about(self) -> str:
        return "{}"

    @property
    def is_busy(self) -> bool:
        """Whether a step runs."""
        return self._host is not None and bool(self._host.hands.held)


class Staff:
    """Hires worker processes. ``start`` and ``stop`` once each."""

    def __init__(self, world: World, twins: tuple[Twin, Twin], settings: Callable[[int], WorkerSettings]) -> None:
        """``twins``: of the new code and of the old. ``settings``: of the process of a number."""
        self._world = world
        self._twins = twins
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._hired = 0
        self._are_old: dict[int, bool] = {}
        """By place, whether who works there has the old code."""
        self.workers: dict[int, SimulatedWorker] = {}
        """Those at work, by process."""
        self.deaths = 0
        """Processes that were killed."""

    def start(self) -> None:
        """Have as many workers at work as the schedule says, and another whenever one dies."""
        loop = asyncio.get_running_loop()
        with housekeeping():
            for place in range(self._world.schedule.workers):
                self._tasks.append(loop.create_task(self._fill(place), name=f"place {place + 1}"))

    async def stop(self) -> None:
        """Kill all workers that are left; their connections are closed."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def is_busy(self) -> bool:
        """Whether a step runs, or somebody is not well."""
        return any(worker.is_busy or worker.process.is_impaired for worker in self.workers.values()) or (
            len(self.workers) < self._world.schedule.workers
        )

    async def _fill(self, place: int) -> None:
        """Have one place filled, by one process after another. Whoever comes last must be new if all others are old."""
        places = range(self._world.schedule.workers)
        while True:
            self._hired += 1
            process = self._world.process(self._hired)
            may_be_old = not all(self._are_old.get(other, False) for other in places if other != place)
            self._are_old[place] = is_old = may_be_old and self._world.is_old(process.number)
            await self._employ(process, is_old=is_old)
            del self._are_old[place]
            self.deaths += 1
            await rest(process.hire_after_s)

    async def _employ(self, process: Process, *, is_old: bool) -> None:
        """Run one process until it is killed."""
        twin = SimulatedTwin.for_process(self._twins[is_old], process)
        life = asyncio.get_running_loop().create_task(self._live(process, twin), name=f"worker {process.number}")
        try:
            await asyncio.wait([life])
        finally:
            process.dead.set()
            # Not cancelled: it ends what the worker has begun, and that would be left behind.
            await asyncio.wait([life])
            self.workers.pop(process.number, None)
        if (error := life.exception()) is not None:
            raise error

    async def _live(self, process: Process, twin: SimulatedTwin) -> None:
        store = await _unless_dead(twin.open_store(), process)
        if store is None:
            return
        worker = SimulatedWorker(process, store=store, registry=twin, settings=self._settings(process.number))
        self.workers[process.number] = worker
        try:
            await _unless_dead(worker.start(), process)
            await process.dead.wait()
        finally:
            await worker.kill()
            await store.close()


async def _unless_dead(work: Coroutine[Any, Any, T], process: Process) -> T | None:
    """Run something of a process until it is done or the process is dead: then None."""
    loop = asyncio.get_running_loop()
    task, death = loop.create_task(work), loop.create_task(_wait_for_death(process))
    try:
        await asyncio.wait([task, death], return_when=asyncio.FIRST_COMPLETED)
    finally:
        death.cancel()
        task.cancel()
        await asyncio.wait([task, death])
    return None if task.cancelled() else task.result()


async def _wait_for_death(process: Process) -> None:
    await process.dead.wait()
