"""Server: the shape that all loops of a worker share. What each does is in its own file."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar, Final, cast

import structlog

from kernel import KernelError, ServerRefused, Throttle

log = structlog.get_logger(__name__)

RESTART_S_MAX: Final = 5.0
CANCEL_AGAIN_S: Final = 0.5
"""A loop that did not end when it was cancelled is cancelled again after so long."""


class Server(ABC):
    """One loop. ``run`` does its work until it is cancelled; after an error it begins again, later each time."""

    name: ClassVar[str]

    def __init__(self) -> None:
        """Stand ready."""
        self._task: asyncio.Task[None] | None = None
        self._throttle = Throttle()

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled."""

    def start(self) -> None:
        """Begin the loop."""
        self._task = asyncio.get_running_loop().create_task(self._supervised(), name=self.name)

    async def stop(self) -> None:
        """End the loop; what it had in hand is finished or given back by ``run`` itself."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            # Some library may have swallowed it (asyncio.wait_for does on Python 3.11).
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN_S)

    @property
    def is_ending(self) -> bool:
        """Whether the loop was told to stop, or is cancelled with everything else on its event loop."""
        task = self._task
        return task is None or task.done() or task.cancelling() > 0

    async def _supervised(self) -> None:
        delay_s = 0.1
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self.run()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop must go on
                self._report(error)
            if self._task is None:
                return  # told to stop: a task group in which something fails meanwhile raises that in its place
            _forget_cancellation()
            if asyncio.get_running_loop().time() - began > RESTART_S_MAX:
                delay_s = 0.1
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RESTART_S_MAX)

    def _report(self, error: Exception) -> None:
        """Say why the loop begins again: what Redis brings about in a line, what else went wrong with its traceback."""
        causes = _leaves(error)
        if any(isinstance(cause, AssertionError) for cause in causes):
            log.error("a bug in a server, please report it; it starts again", server=self.name, exc_info=error)
        elif not all(isinstance(cause, KernelError) for cause in causes):
            log.error("a server failed and starts again", server=self.name, exc_info=error)
        elif any(not isinstance(cause, ServerRefused) or self._throttle.due(str(cause)) for cause in causes):
            said = "; ".join(dict.fromkeys(str(cause) for cause in causes))
            log.warning("a server was interrupted and starts again", server=self.name, error=said)


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the errors that task groups have wrapped, or the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for inner in group.exceptions for leaf in _leaves(inner)]


def _forget_cancellation() -> None:
    """Let this task count as not cancelled: a task group of which a part fails cancels it, and may leave it at that."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
