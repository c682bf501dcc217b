"""What a running step can know of itself: ``current_step()``."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import structlog

from actors.errors import CallNotAllowed, InvalidArguments
from actors.payload import NotEncodable, pack, unpack

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from kernel import Begun, Held


class Beating(Protocol):
    """Where heartbeats of steps go."""

    async def beat(self, held: Held, details: bytes) -> None:
        """Leave details; raises asyncio.CancelledError if the step is no longer wanted."""
        ...


class CurrentStep:
    """One attempt of one step, as its own code sees it."""

    __slots__ = ("_beating", "_begun", "_canceled")

    def __init__(self, begun: Begun, beating: Beating) -> None:
        """Made by the worker for each attempt; what is told of it is worked out when it is asked."""
        self._begun = begun
        self._beating = beating
        self._canceled = False

    @property
    def workflow_id(self) -> str:
        """The instance that the step belongs to."""
        address = self._begun.held.address
        return address[address.index("/") + 1 :]

    @property
    def seq(self) -> int:
        """Number of the step in its workflow, from 1."""
        return self._begun.held.seq

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._begun.held.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of this step, and for no other step: hand it to payment services."""
        held = self._begun.held
        return f"{self.workflow_id}:{held.generation}:{held.seq}"

    @property
    def deadline(self) -> datetime | None:
        """When this attempt is broken off; None: never."""
        timeout_ms = self._begun.command.timeout_ms
        return datetime.fromtimestamp((self._begun.begun_ms + timeout_ms) / 1000, UTC) if timeout_ms else None

    @property
    def details(self) -> object:
        """What an earlier attempt left by ``heartbeat``; None if there is nothing."""
        return unpack(self._begun.details) if self._begun.details else None

    async def heartbeat(self, details: object = None) -> None:
        """Say that the step is alive, and leave ``details`` for its next attempt; None leaves those of before.

        A canceled step is cancelled here.

        Raises:
            InvalidArguments: details that cannot be encoded.
        """
        try:
            data = b"" if details is None else pack(details)
        except NotEncodable as error:
            raise InvalidArguments(f"current_step().heartbeat(…): {error}") from None
        await self._beating.beat(self._begun.held, data)

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger bound to the instance and the step."""
        log: FilteringBoundLogger = structlog.get_logger(self._begun.command.label)
        return log.bind(workflow_id=self.workflow_id, seq=self.seq, attempt=self.attempt)

    @property
    def canceled(self) -> bool:
        """Whether the step is no longer wanted: a step in a thread should look from time to time and return."""
        return self._canceled

    def cancel(self) -> None:
        """Set the flag; for the worker."""
        self._canceled = True


_current: ContextVar[CurrentStep | None] = ContextVar("current_step", default=None)


def current_step() -> CurrentStep:
    """Return what the running step can know of itself.

    Raises:
        CallNotAllowed: no step is running here.
    """
    step = _current.get()
    if step is None:
        raise CallNotAllowed(
            "current_step() was called outside a step: call it in the body of a query, mutation or action that a "
            "worker runs; in workflow code use the `step` argument"
        )
    return step


def set_current_step(step: CurrentStep) -> None:
    """Make a step the current one of this task; for the worker."""
    _current.set(step)
