"""Installation: the guards are there while at least one worker of the process runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from actors.determinism.audit import audit
from actors.determinism.clocks import clock_patches
from actors.determinism.randomness import random_patches
from actors.determinism.silence import log_patches
from actors.determinism.threads import thread_patches
from actors.determinism.watchdog import TURN_S_MAX, Watch, Watchdog

if TYPE_CHECKING:
    from actors.determinism.patch import Patch


class Installation:
    """One worker's share in the guards; ``close`` gives it back."""

    def __init__(self, watchdog: Watchdog) -> None:
        """Made by ``install``."""
        self._watchdog = watchdog
        self._closed = False
        self.watch: Final = Watch()
        """Feeds the instances of the thread in which it was installed."""

    def close(self) -> None:
        """Give the share back; twice does no harm. With the last one the guards go."""
        if self._closed:
            return
        self._closed = True
        self._watchdog.remove(self.watch)
        _guards.leave()


class _Guards:
    """What is installed in this process, and for how many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._patches: list[Patch] = []
        self.watchdog = Watchdog()

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._patches = [*clock_patches(), *random_patches(), *thread_patches(), *log_patches()]
            for patch in self._patches:
                patch.apply()
            audit.start()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            audit.stop()
            for patch in reversed(self._patches):
                patch.revert()
            self._patches = []


_guards: Final = _Guards()


def install(*, turn_s_max: float = TURN_S_MAX) -> Installation:
    """Install the guards, or take a share in them; to be called in the thread that will feed, in its event loop.

    ``turn_s_max``: after how many seconds a turn of this thread is broken off.
    """
    _guards.enter()
    watchdog = _guards.watchdog if turn_s_max == TURN_S_MAX else Watchdog(limit_s=turn_s_max)
    installation = Installation(watchdog)
    watchdog.add(installation.watch)
    return installation
