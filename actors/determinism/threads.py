"""Threads and loops: what a workflow could use to run code where nothing is recorded is refused.

The audit hook sees that a thread is started from CPython 3.12 on. A pool hands work to threads that run already.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.runners
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from actors.calls import active_step
from actors.determinism.author import THREAD, refuse
from actors.determinism.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOP: Final = "await, or use asyncio.create_task: workflow code has a loop of its own, asyncio.get_running_loop()"
_RUN: Final = "await the coroutine instead"
_POLICIES: Final = ("BaseDefaultEventLoopPolicy", "_BaseDefaultEventLoopPolicy")
"""The class from which event loop policies inherit; renamed in CPython 3.14."""


def thread_patches() -> list[Patch]:
    """Return the patches of thread pools, of ``asyncio.run`` and of asyncio's policy."""
    patches = [_refusing(threading.Thread, "start", "starting a thread", THREAD)]
    patches += [_refusing(ThreadPoolExecutor, "submit", "ThreadPoolExecutor.submit()", THREAD)]
    patches += [Patch(module, "run", _run(asyncio.run)) for module in (asyncio, asyncio.runners)]
    for policy in _POLICIES:
        owner = vars(asyncio.events).get(policy)
        if owner is not None:
            patches += [
                _refusing(owner, "get_event_loop", "asking for the worker's event loop", _LOOP),
                _refusing(owner, "new_event_loop", "making an event loop", _LOOP),
            ]
            break
    return patches


def _run(real: Callable[..., object]) -> Callable[..., object]:
    active = active_step.get

    def run(main: object, **options: Any) -> object:  # noqa: ANN401 - takes what the real one does
        if active() is not None:
            if inspect.iscoroutine(main):
                main.close()  # or Python warns that nobody awaited it
            refuse("asyncio.run()", _RUN)
        return real(main, **options)

    return run


def _refusing(owner: type, name: str, what: str, instead: str) -> Patch:
    active = active_step.get
    real: Callable[..., object] = vars(owner)[name]

    def method(self: object, /, *args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - takes what the real one does
        if active() is not None:
            refuse(what, instead)
        return real(self, *args, **kwargs)

    return Patch(owner, name, method, method=True)
