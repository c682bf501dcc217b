"""``Simulation``: several whole workers at once, on virtual time, while things go wrong. See the package."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from actors.errors import HeadraceError, Misuse
from actors.servers import WorkerSettings
from actors.testing.checking import BEFORE, check_flag, check_kind, check_manager, check_names, check_number
from actors.testing.simulation.clock import SimulationClock
from actors.testing.simulation.logged import Logged, logged
from actors.testing.simulation.oracle import Oracle
from actors.testing.simulation.schedule import Faults, Schedule
from actors.testing.simulation.staff import SimulatedTwin, Staff
from actors.testing.simulation.world import STUCK_S, World
from actors.testing.tester import WorkflowTester
from actors.testing.twin import Twin
from kernel import next_due, virtual_memory_time

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable
    from contextlib import ExitStack
    from datetime import datetime
    from types import TracebackType

    from actors.manager import WorkflowManager

T = TypeVar("T")

DEATHS_MAX: Final = 1_000_000
"""Deaths that the schedule brings are not the step's fault."""
HEAL_S_MAX: Final = 400.0
"""So long after the last instance has ended pools and their steps agree again, whatever a failover took."""
TOMBSTONE_S: Final = 3_700.0
"""After so long what is left of a deleted instance must be gone too."""
_OPTIONS: Final = ("concurrency", "queues", "replay")
_CONCURRENCY: Final = (1, 3, 100, 100)
_CACHES: Final = (10_000, 10_000, 2, 0)


class SimulationFailed(HeadraceError):
    """Something was not as it must be: an invariant, or an error that the engine reported of itself."""


class Simulation(WorkflowTester):
    """Runs workflows on several workers under a schedule of faults. See the package's docstring."""

    def __init__(
        self,
        manager: WorkflowManager,
        *,
        seed: int = 0,
        schedule: Schedule | str | None = None,
        workers: int = 3,
        faults: Faults | None = None,
        old: WorkflowManager | None = None,
        now: datetime | None = None,
        strict: bool = False,
        trace: bool = False,
        **options: Any,  # noqa: ANN401 - the tester's own
    ) -> None:
        """Prepare; nothing runs before the block is entered.

        Args:
            manager: whose definitions are run.
            seed: of all that is left to chance: which faults come, how long calls take, nonces, jitter.
            schedule: what goes wrong, instead of what the seed draws: a ``Schedule`` or its text.
            workers: processes at work at a time, 1 or more.
            faults: what the seed may draw; None: of each kind.
            old: definitions as some of the workers have them (fault ``old``); None: as ``manager``.
            now: when virtual time begins.
            strict: as of ``WorkflowTester``; it takes time.
            trace: keep a line for each call, see ``trace``.
            options: ``concurrency``, ``queues`` and ``replay``, as of ``WorkflowTester``; otherwise each worker has its
                own concurrency and cache, drawn from the seed.

        Raises:
            InvalidOption, Misuse: with what to give instead.
        """
        check_manager(manager, name=type(self).__name__)
        if old is not None:
            check_manager(old, name=f"{type(self).__name__}(…, old=…)")
        check_number("seed", seed)
        check_number("workers", workers)
        check_flag("trace", trace)
        check_names(options, _OPTIONS, name=type(self).__name__)
        check_kind("schedule", schedule, (Schedule, str), instead="a Schedule, its text, or None to have one drawn")
        check_kind("faults", faults, (Faults,), instead="Faults(kinds, most), or None for all kinds")
        if isinstance(schedule, str):
            schedule = Schedule.parse(schedule)
        if schedule is None:
            schedule = (faults or Faults()).draw(seed, workers=workers)
        if schedule.workers < 1:
            raise Misuse(f"workers={schedule.workers}: give 1 or more")
        super().__init__(manager, now=now, seed=schedule.seed, strict=strict, **options)
        assert isinstance(self._clock, SimulationClock)
        self._days: Final = self._clock
        self.schedule: Final = schedule
        self._given = options
        self._old = old
        self._traces = trace
        self._world: World | None = None
        self._oracle: Oracle | None = None
        self._staff: Staff | None = None
        self._quiet_since: float | None = None
        self._logged = Logged()

    def _make_clock(self, start: datetime) -> SimulationClock:
        return SimulationClock(start)

    # ------------------------------------------------------------------------------------------ beginning and end

    async def _begin(self, stack: ExitStack) -> None:
        stack.enter_context(virtual_memory_time(self._clock.now_ms))
        self._logged = stack.enter_context(logged())
        self._world = world = World(self.schedule, self._url)
        world.trace = [] if self._traces else None
        old = self._twin if self._old is None else Twin.of(self._old, url=self._url, clock=self._clock)
        old.fakes = self._twin.fakes
        self._twin.default_partitions = old.default_partitions = self.schedule.nodes
        new, self._twin = self._twin, SimulatedTwin.for_process(self._twin, world.client)
        store = await self._twin.store()
        client = store.space.connector.blocking_client()
        stack.callback(client.close)
        self._clock.due_ms = lambda: next_due(store.space, client)
        self._clock.on_stuck = self._wake_waiting
        self._days.is_calm, self._days.is_stuck = self._is_calm, self._is_stuck
        self._lend_store(stack)
        self._oracle = oracle = Oracle(world, store.space.keys.tags, gateway=store.space.keys.gateway)
        stack.callback(oracle.close)
        world.on_write = self._look
        world.on_rollback = oracle.rolled_back
        self._staff = Staff(world, (new, old), self._settings_of)
        self._staff.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything and give the loop its own time back; raise SimulationFailed if all was not well."""
        assert self._stack is not None
        self._over = True
        with self._stack:
            try:
                await self._dismiss()
                if kind is None:
                    self.check()
            finally:
                await self._twin.close()

    async def _dismiss(self) -> None:
        if self._staff is not None:
            await self._staff.stop()
            self._staff = None
        for stray in list(self.world.strays):
            stray.cancel()
            await asyncio.wait([stray])

    def _settings_of(self, number: int) -> WorkerSettings:
        """Return the bounds of one process: they differ, as in a fleet."""
        drawn = self.schedule.seed * 31 + number
        return WorkerSettings(
            concurrency=self._given.get("concurrency", _CONCURRENCY[drawn % 4]),
            queues=self._settings.queues,
            worker_timeout_s=self._settings.worker_timeout_s,
            cache_instances=self._settings.cache_instances if "replay" in self._given else _CACHES[drawn // 4 % 4],
            journal_bytes_max=self._settings.journal_bytes_max,
            retention_ms=self._manager.retention_ms,
            deaths_max=DEATHS_MAX,
            jitter_seed=self.schedule.seed,
        )

    # ------------------------------------------------------------------------------------------------ what it is

    @property
    def world(self) -> World:
        """What has happened so far. Raises Misuse outside of the block."""
        if self._world is None:
            raise Misuse(BEFORE.format(name=type(self).__name__))
        return self._world

    @property
    def _judge(self) -> Oracle:
        if self._oracle is None:
            raise Misuse(BEFORE.format(name=type(self).__name__))
        return self._oracle

    def abandon(self) -> None:
        """Take back what the block changed outside of its loop, which is closed; nothing after it was left in order."""
        if self._stack is not None:
            with contextlib.suppress(Exception):  # of the loop nothing can be given back any more
                self._stack.close()

    @property
    def has_begun(self) -> bool:
        """Whether the block was entered."""
        return self._world is not None

    @property
    def injected(self) -> Counter[str]:
        """What went wrong so far, by kind."""
        return self.world.injected

    @property
    def trace(self) -> list[str]:
        """A line for each call that took effect so far, and for each fault; empty unless asked for."""
        return list(self.world.trace or ())

    @property
    def digest(self) -> int:
        """A number made of all calls and replies so far: two runs in which it is equal went alike."""
        return self.world.digest

    @property
    def crashes(self) -> int:
        """How many workers have died so far."""
        return self._staff.deaths if self._staff is not None else 0

    # ------------------------------------------------------------------------------------------------- judgement

    @property
    def violations(self) -> list[str]:
        """What is not as it must be, so far."""
        return self._judge.found + self._logged.errors

    def check(self) -> None:
        """Look at everything. Raises SimulationFailed."""
        if not self._judge.found:
            self._judge.found += self._judge.whole()
        if self.violations:
            raise SimulationFailed(self._said())

    def _said(self) -> str:
        return "\n  ".join([f"with {self.schedule}:", *self.violations])

    async def finish(self) -> None:
        """Let everything go on until all instances have ended and every message is delivered.

        Raises:
            SimulationFailed: all was not well.
            NothingHappens: something never ends.
        """
        while not self.violations and not self._is_over():
            await self._unless_stuck(asyncio.sleep(1.0), self._explain_stuck)
        self.check()

    async def vanish(self) -> None:
        """Clean up all that has ended; then nothing may be left but tombstones, and an hour later not even these.

        Afterwards nobody works any more. Raises SimulationFailed, NothingHappens.
        """
        await self.finish()
        while not self.violations and set(self._judge.statuses.values()) - {"gone"}:
            await self.manager.cleanup_many()  # again, if a failover has undone an end meanwhile
            await self._unless_stuck(asyncio.sleep(1.0), self._explain_stuck)
            self._judge.found += self._judge.whole()
        self.check()
        await self._dismiss()
        await self.advance(TOMBSTONE_S)
        session = self.world.server.session()
        left = [key for key in self.world.server.names() if b":wf" in key and session.run(("EXISTS", key))]
        session.close()
        if left:
            raise SimulationFailed(f"with {self.schedule}:\n  an hour after the cleanup there still is {left}")

    def _is_over(self) -> bool:
        judge = self._judge
        if judge.living or judge.posted:
            self._quiet_since = None
            return False
        if not judge.may_disagree:
            return True
        judge.found += judge.whole()
        now = self.world.time()
        self._quiet_since = now if self._quiet_since is None else self._quiet_since
        if now - self._quiet_since > HEAL_S_MAX:
            judge.found += judge.disagreements
        return not judge.disagreements

    async def _unless_stuck(self, work: Awaitable[T], explain: Callable[[], Awaitable[BaseException]]) -> T:
        """As the tester's; what is not as it must be is said before that something does not go on."""

        async def explained() -> BaseException:
            return SimulationFailed(self._said()) if self.violations else await explain()

        return await super()._unless_stuck(work, explained)

    async def _explain_stuck(self) -> BaseException:
        judge = self._judge
        left = [f"{address} ({judge.statuses[address]})" for address in judge.living] + judge.disagreements
        return SimulationFailed(f"with {self.schedule}:\n  nothing goes on, and these have not ended: {left}")

    def _look(self, words: Any, replies: list[object]) -> None:  # noqa: ANN401 - a call
        self._judge.look_at(words, replies)
        if self._judge.found:
            self._wake_waiting()

    def _is_calm(self) -> bool:
        return self.world.time() > self.world.busy_until and (self._staff is None or not self._staff.is_busy)

    def _is_stuck(self) -> bool:
        return self._is_calm() and self.world.time() > self.world.busy_until + STUCK_S
