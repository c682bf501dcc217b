"""Lines: mutations of this worker that lost against another wait for one another, a line for each key.

Without it a hundred mutations on one counter would run ten thousand times: each commit makes all others run again.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable


class Lines:
    """A line for each key that somebody waits for or has."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def stand(self, keys: Iterable[bytes]) -> AsyncGenerator[None, None]:
        """Wait until nobody else of this worker has any of the keys; then have them while the block runs."""
        # In one order everywhere, so that two never wait for each other.
        locks = [self._locks.setdefault(key, asyncio.Lock()) for key in sorted(keys)]
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield
