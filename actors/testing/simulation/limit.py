"""Limit: ends a run that takes too long, in real seconds. It lives outside of the loop, whose time is virtual.

A thread waits. When the time is up it cancels the run's task; if the run does not end by that, since its code blocks
or holds a cancellation back, it raises ``OverLimit`` in the run's thread, again and again. A call into C is not
interrupted: the run ends when it returns.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

from actors.determinism.watchdog import clear_signal, set_exception

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType
    from typing import Self

GRACE_S: Final = 5.0
"""How long a run that was canceled may take to end."""
FRAMES_MAX: Final = 5


class OverLimit(KeyboardInterrupt):
    """Raised in the thread of a run that does not end. A KeyboardInterrupt, since those leave a loop at once."""


class Limit:
    """Watches what the current thread does while the block runs."""

    def __init__(self, limit_s: float) -> None:
        """``limit_s``: real seconds until the run is canceled; ``GRACE_S`` later it is broken off."""
        self._limit_s, self._grace_s = limit_s, GRACE_S
        self._thread = threading.get_ident()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self.passed = False
        """Whether the time was up before the end."""
        self.where = ""
        """What the thread did at that moment: the innermost frames, as Python prints them."""
        self._raised = False
        self._watcher = threading.Thread(target=self._watch, name="limit of a simulation", daemon=True)

    def cancels(self, task: asyncio.Task[None] | None) -> None:
        """Cancel this task first."""
        self._task = task

    def __enter__(self) -> Self:
        """Begin to count."""
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop counting: from then on nothing is raised."""
        with self._lock:
            self._over.set()
            if self._raised:
                set_exception(self._thread, None)
                clear_signal(self._thread)
        self._watcher.join()

    def _watch(self) -> None:
        if self._over.wait(self._limit_s):
            return
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - the only way to another thread's frames
        self.where = "".join(traceback.format_stack(frame)[-FRAMES_MAX:])
        self.passed = True
        if self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        while not self._over.wait(self._grace_s):
            with self._lock:
                if not self._over.is_set():
                    self._raised = True
                    set_exception(self._thread, OverLimit)
