"""Exiting: how a worker process ends for certain, and only when it is told to.

Python waits for threads at its end, and nobody can end those; and asyncio ends with any task that calls ``sys.exit()``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = structlog.get_logger(__name__)

OTHERS_S: Final = 1.0
"""How long threads that are no step's (of ``asyncio.to_thread``, of a library) may take to end."""


def run_to_the_end(main: Coroutine[Any, Any, int]) -> int:
    """Run a worker's program as ``asyncio.run`` does, but through a ``sys.exit()`` in a task that a step has begun.

    Such a task has ended with that, and whoever awaits it gets the ``SystemExit``.

    Raises:
        BaseException: whatever the program itself raises.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except SystemExit as error:
                if task.done():
                    raise
                frame = traceback.extract_tb(error.__traceback__)[-1]
                log.error(  # noqa: TRY400 - the place is all there is to know
                    "sys.exit() in a task that a step began ended that task alone: raise an error there",
                    code=error.code,
                    at=f"{frame.filename}:{frame.lineno}",
                )


def exit_now(code: int) -> NoReturn:
    """End the process with what it has printed and logged; nothing else of it is waited for."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def exit_soon(code: int) -> None:
    """Have the process end though threads run on, ``OTHERS_S`` from now. If none do, it ends as ever."""
    threading.Thread(target=_guard, args=(code, threading.Event()), name="exit", daemon=True).start()


def _guard(code: int, never: threading.Event) -> None:
    never.wait(OTHERS_S)
    main = threading.main_thread()
    # Beside the main thread only those that Python waits for; without any it is past that wait, at the exit handlers.
    late = [one.name for one in threading.enumerate() if one is not main and not one.daemon]
    if late:
        log.warning("ended without waiting for threads", threads=late)
        exit_now(code)
