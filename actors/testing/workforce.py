"""Workforce: one worker at a time; when it dies, the next one takes over at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from actors.servers import Worker, WorkerSettings
from actors.servers.reaper import Reaper
from actors.testing.clock import housekeeping
from kernel import KernelError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from actors.testing.crashes import Life
    from actors.testing.twin import Twin
    from kernel import Store


class LoopPulse:
    """A heartbeat on virtual time: the thread of a real one would beat in real time."""

    def __init__(self, store: Store, *, worker: str, timeout_s: float) -> None:
        """Beat five times within ``timeout_s``."""
        self._store, self._worker, self._every_s = store, worker, timeout_s / 5
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.get_running_loop().create_task(self._beat(), name="pulse")

    def stop(self) -> None:
        """Stop beating."""
        if self._task is not None:
            self._task.cancel()

    async def _beat(self) -> None:
        value = 0
        with contextlib.suppress(KernelError):
            while await self._store.custody.heartbeat(self._worker, value := value + 1):  # noqa: ASYNC110 - it beats
                await asyncio.sleep(self._every_s)


class TestedWorker(Worker):
    """A whole worker, all of it on the loop."""

    __test__ = False

    def _make_pulse(self, incarnation: str) -> LoopPulse:
        return LoopPulse(self._store, worker=incarnation, timeout_s=self._settings.worker_timeout_s)

    async def take_over(self, dead: str) -> None:
        """Do at once what the reaper does after the timeout."""
        reaper = next(server for server in self._servers if isinstance(server, Reaper))
        await self.host.store.custody.fence(dead, "")
        await reaper.take_over(dead)


class Workforce:
    """Hires workers of a twin, one after another. ``start`` and ``stop`` once each."""

    def __init__(self, twin: Twin, settings: WorkerSettings, lives: Iterator[Life]) -> None:
        """``lives``: one for each worker, without end."""
        self._twin = twin
        self._settings = settings
        self._lives = lives
        self._life: Life | None = None
        self._store: Store | None = None
        self._worker: TestedWorker | None = None
        self._dead: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self.deaths = 0
        """Workers that have died."""

    async def start(self) -> None:
        """Have a worker at work, and another one whenever it dies."""
        await self._hire()
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name="workforce")

    async def stop(self) -> None:
        """Let the worker go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._dismiss()

    async def _supervise(self) -> None:
        while True:
            assert self._life is not None
            await self._life.died.wait()
            if self._worker is not None and self._worker.incarnation:
                self._dead.append(self._worker.incarnation)
            self.deaths += 1
            await self._dismiss()
            await self._hire()

    async def _hire(self) -> None:
        """Begin the next life; it may end on the way, which ``_supervise`` sees."""
        self._life = life = next(self._lives)
        self._store = store = await self._twin.open_mortal(life)
        self._worker = worker = TestedWorker(store=store, registry=self._twin, settings=self._settings)
        await _unless_dead(worker.start(), life)
        life.armed = True
        while self._dead and not life.over:
            await _unless_dead(worker.take_over(self._dead[0]), life)
            if not life.over:
                self._dead.pop(0)

    async def _dismiss(self) -> None:
        assert self._life is not None
        self._life.end()
        if self._worker is not None:
            await self._worker.kill()
        if self._store is not None:
            await self._store.close()


async def _unless_dead(work: Coroutine[Any, Any, None], life: Life) -> None:
    """Run something of a worker until it is done or the worker has died."""
    loop = asyncio.get_running_loop()
    with housekeeping():
        tasks = [loop.create_task(work), loop.create_task(_until_dead(life))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not tasks[0].cancelled():
        tasks[0].result()


async def _until_dead(life: Life) -> None:
    await life.died.wait()
