"""Pulse: a worker's heartbeat, from a thread beside the loop, so that a busy loop is not taken for a dead process."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from kernel.store.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from kernel.store.link import Words
    from kernel.store.space import Space

BEATS_A_TIMEOUT: Final = 5


def heartbeat(key: str, worker: str, value: int) -> Words:
    """Return the call that beats once. The whole text, not its hash: a server that restarted knows no script."""
    return ("EVAL", SCRIPTS["heartbeat"].text, 1, key, worker, str(value))


class Pulse:
    """Beats for one incarnation until it is stopped or was declared dead."""

    def __init__(self, space: Space, *, worker: str, timeout_s: float, fenced: Callable[[], None]) -> None:
        """``fenced`` is called from the thread when this incarnation was declared dead."""
        self._space = space
        self._worker = worker
        self._every_s = timeout_s / BEATS_A_TIMEOUT
        self._fenced = fenced
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to beat; the incarnation must be registered."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating, without waiting for the thread."""
        self._stop.set()

    def join(self) -> None:
        """Wait until the thread has ended, a few seconds at most."""
        self._thread.join(timeout=6.0)

    def _beat(self) -> None:
        client: Redis | None = None
        value = 0
        key = self._space.keys.workers
        while not self._stop.is_set():
            try:
                client = client or self._space.connector.blocking_client()
                value += 1
                reply: object = client.execute_command(*heartbeat(key, self._worker, value))  # type: ignore[no-untyped-call]
                if reply == b"FENCED":
                    self._fenced()
                    break
            except (RedisError, OSError):
                # The loop's own links report the loss; beating goes on when the server is back.
                with suppress(RedisError, OSError):
                    if client is not None:
                        client.close()
                client = None
            self._stop.wait(self._every_s)
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()
