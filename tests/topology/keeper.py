"""The keeper: ends the servers that a test started when the test's process ends, however it ends.

Run as a program without site-packages by ``tests.topology.node``. It reads lines, ``+<pid>`` and ``-<pid>``, from its
stdin, which the test's process holds open; at its end it kills what was added and not taken away. A death signal set in
the server itself would not do: it comes when the starting *thread* ends.
"""

from __future__ import annotations

import os
import signal
import sys


def _open(pid: int) -> int:
    """Return a file that names this very process, so that no later one of the same number is meant; -1 if none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _kill(pid: int, file: int) -> None:
    try:
        if file >= 0:
            signal.pidfd_send_signal(file, signal.SIGKILL)
        elif not hasattr(os, "pidfd_open"):
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> None:
    """Keep the list until stdin ends, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kept: dict[int, int] = {}
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            kept[pid] = _open(pid)
        elif (file := kept.pop(pid, -1)) >= 0:
            os.close(file)
        sys.stdout.write("ok\n")
        sys.stdout.flush()
    for pid, file in kept.items():
        _kill(pid, file)


if __name__ == "__main__":
    main()
