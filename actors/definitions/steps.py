"""Queries, mutations and actions: what a workflow can run as a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, cast

from actors.calls import active_step
from actors.definitions.base import BoundCall, Defaults, Definition, P, R_co
from actors.errors import CallNotAllowed, InvalidOption
from actors.options import (
    DefinitionOptions,
    InlineDefinitionOptions,
    InlineStepOptions,
    StepOptions,
    StepSettings,
    merge_options,
    resolve_options,
)
from kernel import ORDINARY, Command, Scheduling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from typing import Self, Unpack

    from actors.definitions.base import Kind
    from actors.policy import RetryPolicy
    from actors.transaction import Transaction

_AT_DEFINITION: dict[Kind, tuple[str, ...]] = {
    "query": tuple(InlineDefinitionOptions.__annotations__),
    "mutation": tuple(InlineDefinitionOptions.__annotations__),
    "action": tuple(DefinitionOptions.__annotations__),
}
_AT_CALL: dict[Kind, tuple[str, ...]] = {
    "query": tuple(InlineStepOptions.__annotations__),
    "mutation": tuple(InlineStepOptions.__annotations__),
    "action": tuple(StepOptions.__annotations__),
}


def check_declared(pool: str, declared: Collection[str], *, of: str) -> None:
    """Raise InvalidOption for a pool that the manager does not know; ``of``: who names it."""
    if pool not in declared:
        known = f" (it knows {', '.join(map(repr, sorted(declared)))})" if declared else ""
        raise InvalidOption(
            f"{of} names the pool {pool!r}, which its manager does not know{known}: write "
            f"Workpool(manager, {pool!r}, max_parallelism=…) above the workflows, in the module of the manager"
        )


class StepDefinition(Definition[P, R_co]):
    """A query, mutation or action."""

    options: StepSettings
    policy: RetryPolicy | None
    """The policy in effect; None: its first exception is final."""
    at_most_once: bool
    """Never started a second time, even when its worker died."""
    _unavailable: ClassVar[frozenset[str]] = frozenset()
    """Options of its kind that it cannot have; left out of what is said for many."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        kind: Kind,
        name: str | None,
        defaults: Defaults,
        options: Mapping[str, object],
    ) -> None:
        """Register nothing; ``options`` are the definition's own, checked here."""
        super().__init__(function, kind=kind, name=name, defaults=defaults)
        own = resolve_options(StepSettings(), options, kind=kind, allowed=_AT_DEFINITION[kind])
        self._declared = dict(options)
        self._said: dict[str, object] = {}
        self._settle(own)

    def command(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, at: int, now_ms: int) -> Command:
        """Return the whole command of a call asked for while event number ``at``, of time ``now_ms``, is fed.

        Raises InvalidArguments, PayloadTooLarge.
        """
        return self.command_of(self.encode_arguments(args, kwargs), at=at, now_ms=now_ms)

    def command_of(self, arguments: bytes, *, at: int, now_ms: int) -> Command:
        """Return the same of arguments that are encoded. Raises InvalidOption: the pool was not declared."""
        if self.options.pool:
            self.check_pool()
        return Command(
            "step",
            self.name,
            self._label,
            arguments,
            self._encoded_policy,
            at,
            self._queue,
            self.options.due_ms(now_ms) if self._delayed else 0,
            self._timeout_ms,
            self.at_most_once,
            False,  # noqa: FBT003 - children alone are detached; by position, since each step pays for a keyword
            self._scheduling,
        )

    def _with(self, options: Mapping[str, object]) -> Self:
        copy = self._copy()
        copy._settle(resolve_options(self.options, options, kind=self.kind, allowed=_AT_CALL[self.kind]))  # noqa: SLF001
        copy._said = merge_options(self._said, options)  # noqa: SLF001
        return copy

    def with_defaults(self, *, below: Mapping[str, object], above: Mapping[str, object]) -> Self:
        """Return a copy with further options ``below`` the definition's own, and others ``above`` them.

        What ``with_options`` said is above all. Left out is what a definition of this kind cannot have; the rest must
        have been checked.
        """
        allowed = _AT_CALL[self.kind]
        if self._unavailable:
            below, above = ({n: v for n, v in said.items() if n not in self._unavailable} for said in (below, above))
        options: Mapping[str, object] = self._declared
        if below:
            options = {**{name: value for name, value in below.items() if name in allowed}, **options}
        if above:
            options = merge_options(options, {name: value for name, value in above.items() if name in allowed})
        copy = self._copy()
        copy._settle(  # noqa: SLF001
            resolve_options(StepSettings(), merge_options(options, self._said), kind=self.kind, allowed=allowed)
        )
        return copy

    def _settle(self, options: StepSettings) -> None:
        """Take the options and work out, once, all that ``command`` needs."""
        self.options = options
        self.policy = policy = self._effective_policy()
        self.at_most_once = self.kind == "action" and (policy is None or policy.max_attempts == 1)
        self._encoded_policy = b"" if policy is None else policy.encode()
        self._label = options.label or self.name
        self._queue = options.queue
        self._timeout_ms = options.timeout_ms
        self._delayed = bool(options.run_at_ms or options.run_after_ms)
        limits = options.schedule_timeout_ms, options.heartbeat_timeout_ms
        pool = options.pool or ("" if options.inline else self.defaults.pool)
        scheduling = Scheduling(*limits, options.priority, options.inline, pool)
        self._scheduling = ORDINARY if scheduling == ORDINARY else scheduling

    def check_pool(self) -> None:
        """Raise InvalidOption if the definition's own pool was not declared."""
        if self.options.pool:
            check_declared(self.options.pool, self.defaults.pools, of=repr(self))

    def _effective_policy(self) -> RetryPolicy | None:
        retry = self.options.retry
        if retry is None:
            retry = self.kind == "action" and self.defaults.retry_actions
        if isinstance(retry, bool):
            return self.defaults.retry if retry else None
        return retry

    def _refuse_direct_call(self) -> None:
        if active_step.get() is not None:
            name = self.function.__name__
            raise CallNotAllowed(
                f"{name}() is a {self.kind} and was called directly in workflow code: "
                f"write `await step.run_{self.kind}({name}, …)`"
            )


class Query(StepDefinition[P, R_co]):
    """A function that reads Redis through its transaction. Runs again freely."""

    def __call__(self, tx: Transaction, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function itself, outside workflows. Raises CallNotAllowed in workflow code."""
        self._refuse_direct_call()
        return cast("Coroutine[Any, Any, R_co]", self.function(tx, *args, **kwargs))

    def with_options(self, **options: Unpack[InlineStepOptions]) -> Self:
        """Return a copy with options on top of those it has. Raises InvalidOption."""
        return self._with(options)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundQuery[P, R_co]:
        """Return a call that is not made yet. Raises InvalidArguments."""
        return BoundQuery(self, self.encode_arguments(args, kwargs))


class Mutation(StepDefinition[P, R_co]):
    """A function whose Redis writes, through its transaction, happen exactly once."""

    @property
    def step_kind(self) -> Literal["mutation"]:
        """What tells it from queries, where only mutations and actions will do."""
        return "mutation"

    if TYPE_CHECKING:

        def _called_on_completion(self, *args: P.args, **kwargs: P.kwargs) -> object: ...

    def __call__(self, tx: Transaction, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function itself, outside workflows. Raises CallNotAllowed in workflow code."""
        self._refuse_direct_call()
        return cast("Coroutine[Any, Any, R_co]", self.function(tx, *args, **kwargs))

    def with_options(self, **options: Unpack[InlineStepOptions]) -> Self:
        """Return a copy with options on top of those it has. Raises InvalidOption."""
        return self._with(options)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundMutation[P, R_co]:
        """Return a call that is not made yet. Raises InvalidArguments."""
        return BoundMutation(self, self.encode_arguments(args, kwargs))


class Action(StepDefinition[P, R_co]):
    """A function with any side effect. Decorating makes one of its two subclasses."""

    @property
    def step_kind(self) -> Literal["action"]:
        """What tells it from queries, where only mutations and actions will do."""
        return "action"

    if TYPE_CHECKING:

        def _called_on_completion(self, *args: P.args, **kwargs: P.kwargs) -> object: ...

    def with_options(self, **options: Unpack[StepOptions]) -> Self:
        """Return a copy with options on top of those it has. Raises InvalidOption."""
        return self._with(options)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundAction[P, R_co]:
        """Return a call that is not made yet. Raises InvalidArguments."""
        return BoundAction(self, self.encode_arguments(args, kwargs))


class AsyncAction(Action[P, R_co]):
    """An ``async def`` action: runs on the worker's event loop."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Run it as a step in workflow code; call the function itself elsewhere."""
        step = active_step.get()
        called = self.function(*args, **kwargs) if step is None else step.run_action(self, *args, **kwargs)
        return cast("Coroutine[Any, Any, R_co]", called)


class ThreadAction(Action[P, R_co]):
    """A plain ``def`` action: runs in a thread of the worker."""

    _unavailable = frozenset({"heartbeat_timeout"})

    def _settle(self, options: StepSettings) -> None:
        if options.heartbeat_timeout_ms:
            raise InvalidOption(
                f"heartbeat_timeout of {self.function.__name__}() at {self.site}: a plain def runs in a thread, which "
                "has no way to send heartbeats: write it with async def, or limit it by timeout=…"
            )
        super()._settle(options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, outside workflows. Raises CallNotAllowed in workflow code."""
        self._refuse_direct_call()
        return cast("R_co", self.function(*args, **kwargs))


class BoundQuery(BoundCall[P, R_co], Generic[P, R_co]):
    """A query's call that is not made yet."""

    __slots__ = ()


class BoundMutation(BoundCall[P, R_co], Generic[P, R_co]):
    """A mutation's call that is not made yet."""

    __slots__ = ()


class BoundAction(BoundCall[P, R_co], Generic[P, R_co]):
    """An action's call that is not made yet."""

    __slots__ = ()
