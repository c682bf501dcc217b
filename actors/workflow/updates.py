"""Updates: requests from outside that the workflow's own code answers, each in a task of its own, in the order sent.

What comes before its handler is registered is kept. A reply is a command: the same on every replay, and part of the
decision that the handler's other effects are part of.
"""

from __future__ import annotations

import inspect
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from actors.calls import answering
from actors.definitions.base import local_names
from actors.errors import DuplicateDefinition, Failure, InvalidArguments, InvalidDefinition
from actors.options import check_name
from actors.signature import FunctionCodec
from actors.workflow.disposal import Disposed
from actors.workflow.frames import author_site
from kernel import Command, Reply, write_reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from actors.workflow.loop import WorkflowLoop
    from actors.workflow.surroundings import Surroundings
    from kernel import Event

P = ParamSpec("P")
R = TypeVar("R")

_LEFT = "the workflow ended, or began anew, before its handler had returned"


class UpdateHandlerDecorator(Protocol):
    """What ``step.update_handler(name=…)`` returns."""

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Register the function, and return it."""
        ...


class _Handler(NamedTuple):
    function: Callable[..., Any]
    codec: FunctionCodec
    context: Context
    """The one in which it was registered."""
    at: int
    """Number of the event that was fed then."""


class Updates:
    """The handlers of one instance, and the updates that wait for one or are being answered."""

    __slots__ = ("_bytes_max", "_handlers", "_kept", "_loop", "_running")

    def __init__(self, loop: WorkflowLoop, *, bytes_max: int) -> None:
        self._loop = loop
        self._bytes_max = bytes_max
        """Limit of one reply's value, encoded."""
        self._handlers: dict[str, _Handler] = {}
        self._kept: dict[str, deque[Event]] = {}
        self._running: dict[int, Event] = {}
        """Updates that have a handler and no reply yet, by number of the event."""

    @property
    def kept(self) -> list[Event]:
        """Updates that no handler has taken."""
        return [event for events in self._kept.values() for event in events]

    def register(self, function: Callable[..., Any], name: str | None) -> None:
        """Let ``function`` answer updates of a name (None: its own), those that came earlier included."""
        if not inspect.isfunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidDefinition(
                f"step.update_handler at {author_site()}: {function!r} cannot answer updates: decorate a def or "
                "async def that returns a value"
            )
        name = check_name("name", function.__name__ if name is None else name)
        if self._loop.commands.dead:
            return
        self._refuse_replacing_at_once(name, function)
        codec = FunctionCodec(function, skip=0, bytes_max=self._bytes_max, local_names=local_names(function))
        if name not in self._handlers:
            commands = self._loop.commands
            commands.ask(Command("handler", name, name, at=commands.at), _NOBODY)
        self._handlers[name] = _Handler(function, codec, copy_context(), self._loop.commands.at)
        for event in self._kept.pop(name, ()):
            self._begin(event)

    def _refuse_replacing_at_once(self, name: str, function: Callable[..., Any]) -> None:
        """Raise DuplicateDefinition for a second function of a name between two events: one of them has a wrong name.

        The same code again, as in a loop, or another one later, as for another phase, is meant.
        """
        before = self._handlers.get(name)
        if before is None or before.at != self._loop.commands.at:
            return
        first, second = inspect.unwrap(before.function), inspect.unwrap(function)
        if first.__code__ is not second.__code__:
            raise DuplicateDefinition(
                f"step.update_handler at {author_site()}: {name!r} has just been registered for {first.__qualname__}() "
                f"at line {first.__code__.co_firstlineno}: give one of them another name=…"
            )

    def deliver(self, event: Event) -> None:
        """Have an update answered, now or once its handler is registered."""
        if event.name in self._handlers:
            self._begin(event)
        else:
            self._kept.setdefault(event.name, deque()).append(event)

    def close(self) -> None:
        """The workflow has ended: whoever waits for a handler that still runs is told so."""
        failure = Failure("UpdateFailed", "WorkflowEnded", _LEFT).encode()
        for event in self._running.values():
            self._ask(event, Reply("failed", failure))
        self._running.clear()

    def _begin(self, event: Event) -> None:
        handler = self._handlers[event.name]
        self._running[event.number] = event
        work = self._answer(event, handler)
        context = handler.context.copy()
        context.run(answering.set, event.name)
        _ = self._loop.create_task(work, name=f"update {event.name} {event.number}", context=context)

    async def _answer(self, event: Event, handler: _Handler) -> None:
        reply = await _reply(event, handler)
        if self._running.pop(event.number, None) is not None:
            self._ask(event, reply)

    def _ask(self, event: Event, reply: Reply) -> None:
        commands = self._loop.commands
        arguments = write_reply(reply)
        commands.ask(Command("reply", str(event.number), event.name, arguments, at=commands.at), None)


async def _reply(event: Event, handler: _Handler) -> Reply:
    """Validate the arguments, run the handler, and return what to say."""
    try:
        args, kwargs = handler.codec.decode_arguments(event.payload)
    except InvalidArguments as error:
        said = str(error).replace("the recorded arguments", "the arguments", 1).replace(" any more:", ":", 1)
        message = f"the update {event.name!r} was rejected: {said}"
        return Reply("rejected", Failure("UpdateFailed", "InvalidArguments", message).encode())
    except Exception as error:  # noqa: BLE001 - the author's annotations and validators may raise anything
        return Reply("failed", Failure.from_exception(error, kind="UpdateFailed").encode())
    try:
        value = handler.function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        return Reply("ok", handler.codec.encode_result(cast("object", value)))
    except (Disposed, GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the author's code raises is the reply
        return Reply("failed", Failure.from_exception(error, kind="UpdateFailed").encode())


class _Nobody:
    """Stands for what waits for a handler's outcome: there is none, it is open until the workflow ends."""

    def answer(self, event: Event) -> None:
        """Take nothing."""


_NOBODY = _Nobody()


def updates_of(loop: WorkflowLoop, surroundings: Surroundings) -> Updates:
    """Return the updates of an instance; made when the first is needed."""
    if surroundings.updates is None:
        surroundings.updates = Updates(loop, bytes_max=surroundings.value_bytes_max)
    return surroundings.updates
