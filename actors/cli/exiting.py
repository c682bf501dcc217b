"""Exiting: how a worker process ends for certain. Python waits for threads at its end, and nobody can end those."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Final, NoReturn

import structlog

log = structlog.get_logger(__name__)

OTHERS_S: Final = 1.0
"""How long threads that are no step's (of ``asyncio.to_thread``, of a library) may take to end."""


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
