"""Threads: where steps that are a plain ``def`` run. A thread cannot be ended from outside: this knows which run."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.servers.mutator import StepRaised

if TYPE_CHECKING:
    from collections.abc import Callable


class Threads:
    """The threads of one worker, made when they are needed."""

    def __init__(self, count_max: int) -> None:
        """``count_max``: as many as steps may run at once."""
        self._count_max = count_max
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[object, str] = {}
        self._awaited: asyncio.Event | None = None

    async def run(self, label: str, function: Callable[[], object]) -> object:
        """Call a function in a thread, in a copy of this context. Cancelled, it runs on. ``label``: for people."""
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        call_id = object()

        def call() -> object:
            self._running[call_id] = label
            try:
                return context.run(function)
            except StopIteration as error:  # a future cannot carry it, and would never be done
                raise RuntimeError(f"the step raised StopIteration: {error}") from error
            except (KeyboardInterrupt, GeneratorExit) as error:  # nobody interrupts a thread: it is its own
                raise StepRaised(type(error).__name__) from error
            finally:
                del self._running[call_id]
                if self._awaited is not None:
                    with suppress(RuntimeError):  # the loop may be closed by now
                        loop.call_soon_threadsafe(self._awaited.set)

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._count_max, thread_name_prefix="step")
        return await loop.run_in_executor(self._pool, call)

    @property
    def running(self) -> list[str]:
        """Labels of what runs in a thread now, wanted or not."""
        return sorted(self._running.copy().values())

    async def ended(self, limit_s: float) -> None:
        """Wait until nothing runs in a thread, ``limit_s`` seconds at most."""
        self._awaited = one_ended = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._running:
                    await one_ended.wait()
                    one_ended.clear()

    def close(self) -> None:
        """Begin nothing any more; what runs ends by itself."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
