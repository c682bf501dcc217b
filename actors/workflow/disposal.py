"""Takes a half-run instance out of memory, so that nothing of it is left to the garbage collector.

A coroutine that the collector finds is closed at some later moment, in some other loop: a `finally:` with an ``await``
in it would then run the real step. Here every coroutine is closed under its own loop, which is dead: steps that are
asked for are not recorded and never complete. They do not raise either, since ``except BaseException`` around a step in
an endless loop would then spin for ever. What still refuses to close is kept for good, and counted.

``except Exception`` and ``except CancelledError`` bodies do not run. Synchronous code in `finally:` does, which cannot
be prevented.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from actors.workflow.loop import WorkflowLoop

THROWS_MAX: Final = 100
"""So often may all `finally` around one another await something."""
ROUNDS_MAX: Final = 100
"""Closing may leave new tasks and generators behind this many times."""

unclosable: Final[list[object]] = []
"""Coroutines and generators that would not close. Their number is a metric."""


class Disposed(BaseException):
    """Thrown into half-run coroutines. Never leaves the replay core.

    Not GeneratorExit: coroutines that await one another must not await while that passes through them. The outer one
    would get a RuntimeError instead, run its ``except Exception``, and drop the inner one half-closed.
    """


def dispose_loop(loop: WorkflowLoop) -> None:
    """Close everything that runs on ``loop`` and leave it dead. Twice does no harm."""
    loop.kill()
    loop.disposed = True
    # A direct call of a step asks the context whether it is made in workflow code. Not there, it would run its body.
    loop.context.copy().run(_close_all, loop)


def _close_all(loop: WorkflowLoop) -> None:
    outer = asyncio._get_running_loop()  # noqa: SLF001 - as in the loop itself
    hooks = sys.get_asyncgen_hooks()
    asyncio._set_running_loop(loop)  # noqa: SLF001
    sys.set_asyncgen_hooks(firstiter=None, finalizer=loop.abandoned.append)
    try:
        for _ in range(ROUNDS_MAX):
            if not loop.tasks and not loop.abandoned:
                break
            _close_tasks(loop)
            _close_generators(loop)
        else:
            for left in (*loop.abandoned, *(task.get_coro() for task in loop.tasks)):
                _keep_for_good(left)
    finally:
        sys.set_asyncgen_hooks(*hooks)
        asyncio._set_running_loop(outer)  # noqa: SLF001


def _close_tasks(loop: WorkflowLoop) -> None:
    tasks = list(loop.tasks)
    loop.tasks.clear()
    for task in tasks:
        # asyncio would complain about a pending task when it is collected.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        coro = task.get_coro()
        if not _close_within(task, coro.throw):
            _keep_for_good(coro)


def _close_generators(loop: WorkflowLoop) -> None:
    generators = list(loop.abandoned)
    loop.abandoned.clear()
    for generator in generators:
        if not _close_generator(generator):
            _keep_for_good(generator)


def _keep_for_good(stubborn: object) -> None:
    """Hold it so that nothing ever runs it again, at the end of the process neither.

    Python clears its modules then, and all that they refer to is closed once more: ``while True`` around a ``try``
    whose names are gone would spin, and the process never end. So it gets a reference that nobody gives back.
    """
    unclosable.append(stubborn)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(stubborn))


def _close_within(task: asyncio.Task[Any], throw: Callable[[BaseException], object]) -> bool:
    """Close a task's coroutine as that task: ``asyncio.timeout`` in a `finally` wants to be in one."""
    loop = task.get_loop()
    try:
        asyncio.tasks._enter_task(loop, task)  # noqa: SLF001 - asyncio has it for those who write loops
    except RuntimeError:
        # Called from within a task of the worker, on CPython 3.14: then there is no current task.
        return _close(throw)
    try:
        return _close(throw)
    finally:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001


def _close(throw: Callable[[BaseException], object]) -> bool:
    """Throw ``Disposed`` until it comes out again; False if it never does."""
    for _ in range(THROWS_MAX):
        try:
            throw(Disposed())
        except BaseException:  # noqa: BLE001 - Disposed, or what the author's `finally` raises: there is nobody to tell
            return True
        # It waits again, for what never comes: a `finally` or `except BaseException` of the author's.
    return False


def _close_generator(generator: AsyncGenerator[Any, Any]) -> bool:
    for _ in range(THROWS_MAX):
        throwing = generator.athrow(Disposed())
        try:
            throwing.send(None)
        except StopIteration:
            continue  # it yields a value to nobody
        except BaseException:  # noqa: BLE001 - as above
            return True
        if not _close(throwing.throw):
            return False
    return False
