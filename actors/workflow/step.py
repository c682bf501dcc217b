"""``Step``: what workflow code is given to ask for things. It asks; ``commands`` records, and the host carries out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload
from uuid import UUID

from actors.errors import CallNotAllowed, InvalidArguments, InvalidOption
from actors.events import EventType
from actors.options import (
    InlineStepOptions,
    StepSettings,
    check_name,
    check_near,
    duration_ms,
    merge_options,
    resolve_options,
    time_ms,
)
from actors.payload import NotEncodable, ValueCodec, checked_codec, pack
from actors.policy import polling
from actors.starting import ChildOptions
from actors.wording import shown
from actors.workflow.frames import author_site
from actors.workflow.log import make_log
from actors.workflow.loop import timer_command
from actors.workflow.saga import Saga
from actors.workflow.tasks import EventFuture, StepFuture, TimedFuture
from actors.workflow.updates import updates_of
from kernel import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random
    from typing import Unpack

    from structlog.typing import FilteringBoundLogger

    from actors.definitions import Action, BoundQuery, Definition, Mutation, Query, StepDefinition, Workflow
    from actors.options import Duration
    from actors.workflow.commands import Commands
    from actors.workflow.loop import WorkflowLoop
    from actors.workflow.surroundings import Surroundings
    from actors.workflow.updates import UpdateHandlerDecorator

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
D = TypeVar("D", bound="StepDefinition[..., Any]")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ANYTHING: Final = ValueCodec(Any)
_DEFAULTS: Final = tuple(InlineStepOptions.__annotations__)


class Step:
    """The first argument of every workflow function. Made by the replay core, one for an instance."""

    __slots__ = ("_commands", "_loop", "_options", "_surroundings")

    def __init__(
        self, loop: WorkflowLoop, surroundings: Surroundings, options: Mapping[str, object] | None = None
    ) -> None:
        self._loop = loop
        self._commands: Commands = loop.commands
        self._surroundings = surroundings
        self._options: Mapping[str, object] = options or {}

    # ---------------------------------------------------------------------------------------------------- steps

    def run_query(self, query: Query[P, R], /, *args: P.args, **kwargs: P.kwargs) -> StepFuture[R]:
        """Ask for a query; the future brings its value or raises StepFailed.

        Raises InvalidArguments here, before anything is asked for.
        """
        return self._run("query", query, args, kwargs)

    def run_mutation(self, mutation: Mutation[P, R], /, *args: P.args, **kwargs: P.kwargs) -> StepFuture[R]:
        """Ask for a mutation, whose writes happen exactly once; the future brings its value or raises StepFailed.

        Raises InvalidArguments here, before anything is asked for.
        """
        return self._run("mutation", mutation, args, kwargs)

    def run_action(self, action: Action[P, R], /, *args: P.args, **kwargs: P.kwargs) -> StepFuture[R]:
        """Ask for an action; the future brings its value or raises StepFailed.

        Raises InvalidArguments here, before anything is asked for.
        """
        return self._run("action", action, args, kwargs)

    def run_workflow(self, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> StepFuture[R]:
        """Start a child workflow; the future brings its result.

        It raises WorkflowFailed if the child failed, StepCanceled if somebody canceled it, OutcomeUnknown if it was
        deleted before its result came. Raises InvalidArguments here, before anything is asked for, and InvalidOption if
        the child's ``id`` is the instance's own.
        """
        if getattr(workflow, "kind", None) != "workflow":
            _refuse_kind("workflow", workflow)
        commands = self._commands
        name, options = workflow.name, workflow.options
        if options.id == self.workflow_id:
            raise InvalidOption(
                f"step.run_workflow({name}.with_options(id={shown(options.id)}), …) at {author_site()}: that is this "
                f"instance itself, which would wait for its own end: give the child another id, or begin anew by "
                f"{name}.continue_as_new(…)"
            )
        command = Command(
            "child",
            name,
            name,
            workflow.encode_arguments(args, kwargs),
            ChildOptions.of(workflow, priority=self._surroundings.priority).encode(),
            commands.at,
            due_ms=options.due_ms(commands.now_ms),
            timeout_ms=options.timeout_ms,
            detached=options.detached,
        )
        return self._ask(command, workflow)

    def _run(
        self, kind: str, definition: StepDefinition[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> StepFuture[R]:
        if getattr(definition, "kind", None) != kind:
            _refuse_kind(kind, definition)
        definition = self._with_defaults(definition)
        commands = self._commands
        return self._ask(definition.command(args, kwargs, at=commands.at, now_ms=commands.now_ms), definition)

    def _with_defaults(self, definition: D) -> D:
        """Return a step as the workflow's definition and ``with_options`` of this object have it."""
        below, above = self._surroundings.step_defaults, self._options
        return definition.with_defaults(below=below, above=above) if below or above else definition

    def _ask(self, command: Command, definition: Definition[..., R] | None) -> StepFuture[R]:
        commands = self._commands
        future: StepFuture[R] = StepFuture(loop=self._loop)
        future.number = self._loop.next_number()
        future._commands = commands  # noqa: SLF001 - a constructor in Python would cost more than all this
        future.definition = definition
        future.seq = commands.ask(command, future, definition)
        return future

    def with_options(self, **options: Unpack[InlineStepOptions]) -> Step:
        """Return a copy that has options for the steps run through it. Further calls add to them, the later one wins.

        They are defaults: they win over what a step's decorator says and the workflow's ``step_defaults``, and what is
        said by ``with_options`` of the step itself wins over them. What a kind of step cannot have (an action
        ``inline``) is left out. Raises InvalidOption.
        """
        merged = merge_options(self._options, options)
        resolve_options(StepSettings(), merged, kind="step", allowed=_DEFAULTS)
        return Step(self._loop, self._surroundings, merged)

    # ------------------------------------------------------------------------------------------- time and events

    def sleep(self, duration: Duration) -> StepFuture[None]:
        """Sleep durably for a timedelta or seconds; not positive: until other tasks have had their turn."""
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        try:
            negative = seconds < 0
        except TypeError:
            negative = False  # no number: refused in the words of all durations
        return self._sleep(0 if negative else duration_ms("duration", seconds))

    def sleep_until(self, time: datetime) -> StepFuture[None]:
        """Sleep durably until ``time``, an aware datetime."""
        now_ms = self._commands.now_ms
        return self._sleep(check_near("time", time_ms("time", time), now_ms=now_ms) - now_ms)

    def _sleep(self, length_ms: int) -> StepFuture[None]:
        if length_ms > 0:
            return self._ask(timer_command(length_ms, self._commands), None)
        future: StepFuture[None] = StepFuture(loop=self._loop)
        future.number = self._loop.next_number()
        future._commands = self._commands  # noqa: SLF001
        future.seq = 0
        self._loop.call_soon(future.fired)
        return future

    @overload
    def await_event(
        self, name: EventType[T], type: None = None, *, timeout: Duration | None = None
    ) -> StepFuture[T]: ...
    @overload
    def await_event(self, name: str, type: None = None, *, timeout: Duration | None = None) -> StepFuture[Any]: ...
    @overload
    def await_event(self, name: str, type: type[T], *, timeout: Duration | None = None) -> StepFuture[T]: ...
    def await_event(
        self,
        name: EventType[Any] | str,
        type: Any = None,  # noqa: A002 - the word for it
        *,
        timeout: Duration | None = None,
    ) -> StepFuture[Any]:
        """Wait for an event of that name, sent earlier or later; the future brings its value as ``type``.

        ``name``: a text, or what ``manager.event(name, type)`` returned. Each event is taken by one wait, the oldest.
        An event sent with an error raises EventFailed. After ``timeout`` (a timedelta or seconds) the future raises
        TimeoutError, and the event is left to the next wait.
        """
        commands = self._commands
        if isinstance(name, EventType):
            codec, name = name.codec, name.name
        else:
            name, codec = check_name("name", name), _ANYTHING if type is None else checked_codec(type)
        length_ms = None if timeout is None else duration_ms("timeout", timeout)
        future: EventFuture[Any] = EventFuture(loop=self._loop)
        future.number = self._loop.next_number()
        future._commands = commands  # noqa: SLF001
        future.name, future.codec = name, codec
        future.timer, future.awaited = None, f"no event {name!r} came"
        future.seq = commands.ask(Command("wait", name, name, at=commands.at), future)
        if future.seq:
            commands.wait(name, future.seq)
        if length_ms is not None and not future.done():
            future.timer = self._loop.timer(length_ms, future.expire, (length_ms,))
        return future

    def wait_for(
        self, call: BoundQuery[..., R], *, interval: Duration = 1.0, timeout: Duration | None = None
    ) -> StepFuture[R]:
        """Run a query (``query.bind(…)``) every ``interval`` until its value is truthy; the future brings that value.

        It is one step, however often it runs: the journal does not grow. ``interval`` and ``timeout`` are timedeltas or
        seconds. After ``timeout`` the future raises TimeoutError. A query that raises is retried by its policy, or
        fails the step.
        """
        query = getattr(call, "definition", None)
        if getattr(query, "kind", None) != "query":
            raise CallNotAllowed(f"step.wait_for({call!r}) at {author_site()}: give a query's call, as query.bind(…)")
        commands = self._commands
        interval_ms = duration_ms("interval", interval)
        if not interval_ms:
            raise InvalidOption(f"interval={shown(interval)}: give more than 0 seconds")
        length_ms = None if timeout is None else duration_ms("timeout", timeout)
        definition = self._with_defaults(cast("Query[..., R]", query))
        command = definition.command_of(call.arguments, at=commands.at, now_ms=commands.now_ms)
        future: TimedFuture[R] = TimedFuture(loop=self._loop)
        future.number = self._loop.next_number()
        future._commands = commands  # noqa: SLF001
        future.definition = definition
        future.timer, future.awaited = None, f"{command.label!r} found nothing"
        future.seq = commands.ask(polling(command, interval_ms), future, definition)
        if length_ms is not None:
            future.timer = self._loop.timer(length_ms, future.expire, (length_ms,))
        return future

    def saga(self) -> Saga:
        """Return a saga: what is registered in its block undoes the block's steps, should it be left by an error.

        ``async with step.saga() as saga: saga.undo(cancel_booking, trip); await step.run_action(book, trip)``. On an
        exception, or a cancellation that lets code run (``cancel(cleanup=True)``), the undos registered so far run one
        after another, the last one first, each a durable step; then the exception goes on. An undo that fails does not
        keep the others from running; it is noted in the exception, logged, and kept in ``saga.failures``. Registered
        before its step, an undo also covers an unknown outcome.
        """
        return Saga(self)

    def set_value(self, key: str, value: object) -> None:
        """Publish ``value`` under ``key``, for ``handle.value(key)`` and watchers."""
        commands = self._commands
        try:
            arguments = pack(value)
        except NotEncodable as error:
            raise InvalidArguments(f"step.set_value({shown(key)}, …): {error}") from None
        commands.ask(Command("value", check_name("key", key), key, arguments, at=commands.at), None)

    @overload
    def update_handler(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def update_handler(self, /, *, name: str | None = None) -> UpdateHandlerDecorator: ...
    def update_handler(self, function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
        """Let a function inside the workflow answer ``handle.update(its name, …)`` from now on, until it ends.

        ``async def`` (it may run steps) or ``def``; a closure sees the workflow's variables. Arguments and return value
        are validated by its annotations; an update whose arguments do not fit is rejected and never gets here. Each
        update runs as a task of the workflow, in the order sent. Updates that came earlier are answered now. A handler
        that is registered later, after something was waited for, takes the place of the one of its name before.

        Raises:
            InvalidOption: a name that cannot be one.
            InvalidDefinition: what was decorated is no function.
            DuplicateDefinition: two functions under one name, with nothing between them that was waited for.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            updates_of(self._loop, self._surroundings).register(function, name)
            return function

        return register if function is None else register(function)

    def patched(self, name: str) -> bool:
        """Tell whether the instance came here the first time under code that has this patch.

        ``if step.patched("two-fees"): … (new) else: … (old)``: instances that had passed here before the change get
        False, and go on as they began; all others True, which their journal records. The first call under a name
        decides for the whole instance; in a loop whose later rounds may be new, put the round into the name. Once no
        old instance is left, the call and the old way can be taken out: the marker in journals does no harm.
        """
        return self._commands.patched(check_name("name", name))

    # ------------------------------------------------------------------------------ the same on every replay

    def now(self) -> datetime:
        """Return the recorded time of the latest event, in UTC."""
        return _EPOCH + timedelta(milliseconds=self._commands.now_ms)

    @property
    def random(self) -> Random:
        """Random numbers that are the same on every replay."""
        return self._surroundings.stream("random")

    def uuid4(self) -> UUID:
        """Return a random UUID that is the same on every replay."""
        return UUID(int=self._surroundings.stream("uuid4").getrandbits(128), version=4)

    @property
    def surroundings(self) -> Surroundings:
        """What the guards of workflow code ask; not for authors."""
        return self._surroundings

    @property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger bound to the instance, silent on replay."""
        surroundings = self._surroundings
        if surroundings.log is None:
            surroundings.log = make_log(self._commands)
        return surroundings.log

    @property
    def workflow_id(self) -> str:
        """The instance's id."""
        return self._commands.workflow_id

    @property
    def attempt(self) -> int:
        """Which run of the instance this is: 1, and one more after each restart. Beginning anew starts again at 1.

        What a restart keeps was asked for under the number of then, and sees that again.
        """
        return self._surroundings.attempt

    @property
    def version(self) -> str:
        """The version of the workflow under which the instance runs."""
        return self._surroundings.version


def _refuse_kind(kind: str, definition: object) -> None:
    """Raise CallNotAllowed for what is not a definition of ``kind``, with the call to write instead."""
    found = cast("str | None", getattr(definition, "kind", None))
    name = getattr(definition, "name", None) or getattr(definition, "__qualname__", repr(definition))
    if found is None:
        advice = f"decorate it with @manager.{kind} first"
    else:
        advice = f"it is {'an' if found == 'action' else 'a'} {found}: write step.run_{found}({name}, …)"
    raise CallNotAllowed(f"step.run_{kind}({name}, …) at {author_site()}: {advice}")
