"""The few places where asyncio's own functions must act otherwise on a workflow's loop. On other loops they do not.

- ``wait_for`` awaited a coroutine in a new task up to 3.11 and awaits it in place from 3.12 on, which asks for steps in
  another order; the newer way is used on all versions.
- A ``TaskGroup`` that fails while its task is being canceled from outside lost the cancellation up to 3.12.
- ``all_tasks`` filters a set of all tasks of the process; here it answers from the loop's own.
- The future that ``gather`` returns is hashed by address; here by the loop's numbers.

What cannot be mended, since it is in C: from 3.13 on ``Task.uncancel`` also withdraws a cancellation that was not yet
delivered. It shows when a task group fails inside a timeout at the moment of its cancellation; a replay on another
version then stops.

Functions written in Python have their code replaced, not their name rebound: a module that said
``from asyncio import wait_for`` before this one was imported (the usual order of imports) is reached as well.
"""

# Most of what is replaced here has no public name.
# ruff: noqa: SLF001

from __future__ import annotations

import asyncio
import sys
from asyncio import tasks as asyncio_tasks
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


def _codes(function: object) -> dict[int, CodeType]:
    """Return the code of ``function`` and of what is nested in it (comprehensions, before 3.12), by identity."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return {}
    return {id(part): part for part in (code, *code.co_consts) if isinstance(part, CodeType)}


# By identity, since the hash of code objects reads them whole: it took longer than making a task.
ENSURE_FUTURE_CODES: Final = _codes(asyncio.ensure_future) | _codes(getattr(asyncio_tasks, "_ensure_future", None))
"""Code through which asyncio's functions make tasks of coroutines."""

AS_COMPLETED_CODES: Final = _codes(asyncio.as_completed) | _codes(
    getattr(getattr(asyncio_tasks, "_AsCompletedIterator", None), "__init__", None)
)
"""Code of ``as_completed``."""


def replace_code(function: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``function`` do what ``replacement`` does; return a function that does what it did before.

    ``replacement`` must use no global names and have the same signature.
    """
    assert isinstance(function, FunctionType)
    assert isinstance(replacement, FunctionType)
    before = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    before.__kwdefaults__ = function.__kwdefaults__
    function.__code__ = replacement.__code__
    return before


# --------------------------------------------------------------------------------------------------------- wait_for


async def _wait_for_code(fut: Any, timeout: Any) -> Any:  # noqa: ANN401 - asyncio's signature
    from actors.workflow.backports import select_wait_for  # noqa: PLC0415 - it runs with asyncio's globals

    return await select_wait_for()(fut, timeout)


async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
    """Await ``fut`` for at most ``timeout`` seconds, as CPython 3.12 does (asyncio/tasks.py)."""
    if timeout is not None and timeout <= 0:
        future = asyncio.ensure_future(fut)
        if future.done():
            return future.result()
        await _cancel_and_wait(future)
        try:
            return future.result()
        except asyncio.CancelledError as error:
            raise TimeoutError from error
    async with asyncio.timeout(timeout):
        return await fut


async def _cancel_and_wait(future: asyncio.Future[Any]) -> None:
    waiter = asyncio.get_running_loop().create_future()

    def release(_done: object) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(release)
    try:
        future.cancel()
        await waiter
    finally:
        future.remove_done_callback(release)


def select_wait_for() -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
    """Return the ``wait_for`` of the running loop."""
    return wait_for if _in_workflow() else _asyncio_wait_for


# -------------------------------------------------------------------------------------------------------- TaskGroup


async def _leave_group_code(self: Any, et: Any, exc: Any, tb: Any) -> Any:  # noqa: ANN401 - asyncio's signature
    from actors.workflow.backports import select_leave_group  # noqa: PLC0415 - it runs with asyncio's globals

    return await select_leave_group()(self, et, exc, tb)


async def _leave_group(group: Any, et: Any, exc: Any, _tb: Any) -> None:  # noqa: ANN401
    """Do what ``TaskGroup.__aexit__`` does in CPython 3.13 (asyncio/taskgroups.py)."""
    group._exiting = True
    if et is not None and group._is_base_error(exc) and group._base_error is None:
        group._base_error = exc
    canceled = exc if isinstance(exc, asyncio.CancelledError) else None
    if et is not None and not group._aborting:
        group._abort()
    canceled = await _wait_for_group(group) or canceled
    if group._base_error is not None:
        raise group._base_error
    parent = group._parent_task
    if group._parent_cancel_requested and parent.uncancel() == 0:
        canceled = None
    if canceled is not None and not group._errors:
        raise canceled
    if et is not None and not isinstance(exc, asyncio.CancelledError):
        group._errors.append(exc)
    if group._errors:
        if parent.cancelling():
            parent.uncancel()
            parent.cancel()
        errors, group._errors = group._errors, None
        raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None


async def _wait_for_group(group: Any) -> asyncio.CancelledError | None:  # noqa: ANN401
    canceled: asyncio.CancelledError | None = None
    while group._tasks:
        if group._on_completed_fut is None:
            group._on_completed_fut = group._loop.create_future()
        try:
            await group._on_completed_fut
        except asyncio.CancelledError as error:
            if not group._aborting:
                canceled = error
                group._abort()
        group._on_completed_fut = None
    return canceled


def select_leave_group() -> Callable[[Any, Any, Any, Any], Coroutine[Any, Any, Any]]:
    """Return ``TaskGroup.__aexit__`` for the running loop."""
    return _leave_group if _in_workflow() else _asyncio_leave_group


# -------------------------------------------------------------------------------------------------------- all_tasks


def _all_tasks_code(loop: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
    from actors.workflow.backports import all_tasks  # noqa: PLC0415 - it runs with asyncio's globals

    return all_tasks(loop)


def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
    """Return the tasks of ``loop`` (the running one) that are not done; those of a workflow in one order everywhere."""
    asked = asyncio.get_running_loop() if loop is None else loop
    own = getattr(asked, "tasks", None) if _is_workflow_loop(asked) else None
    if own is None:
        return cast("set[asyncio.Task[Any]]", _asyncio_all_tasks(loop))
    return {task for task in own if not task.done()}


# ----------------------------------------------------------------------------------------------------------- gather


def _gathering_hash(future: Any) -> int:  # noqa: ANN401 - a class of asyncio's that has no public name
    loop = future._loop
    if not _is_workflow_loop(loop):
        return object.__hash__(future)
    number = getattr(future, "_workflow_number", None)
    if number is None:
        # Numbered when first hashed, which happens in the same order everywhere.
        number = future._workflow_number = loop.next_number()
    return cast("int", number)


def _is_workflow_loop(loop: object) -> bool:
    module = sys.modules.get("actors.workflow.loop")
    return module is not None and type(loop) is module.WorkflowLoop


def _in_workflow() -> bool:
    return _is_workflow_loop(asyncio._get_running_loop())


_asyncio_wait_for: Callable[..., Any] = asyncio.wait_for
if sys.version_info < (3, 12):
    _asyncio_wait_for = replace_code(asyncio.wait_for, _wait_for_code)

_asyncio_leave_group: Callable[..., Any] = asyncio.TaskGroup.__aexit__
if sys.version_info < (3, 13):
    _asyncio_leave_group = replace_code(asyncio.TaskGroup.__aexit__, _leave_group_code)

_asyncio_all_tasks: Callable[..., Any] = asyncio.all_tasks
if isinstance(asyncio.all_tasks, FunctionType):
    _asyncio_all_tasks = replace_code(asyncio.all_tasks, _all_tasks_code)
else:  # written in C from 3.14 on
    asyncio.all_tasks = asyncio_tasks.all_tasks = all_tasks

cast("Any", asyncio_tasks)._GatheringFuture.__hash__ = _gathering_hash
