"""Functions in a module of their own: what a check at definition does not look into."""

from __future__ import annotations

import time
from datetime import datetime


def blocks() -> None:
    """Keep the caller for good."""
    while True:
        min(1, 2)


def sleeps() -> None:
    """Block for a moment."""
    time.sleep(0.01)


def reads_the_clock() -> str:
    """Return the machine's time."""
    return str(datetime.now())  # noqa: DTZ005 - what it is about
