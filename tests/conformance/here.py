"""What a conformance test works with: managers and workers at one place, and a look at what is left there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast
from uuid import uuid4

from actors import WorkflowManager
from actors.servers import Worker
from kernel.store.audit import audit
from tests.topology.place import Place

DEATH_S = 1.0
"""After how long a silent worker is taken for dead in tests of that."""


class Here:
    """One namespace at one place, warm or with a replay at every event."""

    def __init__(self, place: Place, *, cache_instances: int) -> None:
        self.place = place
        self.namespace = uuid4().hex[:12]
        self._cache_instances = cache_instances
        self._managers: list[WorkflowManager] = []

    def manager(self, **options: object) -> WorkflowManager:
        """Make a manager: another process, or another version of the code."""
        settings: dict[str, Any] = {"partitions": self.place.partitions, **options}
        manager = WorkflowManager(self.place.url, namespace=self.namespace, **settings)
        self._managers.append(manager)
        return manager

    def working(self, manager: WorkflowManager, **options: object) -> AbstractAsyncContextManager[Worker]:
        """Run a worker during a block."""
        settings: dict[str, Any] = {"cache_instances": self._cache_instances, **options}
        return manager.worker(**settings)

    async def keys(self, manager: WorkflowManager) -> set[str]:
        """Return every key of the namespace, of all nodes."""
        space = (await manager.store()).space
        found: set[str] = set()
        for tag in (*space.keys.tags, *space.keys.outside_partitions):
            replies = cast("list[bytes]", await space.send(tag, "KEYS", f"*{self.namespace}*"))
            found |= {key.decode() for key in replies}
        return found

    async def close(self) -> None:
        """Close all managers; fail if an invariant does not hold."""
        try:
            if self._managers:
                await self._check_invariants(self._managers[0])
        finally:
            for manager in self._managers:
                await manager.close()

    @staticmethod
    async def _check_invariants(manager: WorkflowManager) -> None:
        space = (await manager.store()).space
        # What changes while it is looked at is not wrong: two audits in a row must agree.
        first = set(await audit(space))
        assert not first & set(await audit(space))


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Look again and again; the test's own limit ends it if it never comes true."""
    while not await condition():  # noqa: ASYNC110 - another process' work; nothing announces it
        await asyncio.sleep(0.01)
