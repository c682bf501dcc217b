"""Lifeline: how a process notices that it should stop: by signals, or because its supervisor is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

Entered = TypeVar("Entered")

ECHO_S: Final = 0.1
SUPERVISED: Final = "HEADRACE_SUPERVISED"
"""Environment variable of a supervised worker: its standard input is a pipe that ends with its supervisor."""


@contextmanager
def on_signals(first: Callable[[], object], *, again: Callable[[], object]) -> Generator[None]:
    """Call ``first`` at the first SIGTERM or SIGINT and ``again`` at every later one, while the block runs.

    A second within ``ECHO_S`` is the first once more: whoever signals a process and then its group sends two.
    """
    loop = asyncio.get_running_loop()
    since: float | None = None

    def signaled() -> None:
        nonlocal since
        if since is None:
            since = loop.time()
            first()
        elif loop.time() - since > ECHO_S:
            again()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signaled)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def until_stopped(
    entered: AbstractAsyncContextManager[Entered], stop: asyncio.Event
) -> AsyncGenerator[Entered | None]:
    """Enter a context as long as nobody wants to stop; None: somebody did, and it was broken off before it stood.

    So a worker whose server takes nothing, for which it waits without an end, ends when it is told to.
    """
    async with AsyncExitStack() as stack:
        entering = asyncio.get_running_loop().create_task(stack.enter_async_context(entered), name="entering")
        stopping = asyncio.get_running_loop().create_task(stop.wait(), name="stopping")
        try:
            await asyncio.wait([entering, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not entering.done():
                entering.cancel()
                await asyncio.wait([entering])
        yield None if entering.cancelled() else entering.result()


class Lifeline:
    """Calls back when standard input ends, however the process at its other end was ended."""

    def __init__(self, ended: Callable[[], object]) -> None:
        """``ended`` is called in the loop, once."""
        self._ended = ended
        self._file = sys.stdin.fileno()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        """Begin to look."""
        self._loop.add_reader(self._file, self._readable)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Look no more."""
        self._loop.remove_reader(self._file)

    def _readable(self) -> None:
        if not os.read(self._file, 4096):
            self._loop.remove_reader(self._file)
            self._ended()
