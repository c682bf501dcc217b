"""Callbacks that wait to be called, in the queue or for a timer command. asyncio's own are three times the size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from actors.workflow.loop import WorkflowLoop
    from kernel import Event

# To the checkers they are asyncio's, which the loop's interface promises.
if TYPE_CHECKING:
    from asyncio import Handle as _HandleBase
    from asyncio import TimerHandle as _TimerBase
else:
    _HandleBase = _TimerBase = object


class Handle(_HandleBase):
    """A callback in the queue."""

    __slots__ = ("args", "callback", "context")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self.callback: Callable[..., object] | None = callback
        """None once it is canceled."""
        self.args = args
        self.context = context

    def cancel(self) -> None:
        """Let the callback not be called."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Return whether it was canceled."""
        return self.callback is None

    def get_context(self) -> Context:
        """Return the context in which the callback is called."""
        return self.context


class TimerHandle(_TimerBase):
    """A callback that waits for a timer command, and goes to the queue when that has fired."""

    __slots__ = ("args", "callback", "context", "due_ms", "loop", "seq")

    def __init__(
        self,
        loop: WorkflowLoop,
        due_ms: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        self.loop = loop
        self.due_ms = due_ms
        self.callback: Callable[..., object] | None = callback
        """None once it is canceled."""
        self.args = args
        self.context = context
        self.seq = 0
        """Number of its command; 0 if it was due at once and has none."""

    def cancel(self) -> None:
        """Let the callback not be called, and withdraw the timer."""
        self.callback = None
        self.args = ()
        self.loop.commands.cancel(self.seq)

    def cancelled(self) -> bool:
        """Return whether it was canceled."""
        return self.callback is None

    def get_context(self) -> Context:
        """Return the context in which the callback is called."""
        return self.context

    def when(self) -> float:
        """Return the time at which it fires, in seconds of ``loop.time()``."""
        return self.due_ms / 1000

    def answer(self, event: Event) -> None:  # noqa: ARG002 - a timer's outcome says nothing but that it has come
        """Put the callback into the queue: the timer has fired."""
        self.loop.ready.append(self)
