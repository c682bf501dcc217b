"""A space whose every script call is followed by an audit, and by a look back: what was recorded must not change."""

from __future__ import annotations

import asyncio

from kernel.store.audit import pool_violations, violations
from kernel.store.chronicle import Chronicle
from kernel.store.snapshot import read_partition
from kernel.store.space import Space


class CheckedSpace(Space):
    """See the module's docstring. ``lenient``: findings that a test brings about on purpose."""

    memory: Chronicle
    checking = True

    def call(self, name: str, key: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._checked(name, super().call, key, arguments))

    def actor_call(self, name: str, address: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        return self.call(name, self.keys.tag_of(address), *arguments)

    def call_if(self, stamp: int, name: str, key: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        return self.call(name, key, *arguments)

    async def _checked(
        self, name: str, call: object, key: str, arguments: tuple[str | bytes | int | float, ...]
    ) -> object:
        if not hasattr(self, "_one"):
            self._one = asyncio.Lock()
            self.memory = Chronicle()
        async with self._one:
            reply = await Space.call(self, name, key, *arguments)
            if self.checking:
                await self.check(f"{name} {arguments} -> {reply!r}")
            return reply

    async def check(self, after: str) -> None:
        """Fail with every violation."""
        texts: list[str] = []
        partitions = [await read_partition(self, tag) for tag in self.keys.tags]
        for found in partitions:
            texts += violations(found)
            for actor in found.actors.values():
                texts += self.memory.changes(actor)
        texts += pool_violations(partitions)
        assert not texts, "\n  ".join([f"after {after}:", *texts])
