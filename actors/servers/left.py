"""Left: actors that a worker leaves alone for a while, since what is stored of them cannot be used. No loop, no I/O."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from actors.servers.refusals import LONG_MS, REMEMBERED_MAX
from kernel import keys

log = structlog.get_logger(__name__)

DELAYS_S: Final = tuple(delay_ms / 1000 for delay_ms in LONG_MS)
"""How long an actor is left alone, the longer the more often in a row it failed: no other worker can do better."""


class Left:
    """Remembers in this process: what a worker could not read, a script could not either, so nothing is written."""

    def __init__(self) -> None:
        """Leave none alone."""
        self._until: dict[str, tuple[float, int]] = {}

    def __contains__(self, address: str) -> bool:
        """Tell whether an actor is to be left alone now. The audit brings what waits of it again."""
        until = self._until.get(address)
        return until is not None and asyncio.get_running_loop().time() < until[0]

    def add(self, address: str, error: Exception, *, quietly: bool = False) -> None:
        """Leave an actor alone, and say so in one line. ``quietly``: what became of it was said already."""
        if address in self:
            return  # a turn and a step of it failed at once
        if len(self._until) > REMEMBERED_MAX:
            self._until.clear()
        _, times = self._until.get(address, (0.0, 0))
        delay_s = DELAYS_S[min(times, len(DELAYS_S) - 1)]
        self._until[address] = (asyncio.get_running_loop().time() + delay_s, times + 1)
        if quietly:
            return
        log.error(
            "a workflow cannot be taken forward; it is tried again, and headrace doctor says more",
            workflow_id=keys.id_of(address),
            error=f"{type(error).__name__}: {error}".partition("\n")[0],
            again_in_s=delay_s,
        )

    def forget(self, address: str) -> None:
        """An actor was taken forward: if nothing of it has failed lately, its next failure is its first."""
        until_s, _ = self._until.get(address, (0.0, 0))
        if asyncio.get_running_loop().time() > until_s + DELAYS_S[-1]:
            self._until.pop(address, None)
