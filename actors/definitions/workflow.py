"""Workflows: durable functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast, overload

from actors.calls import ContinueAsNew, active_step, answering
from actors.checks import check_definition
from actors.definitions.base import BoundCall, Defaults, Definition, P, R_co
from actors.definitions.fingerprint import fingerprint_of
from actors.definitions.steps import Action, Mutation, StepDefinition
from actors.errors import CallNotAllowed, InvalidOption
from actors.options import (
    InlineDefinitionOptions,
    StepSettings,
    WorkflowDefinitionOptions,
    WorkflowOptions,
    WorkflowSettings,
    check_name,
    resolve_options,
)
from actors.retrier import Completion
from actors.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Self, Unpack

    from actors.definitions.completion import CompletionHandler
    from actors.workflow.step import Step

C = TypeVar("C")

_AT_DEFINITION = tuple(WorkflowDefinitionOptions.__annotations__)
_OF_STEPS = tuple(InlineDefinitionOptions.__annotations__)
_AT_START = tuple(WorkflowOptions.__annotations__)


class Workflow(Definition[P, R_co]):
    """A durable function: its first parameter is the ``Step`` by which it runs everything else."""

    options: WorkflowSettings
    step_defaults: Mapping[str, object]
    """Options of the steps that it runs, below those of the steps' own definitions."""
    version: str
    """Instances stay with the version that they started under."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        version: str,
        defaults: Defaults,
        options: Mapping[str, object],
        step_defaults: Mapping[str, object] | None = None,
    ) -> None:
        """Register nothing; ``options`` are the definition's own, checked here, and so is what the code shows.

        Raises:
            DeterminismViolation: the code reads the wall clock, blocks or does I/O.
        """
        super().__init__(function, kind="workflow", name=name, defaults=defaults)
        self.version = check_name("version", version)
        self.options = resolve_options(WorkflowSettings(), options, kind="workflow", allowed=_AT_DEFINITION)
        self.step_defaults = _checked_defaults(step_defaults)
        self._said: frozenset[str] = frozenset()
        self._fingerprint: list[str] = []
        check_definition(function)

    def __call__(self, step: Step, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Run the workflow's code inline, as part of the caller."""
        given, named = self._codec.with_own_defaults(args, kwargs)
        return cast("Coroutine[Any, Any, R_co]", self.function(step, *given, **named))

    @overload
    def with_options(self, **options: Unpack[WorkflowOptions]) -> Self: ...
    @overload
    def with_options(
        self, *, on_complete: CompletionHandler[R_co, C], context: C, **options: Unpack[WorkflowOptions]
    ) -> Self: ...
    def with_options(self, **options: Any) -> Self:
        """Return a copy with options on top of those it has.

        ``on_complete``: a mutation or action that is called, as a durable actor of its own and with its own retries, as
        ``f(workflow_id, result, context)`` when an instance has ended, however it did. ``context`` is any value that
        its third parameter takes.

        Raises:
            InvalidOption, InvalidArguments: with what to give instead.
        """
        said = {name: value for name, value in options.items() if name not in _COMPLETION}
        copy = self._copy()
        copy.options = resolve_options(self.options, said, kind="workflow", allowed=_AT_START, elsewhere=_COMPLETION)
        copy.version = copy.options.version or self.version
        copy._said = self._said | options.keys()  # noqa: SLF001 - its own
        if len(said) < len(options):
            copy.options = replace(copy.options, on_complete=_completion(options))
        return copy

    def continue_as_new(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        """End the running instance's journal and begin again under the same id, with these arguments.

        To be called in this workflow's own code. Never returns: it unwinds the code, ``finally`` and ``async with``
        included, and what these await is still awaited. Steps left open are taken back, events that no wait has taken
        come along, and the result is that of the last generation. Under another ``version`` the instance changes to it.

        Raises:
            InvalidArguments, PayloadTooLarge: the instance goes on.
            CallNotAllowed: outside workflow code, in the code of another workflow, or in the handler of an update.
            InvalidOption: ``with_options`` has said more than a version; the instance keeps its own id, tags and so on.
        """
        step = active_step.get()
        if step is None:
            raise CallNotAllowed(
                f"{self.name}.continue_as_new() was called outside workflow code: to run a finished instance again "
                "use handle.restart(), to start another one manager.start()"
            )
        running = step.surroundings.name
        if running != self.name:
            raise CallNotAllowed(
                f"{self.name}.continue_as_new() was called in an instance of {running}, which can only begin anew as "
                f"what it is: call {running}.continue_as_new(), or run {self.name} as a child by step.run_workflow"
            )
        if update := answering.get():
            raise CallNotAllowed(
                f"{self.name}.continue_as_new() was called in the handler of update {update!r}, which cannot unwind "
                "the workflow's own code: let it wake that code, by an asyncio.Event, and call it there"
            )
        if dropped := ", ".join(f"{name}=…" for name in sorted(self._said - {"version"})):
            raise InvalidOption(
                f"{self.name}.with_options({dropped}).continue_as_new(…): an instance that begins anew stays what "
                "it is and keeps what it was started with, its version apart: leave that out, or start another "
                "instance that has it"
            )
        raise ContinueAsNew(version=self.version, arguments=self.encode_arguments(args, kwargs))

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundWorkflow[P, R_co]:
        """Return a call that is not made yet. Raises InvalidArguments."""
        return BoundWorkflow(self, self.encode_arguments(args, kwargs))

    @property
    def fingerprint(self) -> str:
        """Hash of the code; see ``actors.definitions.fingerprint`` for what counts."""
        if not self._fingerprint:  # shared by all copies: their code is the same
            self._fingerprint.append(fingerprint_of(self.function))
        return self._fingerprint[0]


def _checked_defaults(options: object) -> Mapping[str, object]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InvalidOption(f'step_defaults={shown(options)}: give a mapping of options, such as {{"retry": True}}')
    said = dict(cast("Mapping[str, object]", options))
    resolve_options(StepSettings(), said, kind="step", allowed=_OF_STEPS)
    return said


_COMPLETION: Final = ("on_complete", "context")
_HANDLER_VALUES: Final = 3


def _completion(options: Mapping[str, Any]) -> bytes:
    """Return what is to be called at the end, as the record has it."""
    handler = options.get("on_complete")
    if "context" not in options or "on_complete" not in options:
        missing = "context" if "on_complete" in options else "on_complete"
        raise InvalidOption(f"on_complete and context go together: {missing}=… is missing (context may be None)")
    if not isinstance(handler, Action | Mutation):
        raise InvalidOption(
            f"on_complete={shown(handler)}: give a mutation or an action, called as f(id, result, context)"
        )
    step = cast("StepDefinition[..., Any]", handler)
    context = step.encode_position(_HANDLER_VALUES - 1, options["context"], count=_HANDLER_VALUES)
    return Completion(step.command_of(context, at=0, now_ms=0), step.options.run_after_ms).encode()


class BoundWorkflow(BoundCall[P, R_co], Generic[P, R_co]):
    """A workflow's call that is not made yet."""

    __slots__ = ()

    @property
    def workflow(self) -> Workflow[P, R_co]:
        """The workflow, with the options of this call."""
        return cast("Workflow[P, R_co]", self.definition)
