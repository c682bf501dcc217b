"""What a running step can know of itself: ``current_step()``."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Final

from actors.errors import CallNotAllowed

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class CurrentStep:
    """One attempt of one step, as its own code sees it."""

    def __init__(
        self,
        *,
        workflow_id: str,
        seq: int,
        attempt: int,
        idempotency_key: str,
        deadline: datetime | None,
        details: object,
        beat: Callable[[object], Awaitable[None]],
        log: Callable[[], FilteringBoundLogger],
    ) -> None:
        self.workflow_id: Final = workflow_id
        self.seq: Final = seq
        """Number of the step in its workflow, from 1."""
        self.attempt: Final = attempt
        """Number of this attempt, from 1."""
        self.idempotency_key: Final = idempotency_key
        """The same for all attempts of this step, and for no other step: hand it to payment services."""
        self.deadline: Final = deadline
        """When this attempt is broken off; None: never."""
        self.details: Final = details
        """What an earlier attempt left by ``heartbeat``; None if there is nothing."""
        self._beat = beat
        self._log = log
        self._canceled = threading.Event()

    async def heartbeat(self, details: object = None) -> None:
        """Say that the step is alive, and leave ``details`` for its next attempt. A canceled step is cancelled here."""
        await self._beat(details)

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger bound to the instance and the step."""
        return self._log()

    @property
    def canceled(self) -> bool:
        """Whether the step is no longer wanted: a step in a thread should look from time to time and return."""
        return self._canceled.is_set()

    def cancel(self) -> None:
        """Set the flag; for the worker."""
        self._canceled.set()


_current: ContextVar[CurrentStep | None] = ContextVar("current_step", default=None)


def current_step() -> CurrentStep:
    """Return what the running step can know of itself.

    Raises:
        CallNotAllowed: no step is running here.
    """
    step = _current.get()
    if step is None:
        raise CallNotAllowed(
            "current_step() was called outside a step: call it in the body of a query, mutation or action that a worker "
            "runs; in workflow code use the `step` argument"
        )
    return step


def set_current_step(step: CurrentStep) -> None:
    """Make a step the current one of this task; for the worker."""
    _current.set(step)
