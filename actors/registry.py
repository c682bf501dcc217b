"""The decorators, and every definition by its name. Holds no connection: ``WorkflowManager`` adds that."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from actors.definitions import (
    DEFAULT_VERSION,
    VALUE_BYTES_MAX,
    Action,
    AsyncAction,
    Defaults,
    Definition,
    Mutation,
    Query,
    StepDefinition,
    ThreadAction,
    Workflow,
    check_declared,
)
from actors.errors import DuplicateDefinition, InvalidOption, UnknownDefinition
from actors.events import EventType
from actors.options import DEFAULT_POOL, check_parallelism
from actors.policy import RetryPolicy
from actors.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Unpack

    from actors.options import DefinitionOptions, InlineDefinitionOptions, WorkflowDefinitionOptions
    from actors.transaction import Transaction
    from actors.workflow.step import Step

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_LISTED_MAX = 10
_EVENTS_MAX = 10_000
"""Typed events whose names are remembered."""


class ActionDecorator(Protocol):
    """What ``action(…)`` with arguments returns: decorates both kinds of functions."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncAction[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, function: Callable[P, R], /) -> ThreadAction[P, R]: ...


class QueryDecorator(Protocol):
    """What ``query(…)`` with arguments returns."""

    def __call__(self, function: Callable[Concatenate[Transaction, P], Coroutine[Any, Any, R]], /) -> Query[P, R]:
        """Register the function."""
        ...


class MutationDecorator(Protocol):
    """What ``mutation(…)`` with arguments returns."""

    def __call__(self, function: Callable[Concatenate[Transaction, P], Coroutine[Any, Any, R]], /) -> Mutation[P, R]:
        """Register the function."""
        ...


class WorkflowDecorator(Protocol):
    """What ``workflow(…)`` with arguments returns."""

    def __call__(self, function: Callable[Concatenate[Step, P], Coroutine[Any, Any, R]], /) -> Workflow[P, R]:
        """Register the function."""
        ...


class Registry:
    """Definitions by name. Names are one space for all kinds; workflows may share one under different versions."""

    def __init__(
        self,
        *,
        default_retry: RetryPolicy | None = None,
        retry_actions_by_default: bool = False,
        value_bytes_max: int = VALUE_BYTES_MAX,
        max_parallelism: int | None = None,
    ) -> None:
        """Start empty.

        ``default_retry`` is the policy behind ``retry=True`` (None: ``RetryPolicy()``); ``value_bytes_max`` limits
        what one call's arguments, or one return value, may take encoded; ``max_parallelism`` limits how many steps that
        name no pool are under way at once (None: no limit). Raises InvalidOption.
        """
        if type(value_bytes_max) is not int or value_bytes_max < 1:
            raise InvalidOption(f"value_bytes_max={shown(value_bytes_max)}: give a whole number of bytes, 1 or more")
        if not isinstance(cast("object", default_retry), RetryPolicy | None):
            raise InvalidOption(f"default_retry={shown(default_retry)}: give a RetryPolicy")
        if not isinstance(cast("object", retry_actions_by_default), bool):
            raise InvalidOption(f"retry_actions_by_default={shown(retry_actions_by_default)}: give True or False")
        self.defaults = Defaults(
            retry=default_retry or RetryPolicy(),
            retry_actions=retry_actions_by_default,
            value_bytes_max=value_bytes_max,
            pool="" if max_parallelism is None else DEFAULT_POOL,
        )
        if max_parallelism is not None:
            self.defaults.declare_pool(DEFAULT_POOL, check_parallelism("max_parallelism", max_parallelism))
        self._steps: dict[str, StepDefinition[..., Any]] = {}
        self._workflows: dict[str, dict[str, Workflow[..., Any]]] = {}
        self._events: dict[str, EventType[Any]] = {}

    @property
    def pools(self) -> dict[str, int]:
        """The pools that were declared, with their limits."""
        return dict(self.defaults.pools)

    @overload
    def query(self, function: Callable[Concatenate[Transaction, P], Coroutine[Any, Any, R]], /) -> Query[P, R]: ...
    @overload
    def query(self, *, name: str | None = None, **options: Unpack[InlineDefinitionOptions]) -> QueryDecorator: ...
    def query(self, function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Any) -> Any:
        """Register an ``async def`` that only reads Redis; its first parameter is the transaction."""

        def register(function: Callable[..., Any]) -> Query[..., Any]:
            made: Query[..., Any] = Query(function, kind="query", name=name, defaults=self.defaults, options=options)
            return self._add(made)

        return register if function is None else register(function)

    @overload
    def mutation(
        self, function: Callable[Concatenate[Transaction, P], Coroutine[Any, Any, R]], /
    ) -> Mutation[P, R]: ...
    @overload
    def mutation(self, *, name: str | None = None, **options: Unpack[InlineDefinitionOptions]) -> MutationDecorator: ...
    def mutation(self, function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Any) -> Any:
        """Register an ``async def`` whose Redis writes happen exactly once; its first parameter is the transaction."""

        def register(function: Callable[..., Any]) -> Mutation[..., Any]:
            made: Mutation[..., Any] = Mutation(
                function, kind="mutation", name=name, defaults=self.defaults, options=options
            )
            return self._add(made)

        return register if function is None else register(function)

    @overload
    def action(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncAction[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def action(self, function: Callable[P, R], /) -> ThreadAction[P, R]: ...
    @overload
    def action(self, *, name: str | None = None, **options: Unpack[DefinitionOptions]) -> ActionDecorator: ...
    def action(self, function: Callable[..., Any] | None = None, *, name: str | None = None, **options: Any) -> Any:
        """Register a function with any side effect: ``async def``, or ``def``, which runs in a thread."""

        def register(function: Callable[..., Any]) -> Action[..., Any]:
            made: Action[..., Any]
            if inspect.iscoroutinefunction(function):
                made = AsyncAction(function, kind="action", name=name, defaults=self.defaults, options=options)
            else:
                made = ThreadAction(function, kind="action", name=name, defaults=self.defaults, options=options)
            return self._add(made)

        return register if function is None else register(function)

    @overload
    def workflow(self, function: Callable[Concatenate[Step, P], Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def workflow(
        self,
        *,
        name: str | None = None,
        version: str = DEFAULT_VERSION,
        step_defaults: InlineDefinitionOptions | None = None,
        **options: Unpack[WorkflowDefinitionOptions],
    ) -> WorkflowDecorator: ...
    def workflow(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        version: str = DEFAULT_VERSION,
        step_defaults: Any = None,
        **options: Any,
    ) -> Any:
        """Register a durable ``async def``; its first parameter is the ``Step``.

        ``step_defaults``: options of the steps that it runs, such as ``{"retry": True, "queue": "gpu"}``. Whatever a
        step's own definition, ``step.with_options`` or the step's ``with_options`` says wins over them; they win over
        the manager's. Children have their own.
        """

        def register(function: Callable[..., Any]) -> Workflow[..., Any]:
            made: Workflow[..., Any] = Workflow(
                function,
                name=name,
                version=version,
                defaults=self.defaults,
                options=options,
                step_defaults=step_defaults,
            )
            return self._add(made)

        return register if function is None else register(function)

    @overload
    def event(self, name: str, /) -> EventType[Any]: ...
    @overload
    def event(self, name: str, type: None, /) -> EventType[None]: ...
    @overload
    def event(self, name: str, type: type[T], /) -> EventType[T]: ...
    def event(self, name: str, type: Any = Any, /) -> EventType[Any]:  # noqa: A002 - the word for it
        """Return an event's name with the type of its values, for ``step.await_event`` and ``handle.send_event``.

        ``type``: a class, a generic such as ``list[Model]``, or None for events without a value. Both ends are checked
        against it, by the type checkers and when they run. Raises InvalidOption for a name that cannot be one, and
        DuplicateDefinition if it has another type already.
        """
        made: EventType[Any] = EventType(name, type)
        known = self._events.get(made.name, made)
        if known.codec.annotation != made.codec.annotation:
            raise DuplicateDefinition(
                f"the event {made.name!r} of type {shown(made.codec.annotation)} is defined with type "
                f"{shown(known.codec.annotation)} already: use that one, or give one of them another name"
            )
        if len(self._events) < _EVENTS_MAX:  # names may be drawn for each instance
            self._events[made.name] = made
        return made

    def get_step(self, name: str) -> StepDefinition[..., Any]:
        """Return the query, mutation or action registered as ``name``. Raises UnknownDefinition."""
        found = self._steps.get(name)
        if found is None:
            raise UnknownDefinition(_unknown("step", name, self._steps))
        return found

    def has_step(self, name: str) -> bool:
        """Tell whether a query, mutation or action is registered as ``name``."""
        return name in self._steps

    def get_workflow(self, name: str, version: str | None = None) -> Workflow[..., Any]:
        """Return a workflow; without ``version`` the one registered last. Raises UnknownDefinition."""
        versions = self._workflows.get(name)
        if not versions:
            raise UnknownDefinition(_unknown("workflow", name, self._workflows))
        found = versions[next(reversed(versions))] if version is None else versions.get(version)
        if found is None:
            raise UnknownDefinition(
                f"workflow {name!r} has no version {version!r} here (it has {', '.join(map(repr, versions))}): "
                "keep the old version registered until its instances have ended"
            )
        return found

    @property
    def step_definitions(self) -> tuple[StepDefinition[..., Any], ...]:
        """All queries, mutations and actions, in the order registered."""
        return tuple(self._steps.values())

    @property
    def workflows(self) -> tuple[Workflow[..., Any], ...]:
        """All workflows, all versions, grouped by name in the order registered."""
        return tuple(flow for versions in self._workflows.values() for flow in versions.values())

    def _add(self, definition: DefinitionType) -> DefinitionType:
        name = definition.name
        versions = self._workflows.get(name, {})
        taken: Definition[..., Any] | None = self._steps.get(name)
        if isinstance(definition, Workflow):
            version = cast("Workflow[..., Any]", definition).version
            taken = taken or versions.get(version)
        else:
            taken = taken or next(iter(versions.values()), None)
        if taken is not None:
            raise DuplicateDefinition(
                f"{name!r} at {definition.site} is already the {taken.kind} at {taken.site}: "
                f"give one of them another name=…{' or version=…' if definition.kind == 'workflow' else ''}"
            )
        if isinstance(definition, Workflow):
            flow = cast("Workflow[..., Any]", definition)
            self._workflows.setdefault(name, {})[flow.version] = flow
        else:
            self._steps[name] = cast("StepDefinition[..., Any]", definition)
        return definition


def check_pools(registry: Registry) -> None:
    """Check that every definition's pool was declared. Raises InvalidOption."""
    for definition in registry.step_definitions:
        definition.check_pool()
    for flow in registry.workflows:
        pool = flow.step_defaults.get("pool")
        if isinstance(pool, str):
            check_declared(pool, registry.pools, of=f"step_defaults of {flow!r}")


DefinitionType = TypeVar("DefinitionType", bound=Definition[..., Any])


def _unknown(kind: str, name: str, known: dict[str, Any]) -> str:
    names = ", ".join(sorted(known)[:_LISTED_MAX]) or "none"
    more = f" and {len(known) - _LISTED_MAX} more" if len(known) > _LISTED_MAX else ""
    return f"no {kind} is registered as {name!r} (known: {names}{more}): import its module, or correct the name"
