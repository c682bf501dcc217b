"""The event loop of workflow code: asyncio's interface over a queue of callbacks, without clock, sockets or threads.

It runs until idle and returns; it never waits. What would wait is a command: a timer asked for here becomes a durable
one. Its time is the recorded time of the event being fed. It is entered from a plain function call, never from inside
a task (CPython 3.14 allows one running task a thread), and leaves everything as it found it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections import deque
from contextvars import Context, copy_context
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Protocol, TypeVar, TypeVarTuple, cast

from actors.calls import active_step
from actors.options import DURATION_MS_MAX
from actors.workflow.backports import AS_COMPLETED_CODES, ENSURE_FUTURE_CODES
from actors.workflow.errors import TurnTooLong
from actors.workflow.handles import Handle, TimerHandle
from actors.workflow.refusals import refuse, refuse_methods
from actors.workflow.tasks import WorkflowFuture, WorkflowTask, first_number
from kernel import Command

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from contextlib import AbstractContextManager

    from actors.workflow.commands import Commands
    from actors.workflow.step import Step


T = TypeVar("T")
_Arguments = TypeVarTuple("_Arguments")

CALLBACKS_MAX: Final = 10_000_000
"""Callbacks that one event may set off."""

_log = logging.getLogger("actors.workflow")


class TurnGuard(Protocol):
    """Watches what workflow code does."""

    def watch(self) -> AbstractContextManager[None]:
        """Return what surrounds one turn."""
        ...


class WorkflowLoop(asyncio.AbstractEventLoop):
    """One instance's event loop. See the module's docstring."""

    __slots__ = (
        "_forget",
        "_running",
        "abandoned",
        "commands",
        "context",
        "disposed",
        "first_number",
        "next_number",
        "ready",
        "step",
        "tasks",
    )

    guard: ClassVar[TurnGuard | None] = None
    """What surrounds every turn of every loop in this process; None: nothing. Set by tests and by strict replays."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        commands.abort = self.kill
        self.ready: deque[Handle | TimerHandle] = deque()
        self.tasks: dict[WorkflowTask[Any], None] = {}
        """Tasks that are not done, in the order made; asyncio itself holds them by weak references."""
        self._forget = self.tasks.pop
        self.abandoned: list[AsyncGenerator[Any, Any]] = []
        """Half-run async generators that nobody refers to any more, kept for disposal."""
        self.context = Context()
        """Context of the workflow function: empty, so that nothing of the worker leaks in."""
        self.first_number = first_number(commands.workflow_id)
        self.next_number: Callable[[], int] = count(self.first_number).__next__
        self.step: Step | None = None
        """The ``Step`` of the workflow; set by the instance."""
        self.disposed = False
        self._running = False

    # ------------------------------------------------------------------------------------------------ running

    def run(self) -> None:
        """Run callbacks until none is left. SystemExit and KeyboardInterrupt pass through."""
        outer = asyncio._get_running_loop()  # noqa: SLF001 - asyncio has it for those who write loops
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)  # noqa: SLF001
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._keep)
        self._running = True
        try:
            if WorkflowLoop.guard is None:
                self._drain()
            else:
                with WorkflowLoop.guard.watch():
                    self._drain()
        finally:
            self._running = False
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def _drain(self) -> None:
        ready = self.ready
        for _ in range(CALLBACKS_MAX):
            if not ready:
                # A kept exception holds this frame, which would hold the task that raised it, in a circle.
                handle = callback = None
                return
            handle = ready.popleft()
            callback = handle.callback
            if callback is None:
                continue
            try:
                handle.context.run(callback, *handle.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as asyncio: one callback's error stops no other
                self.call_exception_handler({"message": f"Exception in callback {callback!r}", "exception": error})
        raise TurnTooLong(
            f"one event set off more than {CALLBACKS_MAX:,} callbacks: look for a loop that awaits nothing but "
            "asyncio.sleep(0), and let it await a step, a timer or an event"
        )

    def kill(self) -> None:
        """Record nothing and call nothing from now on. Whatever is asked for never completes."""
        self.commands.dead = True
        queued = self.ready
        self.ready = deque(maxlen=0)
        queued.clear()

    def _keep(self, generator: AsyncGenerator[Any, Any]) -> None:
        # The collector has found it. Its `finally` must not run at such a moment: not in an outer loop, not now.
        self.abandoned.append(generator)
        if self.disposed:
            # Nobody else will close it.
            from actors.workflow.disposal import dispose_loop  # noqa: PLC0415 - it imports this module

            dispose_loop(self)

    # ------------------------------------------------------------------------------- what asyncio asks of a loop

    def time(self) -> float:
        """Return the recorded time of the event being fed, in seconds since the epoch."""
        return self.commands.now_ms / 1000

    def call_soon(
        self,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> Handle:
        """Queue a callback."""
        handle = Handle(callback, args, copy_context() if context is None else context)
        self.ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> TimerHandle:
        """Ask for a timer of ``delay`` seconds."""
        return self.timer(_milliseconds(delay), callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> TimerHandle:
        """Ask for a timer that fires at ``when``, in seconds of ``time()``."""
        return self.timer(_milliseconds(when - self.time()), callback, args, context)

    def timer(
        self, length_ms: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None = None
    ) -> TimerHandle:
        """Ask for a timer of ``length_ms``; one that is due at once asks for nothing and is queued."""
        commands = self.commands
        due_ms = commands.now_ms + max(length_ms, 0)
        handle = TimerHandle(self, due_ms, callback, args, copy_context() if context is None else context)
        if length_ms > 0:
            handle.seq = commands.ask(timer_command(length_ms, commands), handle)
        else:
            self.ready.append(handle)
        return handle

    def create_future(self) -> WorkflowFuture[Any]:
        """Return a numbered future."""
        future: WorkflowFuture[Any] = WorkflowFuture(loop=self)
        future.number = self.next_number()
        return future

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,  # noqa: ANN401 - what newer versions of asyncio pass through
    ) -> WorkflowTask[T]:
        """Return a numbered task; a step's future may stand for the coroutine."""
        caller = sys._getframe(1)  # noqa: SLF001 - one frame: asyncio gives no other sign of as_completed
        if id(caller.f_code) in ENSURE_FUTURE_CODES:
            _refuse_as_completed(coro)
        if options.get("eager_start"):
            _close(coro)
            refuse("an eager task", "leave eager_start out: tasks start in the order made, on every replay")
        if isinstance(coro, asyncio.Future):
            coro = _result_of(cast("asyncio.Future[T]", coro))
        if context is not None:
            # An empty context of the author's must not make direct calls of steps run their bodies here.
            context.run(active_step.set, self.step)
        task: WorkflowTask[T] = WorkflowTask(coro, loop=self, name=name, context=context)
        self.tasks[task] = None
        task.add_done_callback(self._forget, context=self.context)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what nobody awaited or caught; silent while the journal is replayed and after the end."""
        commands = self.commands
        if commands.replaying or commands.dead:
            return
        error = context.get("exception")
        _log.error("workflow %s: %s", commands.workflow_id, context.get("message"), exc_info=error)

    def get_debug(self) -> bool:
        """Return False: asyncio's debug mode measures real time."""
        return False

    def is_running(self) -> bool:
        """Return whether workflow code is running."""
        return self._running

    def is_closed(self) -> bool:
        """Return False: a loop that is done with ignores what it is asked."""
        return False

    def get_task_factory(self) -> None:
        """Return None: tasks are made in one way."""
        return


refuse_methods(WorkflowLoop)


def timer_command(length_ms: int, commands: Commands) -> Command:
    """Return the command of a timer that fires ``length_ms`` from now."""
    return Command("timer", "", "timer", b"%d" % length_ms, b"", commands.at, "", commands.now_ms + length_ms)


def _milliseconds(seconds: float) -> int:
    """Return ``seconds`` as whole ms, rounded up, but for what floats add: a time of today has steps of 0.2 µs."""
    if not seconds * 1000 <= DURATION_MS_MAX:
        raise ValueError(f"a timer of {seconds!r} seconds: give a number up to 100 years")
    return math.ceil(seconds * 1000 - 0.001)


async def _result_of(future: asyncio.Future[T]) -> T:
    return await future


def _close(coro: object) -> None:
    close = getattr(coro, "close", None)
    if close is not None:
        close()


def _refuse_as_completed(coro: object) -> None:
    """Raise if the caller's caller is ``as_completed``, which starts bare coroutines in the order of addresses."""
    frame = sys._getframe(2)  # noqa: SLF001
    while id(frame.f_code) in ENSURE_FUTURE_CODES and frame.f_back is not None:
        frame = frame.f_back
    if id(frame.f_code) in AS_COMPLETED_CODES:
        _close(coro)
        _refused_as_completed()


def _refused_as_completed() -> NoReturn:
    refuse("as_completed over coroutines", "pass it tasks (asyncio.create_task) or the futures of step.run_…")
