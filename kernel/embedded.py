"""A Redis server of one's own: one real server a folder, shared by every process that uses the folder.

The first user has it started, by a guard process of its own (``kernel.embedded_guard``, which has the rules); the
last one that leaves, or dies, ends it. Its data stays in the folder. It listens on a unix socket, on no port.
Nothing here speaks Redis beyond PING and INFO; that is for ``kernel.store``.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from kernel import embedded_guard
from kernel.compatibility import MINIMUM_VERSION
from kernel.embedded_guard import GUARD_FIFO, GUARD_LOCK, READY, SOCKET_POINTER, USERS_LOCK, ask, open_lock, try_lock
from kernel.errors import FolderUnusable, KernelError, ServerUnreachable
from kernel.server_binary import find_server_binary

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_FOLDER: Final = ".headrace"
GUARD_LOG: Final = "guard.log"

_START_SECONDS_MAX: Final = 60.0
"""How long a start may take; loading a large append-only file is part of it."""
_PROBE_SECONDS: Final = 0.01
_RESPAWN_SECONDS: Final = 1.0
_MULTIPART_VERSION: Final = (7, 0)
"""From here on the append-only file is a folder, which older servers do not see: they would start empty."""

_log: Final = logging.getLogger(__name__)


class EmbeddedServer:
    """One use of a folder's server. Close it, or use it as a context manager; a process may hold several.

    While it is open the server is kept running: it is started again if it dies, and so is its guard.
    """

    def __init__(self, folder: Path, *, users_file: int, start_timeout_s: float) -> None:
        """Internal: use ``open``. ``users_file`` is the folder's users.lock, open and locked (shared)."""
        self.folder: Final = folder
        """Absolute path of the folder that holds the server's files."""
        self._users_file = users_file
        self._start_timeout_s = start_timeout_s
        self._closing, self._close_signal = os.pipe()
        self._watcher: threading.Thread | None = None

    @classmethod
    def open(cls, folder: Path | str = DEFAULT_FOLDER, *, start_timeout_s: float = _START_SECONDS_MAX) -> Self:
        """Make sure that the folder's server runs and keep it running until ``close``.

        Args:
            folder: made if missing, readable by this user alone.
            start_timeout_s: how long the server may take until it answers.

        Raises:
            NoServerBinary: there is nothing to start.
            FolderUnusable: the folder cannot be written, or the server does not start on what is in it.
            ServerUnreachable: it did not answer in time.
        """
        path = Path(folder).absolute()
        try:
            users_file = _enter(path)
        except OSError as error:
            raise FolderUnusable(path, error.strerror or str(error)) from error
        server = cls(path, users_file=users_file, start_timeout_s=start_timeout_s)
        try:
            server._watch(server._ensure())
        except BaseException:
            server.close()
            raise
        return server

    @property
    def socket(self) -> str:
        """Path of the server's socket. It stays the same while anybody uses the folder."""
        return os.fsdecode((self.folder / SOCKET_POINTER).read_bytes())

    @property
    def url(self) -> str:
        """The server's URL, ``unix:///…/redis.sock``."""
        return f"unix://{quote(self.socket)}"

    @property
    def pid(self) -> int | None:
        """Process id of the server at this moment, None if it does not answer."""
        found = _info(self.socket).get("process_id")
        return int(found) if found else None

    def close(self) -> None:
        """Leave. If nobody else uses the folder the server ends soon after; it does so too if this is never called."""
        if self._users_file < 0:
            return
        os.close(self._close_signal)
        if self._watcher is not None:
            self._watcher.join()
        os.close(self._closing)
        # Closed, not unlocked: a forked child that shares the file remains a user.
        os.close(self._users_file)
        self._users_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def kill(self) -> None:
        """Kill the server with SIGKILL, as a test or drill. Its guard starts it again at once."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def restart(self, *, timeout_s: float = _START_SECONDS_MAX) -> None:
        """Kill the server and wait until its successor answers, as a test or drill.

        Raises:
            ServerUnreachable: that took longer than ``timeout_s``.
        """
        before = _info(self.socket).get("run_id")
        self.kill()
        deadline = time.monotonic() + timeout_s
        while _info(self.socket).get("run_id") in {None, before} or not _answers(self.socket):
            if time.monotonic() > deadline:
                raise ServerUnreachable(self.url, f"not back within {timeout_s:g} s; see {self.folder / GUARD_LOG}")
            time.sleep(_PROBE_SECONDS)

    @staticmethod
    def running(folder: Path | str = DEFAULT_FOLDER) -> bool:
        """Return whether a guard, and with it a server, is there for this folder. Starts nothing."""
        try:
            file = os.open(Path(folder) / GUARD_LOCK, os.O_RDONLY)
        except OSError:
            return False
        try:
            return not try_lock(file, shared=True)
        finally:
            os.close(file)

    def _ensure(self) -> int:
        """Return the guard's fifo, open for reading, once the server answers; start a guard if there is none."""
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            lock = open_lock(self.folder / GUARD_LOCK)
            try:
                if try_lock(lock):
                    self._spawn_guard(lock, timeout_s=max(deadline - time.monotonic(), 0))
            finally:
                os.close(lock)
            fifo = self._connect()
            if fifo is not None:
                return fifo
            if self._closed_within(_PROBE_SECONDS) or time.monotonic() > deadline:
                raise ServerUnreachable(
                    f"unix://{quote(str(self.folder))}",
                    f"the embedded server did not answer within {self._start_timeout_s:g} s; see"
                    f" {self.folder / GUARD_LOG} and {self.folder / embedded_guard.SERVER_LOG}",
                )

    def _connect(self) -> int | None:
        """Return the fifo of a live guard whose server answers, else None."""
        try:
            if not _answers(self.socket):
                return None
            fifo = os.open(self.folder / GUARD_FIFO, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None
        # Its guard may have died in between, and then nobody would ever close the fifo's other end.
        if self.running(self.folder):
            return fifo
        os.close(fifo)
        return None

    def _spawn_guard(self, lock: int, *, timeout_s: float) -> None:
        """Start a guard, which inherits the lock, and wait for its word."""
        minimum = _MULTIPART_VERSION if (self.folder / "appendonlydir").exists() else MINIMUM_VERSION
        binary = find_server_binary(minimum=minimum)
        word, ready = os.pipe()
        arguments = [str(self.folder), str(binary.path), str(lock), str(ready)]
        with (self.folder / GUARD_LOG).open("wb") as log, os.fdopen(word, "rb") as words:
            try:
                subprocess.run(
                    # Isolated and without site-packages: it starts in 20 ms and stays small.
                    [sys.executable, "-I", "-S", embedded_guard.__file__, *arguments],
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    pass_fds=(lock, ready),
                    # Not of this terminal's group: Ctrl-C is for its users.
                    start_new_session=True,
                )
            finally:
                os.close(ready)
            if not select.select([words], [], [], timeout_s)[0]:
                return
            said = words.read()
        if said != READY:
            reason = said.decode(errors="replace") or f"its guard failed (see {self.folder / GUARD_LOG})"
            raise FolderUnusable(self.folder, f"the server did not start: {reason}")

    def _watch(self, fifo: int) -> None:
        self._watcher = threading.Thread(
            target=self._keep_guarded, args=(fifo,), name="headrace-embedded-watcher", daemon=True
        )
        self._watcher.start()

    def _keep_guarded(self, fifo: int) -> None:
        """See to it that there is a guard, until closed. Blocked but for the moments in which a guard has died."""
        while self._guard_ended(fifo):
            os.close(fifo)
            fifo = -1
            while fifo < 0:
                try:
                    fifo = self._ensure()
                except KernelError:
                    _log.exception("The guard of the embedded server in %s died and cannot be replaced", self.folder)
                    if self._closed_within(_RESPAWN_SECONDS):
                        return
        os.close(fifo)

    def _closed_within(self, seconds: float) -> bool:
        """Wait; return True at once when this use is closed."""
        return bool(select.select([self._closing], [], [], seconds)[0])

    def _guard_ended(self, fifo: int) -> bool:
        """Wait; return True when the guard's end of the fifo is closed, False when this use is."""
        poll = select.poll()
        poll.register(self._closing, select.POLLHUP)
        poll.register(fifo, select.POLLHUP)
        ended = {file for file, _ in poll.poll()}
        return self._closing not in ended


def _enter(folder: Path) -> int:
    """Make the folder; return its users.lock, held shared. Waits while a guard is shutting its server down."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("# Data of an embedded Redis server\n*\n", encoding="utf-8")
    users_file = open_lock(folder / USERS_LOCK)
    try:
        while not try_lock(users_file, shared=True):
            time.sleep(_PROBE_SECONDS)
    except BaseException:
        os.close(users_file)
        raise
    return users_file


def _answers(socket: str) -> bool:
    return ask(socket, b"PING") == b"+PONG"


def _info(socket: str) -> dict[str, str]:
    """Return the section "server" of INFO, empty if nothing answers."""
    text = (ask(socket, b"INFO server") or b"").decode(errors="replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
