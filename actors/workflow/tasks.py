"""The futures and tasks of workflow code: asyncio's own, with a hash that is the same in every process.

asyncio keeps tasks in sets (``wait`` returns them, ``TaskGroup`` cancels in their order). With the default hash, the
address, their order would differ between the process that wrote a journal and the one that replays it. Here the hash is
a number: one that stands for the instance, plus how many futures and tasks the instance had made before. It holds the
instance because asyncio also keeps one set of all tasks of the process, which equal hashes would turn into a list.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from actors.errors import Failure, InvalidArguments, StepCanceled
from actors.payload import NotEncodable, unpack

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

    from actors.definitions import Definition
    from actors.payload import ValueCodec
    from actors.workflow.commands import Commands
    from actors.workflow.handles import TimerHandle
    from actors.workflow.loop import WorkflowLoop
    from kernel import Event

T = TypeVar("T")

_SPREAD: Final = 0x9E37_79B9_7F4A_7C15
_HASH_BITS: Final = 60


def first_number(workflow_id: str) -> int:
    """Return the number of an instance's first future, the same in every process and far from other instances'."""
    return zlib.crc32(workflow_id.encode()) * _SPREAD % (1 << _HASH_BITS)


class WorkflowFuture(asyncio.Future[T]):
    """A future of workflow code; made by ``WorkflowLoop.create_future``, which numbers it."""

    __slots__ = ("number",)

    number: int
    """Its hash. Nothing hashes a future before the loop has numbered it."""

    def __hash__(self) -> int:
        return self.number


class WorkflowTask(asyncio.Task[T]):
    """A task of workflow code."""

    __slots__ = ("number",)

    def __init__(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        loop: WorkflowLoop,
        name: str | None,
        context: Context | None,
    ) -> None:
        # Numbered before asyncio's own part runs, since that puts the task into the set of all tasks.
        number = self.number = loop.next_number()
        if name is None:
            # asyncio would count over the whole process.
            name = f"Task-{number - loop.first_number}"
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number


if TYPE_CHECKING:

    class _Base(WorkflowFuture[T], Coroutine[Any, Any, T]):
        """To the checkers a step's future is also a coroutine, so that ``TaskGroup.create_task`` takes one.

        When the program runs it is not (``asyncio.wait`` refuses coroutines): the loop wraps it.
        """

        def send(self, value: Any, /) -> Any: ...  # noqa: ANN401 - as typeshed has it
        def throw(self, *args: Any) -> Any: ...  # noqa: ANN401
        def close(self) -> None: ...
        def __await__(self) -> Generator[Any, None, T]: ...

else:
    _Base = WorkflowFuture


class StepFuture(_Base[T], Generic[T]):
    """What ``step.run_…`` returns: awaitable, and wherever asyncio takes a future, it takes this.

    Canceling it withdraws what was asked for, unless its outcome has been fed.
    """

    __slots__ = ("_commands", "definition", "seq")

    _commands: Commands
    definition: Definition[..., T] | None
    """Decodes the result; None where there is none to decode (timers)."""
    seq: int
    """Number of the command that it waits for; 0 if it waits for none."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ANN401 - as in asyncio
        """Withdraw the step; whoever awaits it gets CancelledError. False if it was done already."""
        if not asyncio.Future.cancel(self, msg):
            return False
        self._commands.cancel(self.seq)
        return True

    def answer(self, event: Event) -> None:
        """Take the outcome in ``event``: this future is done, unless somebody else has made it so."""
        if self.done():
            return
        status = event.status
        if status == "ok" or (event.kind == "event" and status != "failed"):
            try:
                self.set_result(self.decode(event.payload))
            except Exception as error:  # noqa: BLE001 - the author's validators may raise anything; the waiter gets it
                self.set_exception(error)
        elif status == "failed":
            self.set_exception(Failure.decode(event.payload).to_exception())
        elif status == "canceled":
            self.set_exception(_canceled(event, self.definition))
        else:
            self.fired()

    def decode(self, payload: bytes) -> T:
        """Return the value in the payload of a success."""
        assert self.definition is not None
        return self.definition.decode_result(payload)

    def fired(self) -> None:
        """Take that the timer has fired."""
        if not self.done():
            self.set_result(None)  # type: ignore[arg-type]  # only sleep() makes one: a StepFuture[None]


class TimedFuture(StepFuture[T]):
    """A future that may have a timeout of its own: it then raises TimeoutError, and what it waits for is withdrawn."""

    __slots__ = ("awaited", "timer")

    awaited: str
    """What has not happened when it times out, for the message."""
    timer: TimerHandle | None
    """Fires when the wait is over; None if it has no limit."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ANN401 - as in asyncio
        """Stop waiting."""
        if not StepFuture.cancel(self, msg):
            return False
        self._stop_timer()
        return True

    def answer(self, event: Event) -> None:
        """Take the outcome or the event."""
        self._stop_timer()
        StepFuture.answer(self, event)

    def expire(self, length_ms: int) -> None:
        """Take that the timeout is over."""
        if self.done():
            return
        self._commands.cancel(self.seq)
        self.set_exception(TimeoutError(f"{self.awaited} within {length_ms / 1000:g} s"))

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class EventFuture(TimedFuture[T]):
    """What ``await_event`` returns: done when an event of its name is taken, or its timeout is over."""

    __slots__ = ("codec", "name")

    name: str
    """Of the event."""
    codec: ValueCodec
    """Decodes the event's value."""

    def decode(self, payload: bytes) -> T:
        """Return the event's value."""
        try:
            return cast("T", self.codec.from_plain(unpack(payload)))
        except NotEncodable as error:
            raise InvalidArguments(f"the event {self.name!r} came with a value that does not fit: {error}") from None


def _canceled(event: Event, definition: Definition[..., Any] | None) -> BaseException:
    if event.payload:
        return Failure.decode(event.payload).to_exception()
    what = f"the {definition.kind} {definition.name!r}" if definition is not None else "it"
    return StepCanceled(f"{what} (step {event.seq}) was canceled before it ended")
