"""``Workpool``: declares a pool with a manager, and looks at it. What a pool does is in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.options import check_parallelism, check_pool

if TYPE_CHECKING:
    from actors.manager import WorkflowManager
    from kernel import PoolStatus


class Workpool:
    """A limit that steps share by ``with_options(pool="thumbnails")``. Declared beside the definitions, by each worker.

    At most ``max_parallelism`` of its steps are under way at once, over all workers and processes. The others wait;
    when one ends the next begins, the higher ``priority`` first, then whoever asked first.
    """

    def __init__(self, manager: WorkflowManager, name: str, *, max_parallelism: int) -> None:
        """Declare a pool; nothing is connected yet.

        Args:
            manager: whose steps may name it.
            name: 1 to 64 letters, digits, dots, dashes and underscores.
            max_parallelism: how many of its steps may be under way at once, 0 to 1,000,000; 0: none. Workers write it
                to Redis when they start. What ``set_max_parallelism`` said stays until another number is written here.

        Raises:
            InvalidOption: with what to give instead; also for a name that the manager has already.
        """
        self.name: Final = check_pool("name", name)
        self._manager = manager
        self._declared = check_parallelism("max_parallelism", max_parallelism)
        manager.defaults.declare_pool(self.name, self._declared)

    async def status(self) -> PoolStatus:
        """Return the limit, how many steps have a permit (they run, or wait for a worker), how many wait for one."""
        store = await self._manager.store()
        await store.pools.declare(self.name, self._declared, if_unknown=True)
        return await store.pools.status(self.name)

    async def set_max_parallelism(self, max_parallelism: int) -> None:
        """Change the limit, for all workers at once. 0 pauses: what is under way ends, nothing begins.

        Steps beyond a lower limit are not broken off. Raises InvalidOption.
        """
        limit = check_parallelism("max_parallelism", max_parallelism)
        store = await self._manager.store()
        await store.pools.resize(self.name, limit, declared=self._declared)

    def __repr__(self) -> str:
        """Name the pool and what was declared."""
        return f"<workpool {self.name!r}, max_parallelism={self._declared}>"
