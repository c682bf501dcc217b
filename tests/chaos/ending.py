"""Ending: how the programs here run their loop, so that Ctrl-C and SIGTERM end everything that was started."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run_to_the_end(work: Coroutine[object, object, T]) -> T:
    """Run on a loop of its own, with the log of this process silent: servers that go are its business.

    Raises:
        KeyboardInterrupt: it was told to end, by Ctrl-C or SIGTERM, and has taken down what it had started.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
