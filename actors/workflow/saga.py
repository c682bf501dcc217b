"""``Saga``: what undoes a workflow's steps, run in reverse when its block is left by an error or a cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, cast

from actors.calls import ContinueAsNew
from actors.errors import CallNotAllowed, Misuse
from actors.workflow.frames import author_site

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from actors.definitions import Action, Definition, Mutation, Workflow
    from actors.workflow.step import Step
    from actors.workflow.tasks import StepFuture

P = ParamSpec("P")

_KINDS = ("action", "mutation", "workflow")


class _Undo(NamedTuple):
    definition: Definition[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Saga:
    """Made by ``step.saga()``; see there."""

    __slots__ = ("_over", "_step", "_undos", "failures")

    def __init__(self, step: Step) -> None:
        self._step = step
        self._undos: list[_Undo] = []
        self._over = False
        self.failures: list[Exception] = []
        """Errors of undos, in the order in which they ran."""

    def undo(
        self, step: Action[P, Any] | Mutation[P, Any] | Workflow[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Run this call, durably, should the block be left by an error or a cancellation.

        Raises:
            InvalidArguments: nothing was registered.
            CallNotAllowed: a query, or a plain function.
            Misuse: the block is over.
        """
        if getattr(step, "kind", None) not in _KINDS:
            name = getattr(step, "name", repr(step))
            raise CallNotAllowed(f"saga.undo({name}, …) at {author_site()}: give an action, mutation or workflow")
        if self._over:
            raise Misuse(f"saga.undo({step.name}, …) at {author_site()}: the saga's block is over, register inside it")
        step.encode_arguments(args, kwargs)
        self._undos.append(_Undo(step, args, kwargs))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        if error is None or not self._undos or self._step.surroundings.dead or _begins_anew(error):
            return
        # In a task of its own: whatever else is canceled meanwhile, what was begun is undone to the end.
        undoing = asyncio.ensure_future(self._undo_all(error))
        canceled: asyncio.CancelledError | None = None
        while not undoing.done():
            try:
                await asyncio.shield(undoing)
            except asyncio.CancelledError as again:
                canceled = again
        if canceled is not None and not isinstance(error, asyncio.CancelledError):
            raise canceled

    async def _undo_all(self, error: BaseException) -> None:
        while self._undos:
            undo = self._undos.pop()
            try:
                await self._run(undo)
            except Exception as failure:  # noqa: BLE001 - one undo that fails must not keep the others from running
                self.failures.append(failure)
                error.add_note(f"the undo {undo.definition.name!r} failed: {failure}")
                self._step.log.warning("an undo failed", undo=undo.definition.name, error=str(failure))

    def _run(self, undo: _Undo) -> StepFuture[Any]:
        step, definition = self._step, cast("Any", undo.definition)
        match undo.definition.kind:
            case "mutation":
                return step.run_mutation(definition, *undo.args, **undo.kwargs)
            case "workflow":
                return step.run_workflow(definition, *undo.args, **undo.kwargs)
            case _:
                return step.run_action(definition, *undo.args, **undo.kwargs)


def _begins_anew(error: BaseException) -> bool:
    """Tell whether the workflow begins anew, and nothing went wrong: no reason to undo anything."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(ContinueAsNew)[1] is None
    return isinstance(error, ContinueAsNew)
