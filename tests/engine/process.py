"""Processes within a test: a manager and a worker on connections of their own, which may end as a crash ends them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors import WorkflowManager
from actors.servers import Worker, WorkerSettings
from actors.servers.reaper import Reaper
from kernel import Space, Store, connector
from tests.engine.mortal import Life, MortalConnector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class MortalManager(WorkflowManager):
    """A manager all of whose connections end with one life."""

    def __init__(self, url: str, life: Life | None = None, *, namespace: str = "t", worker_timeout: float = 5) -> None:
        super().__init__(url, namespace=namespace, partitions=1, worker_timeout=worker_timeout)
        self.life = life or Life()

    async def open_store(self) -> Store:
        """Open connections for a worker."""
        return await self._open(patience_s=None)

    async def _open(self, *, patience_s: float | None) -> Store:
        assert self.url is not None
        inner = MortalConnector(connector(self.url), self.life)
        space = Space(inner, namespace=self.namespace, partitions=1, patience_s=patience_s)
        try:
            await space.open()
        except BaseException:
            await space.close()
            raise
        return Store(space)


class Process:
    """A worker process."""

    def __init__(self, manager: MortalManager, *, cache_instances: int = 10_000, concurrency: int = 100) -> None:
        self.manager = manager
        self._worker: Worker | None = None
        self._store: Store | None = None
        self._settings = WorkerSettings(
            concurrency=concurrency, cache_instances=cache_instances, worker_timeout_s=manager.worker_timeout_s
        )

    @property
    def life(self) -> Life:
        return self.manager.life

    @property
    def incarnation(self) -> str:
        return self._worker.incarnation if self._worker else ""

    @property
    def worker(self) -> Worker:
        assert self._worker is not None, "not started"
        return self._worker

    async def start(self) -> None:
        """Begin to work."""
        self._store = await self.manager.open_store()
        self._worker = Worker(store=self._store, registry=self.manager, settings=self._settings)
        await self._worker.start()

    async def die(self) -> None:
        """End as SIGKILL would: nothing more of it reaches Redis."""
        self.life.end()
        if self._worker is not None:
            await self._worker.kill()
        await self._close()

    async def stop(self) -> None:
        """Drain and end."""
        if self._worker is not None:
            await self._worker.stop(grace_s=5)
        await self._close()

    async def _close(self) -> None:
        if self._store is not None:
            await self._store.close()
        await self.manager.close()

    async def take_over(self, dead: str) -> None:
        """Do at once what the reaper does after the timeout."""
        reaper = next(server for server in self.worker._servers if isinstance(server, Reaper))
        await self.worker.host.store.custody.fence(dead, "")
        await reaper.take_over(dead)


async def until(condition: Callable[[], Awaitable[object]], *, seconds_max: float = 20.0) -> None:
    """Ask again and again until the answer is true."""
    async with asyncio.timeout(seconds_max):
        while not await condition():  # noqa: ASYNC110 - what is waited for may happen in another process
            await asyncio.sleep(0.005)
