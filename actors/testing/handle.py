"""The handle of an instance in a tester: as any other, but it does not wait for what will never come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from actors.errors import HeadraceError, NondeterminismError
from actors.handle import WorkflowHandle
from actors.results import Stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from actors.definitions import Workflow
    from actors.manager import WorkflowManager
    from actors.options import Duration
    from actors.views import StepView

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class NothingHappens(HeadraceError):
    """The workflow waits, and nothing is under way that could end it: no step, no timer, no other workflow."""


class UnlessStuck(Protocol):
    """Waits for something, or raises an error when nothing more will ever happen."""

    def __call__(self, work: Awaitable[T], explain: Callable[[], Awaitable[BaseException]]) -> Awaitable[T]:
        """Wait for ``work``."""
        ...


class TestedHandle(WorkflowHandle[R_co]):
    """One instance in a tester."""

    __test__ = False

    def __init__(
        self,
        manager: WorkflowManager,
        workflow_id: str,
        workflow: Workflow[..., R_co] | None,
        *,
        unless_stuck: UnlessStuck,
    ) -> None:
        """``manager``: the tester's."""
        super().__init__(manager, workflow_id, workflow)
        self._unless_stuck = unless_stuck

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Take it to its end, as far as time must go, and return its result.

        Raises:
            WorkflowFailed, WorkflowCanceled, WorkflowNotFound, TimeoutError: as of any handle.
            NothingHappens: it waits for what nobody brings, such as an event that the test has to send.
            NondeterminismError: it was stopped, since its code does not fit its journal, or blocks.
        """
        return await self._unless_stuck(super().result(timeout), self._explain)

    async def _while_waiting(self, work: Coroutine[Any, Any, T]) -> T:
        return await self._unless_stuck(work, self._explain)

    async def ended(self) -> None:
        """Take it to its end, however it ends. Raises NothingHappens, WorkflowNotFound."""
        await self._unless_stuck(asyncio.ensure_future(self._ended()), self._explain)

    async def _explain(self) -> BaseException:
        status = await self.status()
        if isinstance(status, Stopped):
            return NondeterminismError(status.error.message)
        waiting = ", ".join(_shown(step) for step in await self.steps() if step.state not in _OVER)
        return NothingHappens(
            f"workflow {self.id!r} is {status.type} and nothing is under way that could end it; it waits for: "
            f"{waiting or 'nothing'}. Send the event that it awaits (tester.send_event), or give the wait a timeout"
        )


_OVER = frozenset({"completed", "failed", "canceled"})


def _shown(step: StepView) -> str:
    named: Any = repr(step.name) if step.name else ""
    return f"{step.kind} {named} (number {step.seq}, {step.state})"
