"""A scheduler that lets one task at a time make its next call, in an order drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


class Gate:
    """Tasks wait here before each call; between two steps all of them do."""

    def __init__(self, rng: random.Random, *, losses: int) -> None:
        """``losses``: how many replies may be lost."""
        self.rng = rng
        self.losses = losses
        self._waiting: dict[asyncio.Task[None], asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def step(self) -> None:
        """Let one task go on to its next call, and wait until it stands there."""
        await self._quiet()
        if self._tasks:
            task = self.rng.choice(self._tasks)
            self._waiting.pop(task).set_result(None)
            await self._quiet()

    async def _quiet(self) -> None:
        while len(self._waiting) < len(self._tasks):
            await asyncio.sleep(0)
            for task in [task for task in self._tasks if task.done()]:
                self._tasks.remove(task)
                task.result()

    def kill(self, task: asyncio.Task[None]) -> None:
        """End a task where it stands; what it has called has taken effect."""
        self._waiting.pop(task, None)
        if task in self._tasks:
            self._tasks.remove(task)
        task.cancel()

    async def close(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks)
        for task in tasks:
            self.kill(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Call a script when it is this task's turn; perhaps again with the same arguments, its reply being lost."""
        await self._turn()
        reply = make()
        if not self._lost():
            return await reply
        with contextlib.suppress(Exception):
            await reply
        await self._turn()
        return await make()

    async def read(self, make: Callable[[], Awaitable[T]], nothing: T) -> T:
        """Make a call that is not repeated when its reply is lost."""
        await self._turn()
        reply = await make()
        return nothing if self._lost() else reply

    def _lost(self) -> bool:
        if self.losses and self.rng.random() < 0.1:
            self.losses -= 1
            return True
        return False

    async def _turn(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = asyncio.get_running_loop().create_future()
        await self._waiting[task]
