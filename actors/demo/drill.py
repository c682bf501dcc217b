"""The drill: kill a worker while it holds steps, start another, and see how long their take-over took."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from actors.demo.settings import CONCURRENCY, WORKERS

if TYPE_CHECKING:
    from actors.demo.board import Board, Entry
    from actors.demo.processes import WorkerProcess, Workers
    from actors.manager import WorkflowManager
    from actors.views import StepView

KILL_AT: Final = 0.4
"""Progress from which on a worker may be killed."""
ANALYSES: Final = 3
"""Steps of one document that run at once."""
SETTLE_S: Final = 0.05
"""After a worker is frozen: what it had sent before is with the server by then."""
LOOK_S: Final = 0.1


class Lost(NamedTuple):
    """A step in the hands of the killed worker."""

    entry: Entry
    seq: int
    name: str


class TakeOver(NamedTuple):
    """What became of the killed worker's steps."""

    victim: WorkerProcess
    lost: list[Lost]
    noticed_s: float
    """From the kill until all of them were out of its hands."""
    slowest_s: float
    """From the kill until the last of them ran on another worker: they wait their turn in the queue."""


class Drill:
    """One kill."""

    def __init__(self, board: Board, workers: Workers, manager: WorkflowManager) -> None:
        """Nothing is killed yet."""
        self._board = board
        self._workers = workers
        self._manager = manager

    async def run(self) -> TakeOver | None:
        """Kill when the time has come; None: everything had ended before a worker held a step."""
        while self._board.ended < len(self._board.entries):
            if self._time_has_come():
                found = await self._try_kill()
                if found is not None:
                    return await self._follow(*found)
            await asyncio.sleep(LOOK_S)
        self._board.say("no worker held a step when one was to be killed; run it with more files")
        return None

    def _time_has_come(self) -> bool:
        """In the middle; with a few files that all run at once, as soon as each has read its document."""
        entries = self._board.entries
        few = len(entries) * ANALYSES <= WORKERS * CONCURRENCY
        return self._board.progress >= KILL_AT or (few and all(entry.steps_done for entry in entries))

    async def _try_kill(self) -> tuple[WorkerProcess, list[Lost], int] | None:
        """Freeze the busiest worker, ask Redis what it holds, and kill it if that is something."""
        running = [worker for worker in self._workers.all if worker.state == "running"]
        victim = max(running, key=lambda worker: len(self._board.running(worker)), default=None)
        if victim is None or not self._board.running(victim):
            return None
        victim.freeze()
        await asyncio.sleep(SETTLE_S)
        lost = await self._held(victim)
        if not lost:
            victim.thaw()
            return None
        await victim.kill()
        killed_ms = (await self._manager.store()).space.now_ms()
        self._board.say(f"{victim} killed with SIGKILL while it ran {_names(lost)}")
        worker = await self._workers.start()
        self._board.say(f"{worker} started in its place")
        return victim, lost, killed_ms

    async def _held(self, victim: WorkerProcess) -> list[Lost]:
        entries = [entry for entry in self._board.entries if entry.snapshot is not None and not entry.ended]
        found = await asyncio.gather(*(self._manager.handle(entry.workflow_id).steps() for entry in entries))
        return [
            Lost(entry, step.seq, step.name)
            for entry, steps in zip(entries, found, strict=True)
            for step in steps
            if step.state == "running" and step.worker == victim.incarnation
        ]

    async def _follow(self, victim: WorkerProcess, lost: list[Lost], killed_ms: int) -> TakeOver:
        """Wait until each lost step is out of the victim's hands, and then until it runs, or ran, elsewhere."""
        noticed_s = await self._until_free(victim, lost, killed_ms)
        waiting = list(lost)
        slowest_s = 0.0
        while waiting:
            for one in list(waiting):
                step = _step(one)
                if not _is_taken(step, victim):
                    if one.entry.ended:
                        waiting.remove(one)  # it failed; the result says so
                    continue
                waiting.remove(one)
                assert step.started is not None
                after_s = max(step.started.timestamp() - killed_ms / 1000, 0.0)
                slowest_s = max(slowest_s, after_s)
                heir = self._board.worker_of(step.worker)
                self._board.say(f"{heir or 'another worker'} took over {_label(one)}, {after_s:.1f} s after the kill")
            await asyncio.sleep(LOOK_S)
        return TakeOver(victim, lost, noticed_s, slowest_s)

    async def _until_free(self, victim: WorkerProcess, lost: list[Lost], killed_ms: int) -> float:
        """Wait until others have noticed the death; return how many seconds after the kill that was."""
        space = (await self._manager.store()).space
        while any(_is_held(_step(one), victim) for one in lost):  # noqa: ASYNC110 - others write the board
            await asyncio.sleep(LOOK_S / 10)
        after_s = max((space.now_ms() - killed_ms) / 1000, 0.0)
        self._board.say(f"its death was noticed {after_s:.1f} s after the kill; what it held is in the queue again")
        return after_s


def _step(lost: Lost) -> StepView:
    return next(step for step in lost.entry.steps if step.seq == lost.seq)


def _is_held(step: StepView, victim: WorkerProcess) -> bool:
    return step.state == "running" and step.worker == victim.incarnation


def _is_taken(step: StepView, victim: WorkerProcess) -> bool:
    return step.started is not None and step.worker not in {"", victim.incarnation}


def _names(lost: list[Lost]) -> str:
    return ", ".join(_label(one) for one in lost)


def _label(lost: Lost) -> str:
    return f"{lost.name} of {lost.entry.path.name}"
