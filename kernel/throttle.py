"""Throttle: keeps what is the case a thousand times a minute from being logged as often. It writes nothing itself."""

from __future__ import annotations

import time
from typing import Final

AGAIN_S: Final = 30.0
"""How often the same thing is said while it lasts."""
REMEMBERED_MAX: Final = 1_000


class Throttle:
    """Remembers what was said when, by a text that tells one thing from another."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said_at: dict[str, float] = {}

    def due(self, what: str) -> bool:
        """Tell whether something is to be said now: it was not within the last ``AGAIN_S`` seconds."""
        now = time.monotonic()
        if now - self._said_at.get(what, -AGAIN_S) < AGAIN_S:
            return False
        if len(self._said_at) >= REMEMBERED_MAX:
            self._said_at.clear()
        self._said_at[what] = now
        return True
