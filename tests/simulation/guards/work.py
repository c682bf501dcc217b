"""Work for simulated workers while a guard is missing, and what must be true of it however it goes.

Each step notes that it runs. A step may run again only if something went wrong that excuses it; a mutation leaves a
line a time, never two of one step; an event is heard once, in the order in which it was sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

from actors import NoSuchStep, WorkflowBusy, WorkflowManager, WorkflowNotFound, WorkflowRunning
from actors.errors import WorkflowFailed
from kernel import Refused
from kernel.store.replies import listed
from tests.simulation.guards.programs import EVENTS, define_programs
from tests.simulation.guards.rarer import define_rarer
from tests.simulation.guards.steps import Notes, define_steps
from tests.simulation.guards.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.handle import WorkflowHandle
    from actors.testing.simulation import Schedule, Simulation
    from tests.simulation.guards.program import Program

EXCUSES: Final = ("crash-before", "crash-after", "pause", "cut", "rolled back", "failed over", "timeout")
"""What excuses that a step runs again."""
RUNS_A_FAULT: Final = 3
"""So many times: who was taken for dead while it stood still begins steps until its next heartbeat tells it."""


class Broken(AssertionError):
    """Something that is promised is not so."""


class Unexpected(list[str]):
    """What the engine reports of itself, but that code of older workers does not fit."""

    def append(self, text: str) -> None:
        """Keep a report."""
        if "its code does not fit its journal" not in text:
            super().append(text)


class Work:
    """Definitions, and what their runs left. Made anew for each run."""

    def __init__(self, schedule: Schedule, plays: Sequence[str], *, people: int, retention: int = 7200) -> None:
        """``plays``: names of what is started. ``people``: how often somebody cancels, restarts or sends."""
        self.random = Random(schedule.seed)
        self.plays = plays
        self.people = people
        self.retention, self.nodes = retention, schedule.nodes
        self.notes = Notes()
        self.started: list[tuple[str, WorkflowHandle[Any]]] = []
        self.simulation: Simulation
        self.witness: Witness
        self.forgets = any(fault.kind in {"rollback", "failover"} for fault in schedule.faults)
        self.ends: Counter[str] = Counter()
        """How often each instance must have ended before its last end: it was restarted."""
        self.manager, self.programs = self._define(is_old=False)
        has_old = any(fault.kind == "old" for fault in schedule.faults)
        self.old = self._define(is_old=True)[0] if has_old else None

    def _define(self, *, is_old: bool) -> tuple[WorkflowManager, dict[str, Program]]:
        manager = WorkflowManager("memory://unused", namespace="g", partitions=self.nodes, retention=self.retention)
        steps = define_steps(manager, self.random, self.notes, is_old=is_old)
        programs = define_programs(manager, steps)
        if not programs.keys() >= set(self.plays):
            programs |= define_rarer(manager, steps, is_old=is_old)
        return manager, programs

    # --------------------------------------------------------------------------------------------------- the play

    async def play(self, simulation: Simulation) -> None:
        """Start all, let people interfere, and see that all is as promised."""
        self.simulation = simulation
        self.witness = Witness(simulation, self.manager.worker_timeout_s)
        if self.old is not None:
            simulation._logged.errors = Unexpected()
        try:
            await self._play()
        except asyncio.CancelledError:
            if self.witness.said:
                raise Broken(self.witness.said[0]) from None
            raise
        except Exception:
            simulation.check()  # what was wrong first says more than what came of it
            raise

    async def _play(self) -> None:
        simulation = self.simulation
        for play in self.plays:
            await self._start(play)
        sender = asyncio.create_task(self._send_all())
        restarting = [
            asyncio.create_task(self._restart_late(handle)) for play, handle in self.started if play == "brief"
        ]
        for _ in range(self.people):
            await asyncio.sleep(self.random.choice((0.005, 0.1, 0.7, 2.5)))
            await self._interfere()
        await sender
        await asyncio.gather(*restarting)
        await self._settle()
        results = [await handle.result() for _, handle in self.started]  # notices that nothing goes on
        await simulation.finish()
        await self._judge(results)
        await simulation.vanish()

    async def _start(self, play: str) -> None:
        program, number = self.programs[play], len(self.started)
        arguments = tuple(f"{word}-{number}" if word == "chosen" else word for word in program.arguments)
        self.started.append((play, await self.simulation.start(program.workflow, *arguments)))

    async def _send_all(self) -> None:
        handles = [handle for play, handle in self.started if play == "listen"]
        store = await self.simulation.manager.store()
        key = store.space.keys.gateway
        for number in range(EVENTS):
            await asyncio.sleep(self.random.choice((0, 0.01, 0.2, 1.5)))
            for handle in handles:
                if number % 2:
                    await handle.send_event("go", number)
                else:
                    # Where a server forgets, this very call may be repeated.
                    dedupe = ("dedupe", f"go-{number}") if self.forgets else ()
                    words = ("type", "event", "id", handle.id, "name", "go", "value", str(number), *dedupe)
                    await store.space.send(key, "XADD", key, "*", *words)

    async def _interfere(self) -> None:
        play, handle = self.random.choice(self.started)
        if play == "listen":
            return
        try:
            if self.random.random() < 0.6:
                await handle.cancel()
                await asyncio.sleep(self.random.choice((0, 0.01, 0.5)))
            await handle.restart(from_step=self.random.choice((None, 1, 2)))
            self.ends[handle.id] += 1
        except (NoSuchStep, WorkflowNotFound, WorkflowRunning, WorkflowBusy, WorkflowFailed, Refused):
            pass  # it is too late, or too early

    async def _restart_late(self, handle: WorkflowHandle[Any]) -> None:
        """Restart it when its retention is about over: then it is deleted, or it runs again."""
        await asyncio.sleep(30 + self.random.choice((0, 0.02, 0.1, 0.4, 2)))
        try:
            await handle.restart(from_step=1)
        except WorkflowNotFound:
            self.started = [one for one in self.started if one[1] is not handle]
            return
        try:
            await handle.result()
        except WorkflowNotFound:
            raise Broken("an instance was deleted after it had been restarted") from None

    async def _settle(self) -> None:
        """Let whoever was canceled run again, so that there is a result."""
        for _, handle in self.started:
            if (await handle.status()).type == "canceled":
                while True:
                    try:
                        await handle.restart(from_step=1)
                    except WorkflowBusy:
                        await asyncio.sleep(1)
                    except (WorkflowRunning, WorkflowNotFound):
                        break
                    else:
                        self.ends[handle.id] += 1
                        break

    # --------------------------------------------------------------------------------------------------- judgement

    async def _judge(self, results: Sequence[object]) -> None:
        for (play, _), result in zip(self.started, results, strict=True):
            wanted = self.programs[play].result
            found = sorted(cast("list[int]", result)) if isinstance(result, list) else result
            if wanted not in (None, found):
                raise Broken(f"a workflow {play!r} returned {result!r}, not {wanted!r}")
        excuses = RUNS_A_FAULT * sum(self.simulation.injected[kind] for kind in EXCUSES)
        for key, times in self.notes.began.items():
            if times > 1 + excuses:
                raise Broken(f"an attempt of a step ran {times} times, {excuses} were excused: {key}")
        if max(self.notes.began_once.values(), default=0) > 1 and not self._may_run_once_more():
            raise Broken("an action that may run once only ran twice")
        for play, handle in self.started:
            wanted_ends = 1 + self.ends[handle.id]
            if play == "told" and self.notes.ends_heard[handle.id] < wanted_ends:
                heard = self.notes.ends_heard[handle.id]
                raise Broken(f"an instance ended {wanted_ends} times, and {heard} times its end was called out")
        if self.notes.overrun:
            raise Broken("a step ran to its end 7 s after it was canceled")
        if self.witness.said:
            raise Broken(self.witness.said[0])
        await self._judge_writes()

    def _may_run_once_more(self) -> bool:
        """Tell whether somebody may have run what may run once, and nobody knows: neither the server nor a worker."""
        injected, alone = self.simulation.injected, self.simulation.schedule.workers == 1
        forgotten = injected["rolled back"] + injected["failed over"]
        return forgotten > 0 and not (
            alone and injected.keys() <= {"rollback", "failover", "rolled back", "failed over"}
        )

    async def _judge_writes(self) -> None:
        store = await self.simulation.manager.store()
        for tag in store.space.keys.tags:
            lines: list[bytes] = listed(await store.space.send(tag, "LRANGE", f"{tag}:app:lines", 0, -1))
            twice = [line for line, times in Counter(lines).items() if times > 1]
            if twice:
                raise Broken(f"a mutation wrote twice: {twice[0]!r}")
            total: Any = await store.space.send(tag, "GET", f"{tag}:app:total")
            if int(total or 0) != len(lines):
                raise Broken(f"an update was lost: {len(lines)} mutations, the total is {int(total or 0)}")
