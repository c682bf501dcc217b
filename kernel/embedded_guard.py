"""The guard: the process that runs an embedded server for as long as anybody uses it, and not a moment longer.

Run as a program by ``kernel.embedded``, by its path and without site-packages, so that it is small and starts at
once: nothing but the standard library may be imported here. What follows holds for one folder.

======================  ==============================================================================================
file                    what it is
======================  ==============================================================================================
``users.lock``          every user holds a shared lock. The guard waits for an exclusive one, which it gets when the
                        last user has gone, however that happened; it then shuts the server down. While it does, new
                        users wait for their shared lock, and find no guard afterwards.
``guard.lock``          held by the guard. Who gets it starts a guard and hands the lock over, open.
``server.lock``         held by the server's process (an inherited file), so that there is never a second server on
                        the same files, whatever died in between.
``guard.fifo``          the guard holds its writing end. A user that reads "end of file" knows that the guard is gone.
``socket``              the path of the server's socket.
======================  ==============================================================================================

Locks are the kernel's (flock): they end with their process, so nothing stale is ever found and no process id is
trusted. A server whose guard dies is killed with it (Linux), or shut down by the next guard; a server that dies is
started again.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import signal
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

USERS_LOCK: Final = "users.lock"
GUARD_LOCK: Final = "guard.lock"
SERVER_LOCK: Final = "server.lock"
GUARD_FIFO: Final = "guard.fifo"
SOCKET_POINTER: Final = "socket"
SERVER_LOG: Final = "redis.log"
READY: Final = b"ready"

_SOCKET_BYTES_MAX: Final = 103
"""Longest socket path: 107 bytes on Linux, 103 on macOS."""
_LOG_BYTES_MAX: Final = 2**20
_LOG_TAIL_LINES: Final = 3
_BACKOFF_SECONDS_MIN: Final = 0.05
_BACKOFF_SECONDS_MAX: Final = 2.0
_STABLE_SECONDS: Final = 10.0
"""A server that lived this long starts again at once."""
_STOP_SECONDS_MAX: Final = 20.0
_PROBE_SECONDS: Final = 0.01
_FILES_MAX: Final = 64
"""More than the guard ever has open."""
_PR_SET_PDEATHSIG: Final = 1


class _StartFailed(Exception):
    """The server ended before it answered."""


class _Server(NamedTuple):
    pid: int
    started: float


def ask(path: str, command: bytes, *, timeout_s: float = 2.0) -> bytes | None:
    """Send one inline command to the server at socket ``path``; return its reply's text, None if nothing answers."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as replies:
            connection.settimeout(timeout_s)
            connection.connect(path)
            connection.sendall(command + b"\r\n")
            line = replies.readline().rstrip()
            return replies.read(int(line[1:])) if line.startswith(b"$") else line
    except OSError:
        return None


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file if nobody holds it against us; return whether it is ours."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_lock(path: Path) -> int:
    """Open a lock file, made if missing; it is not inherited by programs that this process starts."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _socket_path(folder: Path) -> str:
    """Return where the server of ``folder`` listens: inside, or in a private temporary folder if that is too long."""
    inside = str(folder / "redis.sock")
    if len(os.fsencode(inside)) <= _SOCKET_BYTES_MAX:
        return inside
    prefix = f"headrace-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}-"
    # A guard before this one may have died: its users know the path that it chose.
    try:
        before = Path(os.fsdecode((folder / SOCKET_POINTER).read_bytes()))
        if before.parent.name.startswith(prefix) and _is_private(before.parent):
            return str(before)
    except OSError:
        pass
    return str(Path(tempfile.mkdtemp(prefix=prefix)) / "redis.sock")


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


class Guard:
    """Runs the server of one folder. Single-threaded: it forks, and waits for whichever child ends."""

    def __init__(self, *, folder: Path, binary: str) -> None:
        self._folder = folder
        self._binary = binary
        self._socket = _socket_path(folder)
        self._users = open_lock(folder / USERS_LOCK)
        self._server_lock = open_lock(folder / SERVER_LOCK)
        self._backoff_seconds = 0.0

    def start(self) -> _Server:
        """Start the server and wait until it answers; its append-only file may take a while to load.

        Raises:
            _StartFailed: it ended first; the message is the end of its log.
        """
        pointer = self._folder / f"{SOCKET_POINTER}.new"
        pointer.write_bytes(os.fsencode(self._socket))
        pointer.replace(self._folder / SOCKET_POINTER)
        self._end_leftover()
        log = self._folder / SERVER_LOG
        if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.old"))
        server = self._spawn()
        while ask(self._socket, b"PING") != b"+PONG":
            if os.waitpid(server.pid, os.WNOHANG)[0]:
                raise _StartFailed(self._log_tail())
            time.sleep(_PROBE_SECONDS)
        return server

    def watch(self, server: _Server) -> None:
        """Keep a server running until no user is left, then shut it down."""
        waiter = self._spawn_waiter()
        while True:
            pid, status = os.wait()
            if pid == server.pid:
                self._back_off(server)
                server = self._spawn()
            elif pid == waiter:
                if status == 0:
                    break
                waiter = self._spawn_waiter()
        self._stop(server)

    def _end_leftover(self) -> None:
        """Wait until no server of an earlier guard is left; ask one that still answers to go."""
        if not try_lock(self._server_lock):
            ask(self._socket, b"SHUTDOWN")
            fcntl.flock(self._server_lock, fcntl.LOCK_EX)

    def _spawn(self) -> _Server:
        arguments = [self._binary, *self._settings()]
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _die_with(parent)
            # The lock that says "a server runs here" goes along, and ends with the server.
            os.set_inheritable(self._server_lock, True)  # noqa: FBT003 - takes no keyword
            try:
                os.execv(self._binary, arguments)  # noqa: S606 - no shell is meant
            finally:
                os._exit(127)
        return _Server(pid, time.monotonic())

    def _settings(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": self._socket,
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            # No snapshots: the append-only file is the one truth.
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "pidfile": str(self._folder / "redis.pid"),
            "logfile": str(self._folder / SERVER_LOG),
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _spawn_waiter(self) -> int:
        """Fork a child that ends when the last user is gone. Its lock is ours: both share the open file."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _die_with(parent)
                # Nothing else of the guard's may outlive it here, its lock least of all.
                os.closerange(3, self._users)
                os.closerange(self._users + 1, _FILES_MAX)
                fcntl.flock(self._users, fcntl.LOCK_EX)
                code = 0
            finally:
                os._exit(code)
        return pid

    def _back_off(self, server: _Server) -> None:
        if time.monotonic() - server.started > _STABLE_SECONDS:
            self._backoff_seconds = 0.0
        time.sleep(self._backoff_seconds)
        self._backoff_seconds = min(max(2 * self._backoff_seconds, _BACKOFF_SECONDS_MIN), _BACKOFF_SECONDS_MAX)

    def _stop(self, server: _Server) -> None:
        """End the server in order (it syncs its file), by force if it does not; leave no socket behind."""
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS_MAX
        while not os.waitpid(server.pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(server.pid, signal.SIGKILL)
                deadline += _STOP_SECONDS_MAX
            time.sleep(_PROBE_SECONDS)
        self.tidy()

    def tidy(self) -> None:
        """Remove what says that a server runs."""
        for path in (Path(self._socket), self._folder / SOCKET_POINTER, self._folder / "redis.pid"):
            path.unlink(missing_ok=True)
        if Path(self._socket).parent != self._folder:
            Path(self._socket).parent.rmdir()

    def _log_tail(self) -> str:
        try:
            lines = (self._folder / SERVER_LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return " / ".join(lines[-_LOG_TAIL_LINES:]) or "the server ended at once and left no log"


def _die_with(parent: int) -> None:
    """Have the system kill this child when its parent dies. Killing is safe: what was answered is in the file."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _detach() -> None:
    """Go on in a child that nobody has to wait for."""
    if os.fork():
        os._exit(0)


def main(arguments: list[str]) -> NoReturn:
    """Run the guard; tell whoever started it by the pipe ``ready_file`` how the start went.

    Args:
        arguments: folder, path of the server program, and two inherited files by number: the locked guard.lock, and
            the pipe's writing end. The lock is held, not used.
    """
    folder, binary, guard_lock, ready_file = Path(arguments[0]), arguments[1], int(arguments[2]), int(arguments[3])
    _detach()
    os.umask(0o077)
    os.set_inheritable(guard_lock, False)  # noqa: FBT003 - takes no keyword
    os.set_inheritable(ready_file, False)  # noqa: FBT003 - takes no keyword
    fifo = folder / GUARD_FIFO
    if not fifo.exists():
        os.mkfifo(fifo, 0o600)
    os.open(fifo, os.O_RDWR)
    guard = Guard(folder=folder, binary=binary)
    try:
        server = guard.start()
    except _StartFailed as error:
        guard.tidy()
        with contextlib.suppress(BrokenPipeError):
            os.write(ready_file, str(error).encode())
        sys.exit(1)
    with contextlib.suppress(BrokenPipeError):  # whoever asked may have lost patience; others may be waiting
        os.write(ready_file, READY)
    os.close(ready_file)
    guard.watch(server)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
