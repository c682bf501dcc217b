"""One real server process on a loopback port of its own, in a folder of its own: started, killed, paused, limited."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.topology import keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOST: Final = "127.0.0.1"
START_S_MAX: Final = 20.0
REPLY_S_MAX: Final = 1.0
"""How long a node may take to answer the tests; one that is paused does not."""
STARTS_MAX: Final = 5
"""Another process may take a port between its choice and the server's start; then another is chosen."""
BUS_OFFSET: Final = 10_000
PORTS: Final = range(12_000, 22_000)
"""Below the ports that systems hand out by themselves, and so are those of the Cluster's bus above them."""
CONFIGURATION: Final = "server.conf"
_PROBE_S: Final = 0.02

T = TypeVar("T")


class NotInTime(AssertionError):
    """What was waited for did not come true."""


def wait_until(condition: Callable[[], T], what: str, *, seconds_max: float = START_S_MAX) -> T:
    """Return what ``condition`` returns as soon as it is true; an error of Redis or the network counts as false.

    Raises:
        NotInTime: it was not within ``seconds_max``; ``what`` is part of the message.
    """
    deadline = time.monotonic() + seconds_max
    while True:
        last: object = None
        try:
            if found := condition():
                return found
        except (RedisError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds_max:g} s: {what}" + (f" ({last})" if last else ""))
        time.sleep(_PROBE_S)


def free_port() -> int:
    """Return a port that is free now, and whose bus port (10,000 above) is."""
    for _ in range(1000):
        port = random.choice(PORTS)
        if all(_is_free(candidate) for candidate in (port, port + BUS_OFFSET)):
            return port
    raise NotInTime(f"no free port among {PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class Keeper:
    """The process that ends servers when this one ends. One serves any number of nodes; thread-safe."""

    def __init__(self) -> None:
        """Start it."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Not of this terminal's group: Ctrl-C is for the tests.
            start_new_session=True,
        )

    def say(self, word: str) -> None:
        """Tell it ``+<pid>`` or ``-<pid>``; returns when it has heard."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
            assert self._process.stdout.readline() == b"ok\n", "the keeper of the test's servers has died"

    def close(self) -> None:
        """End it; what it still keeps dies."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()


class Node:
    """One server. The port stays the same over restarts, so does what it wrote into its folder.

    Methods block; call them from a thread where a loop runs. All of them may be called again.
    """

    def __init__(
        self, keeper: Keeper, binary: Path, folder: Path, *, sentinel_text: str = "", **settings: str | int
    ) -> None:
        """Prepare. ``settings`` are Redis' own with _ for -; ``sentinel_text`` makes it a Sentinel with these lines."""
        self.folder: Final = folder
        self._keeper = keeper
        self._binary = binary
        self._settings: dict[str, str | int] = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            # A replica is given its data at once, not after collecting others for five seconds.
            "repl-diskless-sync-delay": 0,
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self._sentinel_text = sentinel_text
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Redis | None = None
        self.port = 0
        self.paused = False
        """Whether it was paused here."""

    def __repr__(self) -> str:
        return f"<{self.address}>"

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """``redis://host:port``, of this node alone."""
        return f"redis://{self.address}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, f"{self} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    def ask(self, *words: str | int) -> Any:  # noqa: ANN401 - as many forms as there are commands
        """Return the reply to one command, text decoded. Raises what redis-py raises."""
        if self._client is None:
            self._client = Redis(
                host=HOST,
                port=self.port,
                protocol=2,
                decode_responses=True,
                socket_timeout=REPLY_S_MAX,
                socket_connect_timeout=REPLY_S_MAX,
                retry=Retry(NoBackoff(), 0),
            )
        return cast("Any", self._client).execute_command(*words)

    def info(self, section: str) -> Mapping[str, Any]:
        """Return a section of INFO."""
        return cast("Mapping[str, Any]", self.ask("INFO", section))

    def answers(self) -> bool:
        """Whether it answers and has loaded what it holds."""
        if self.paused:
            return False
        try:
            return bool(self.ask("PING"))
        except (RedisError, OSError):
            return False

    def set(self, **settings: str | int) -> None:
        """CONFIG SET, with _ for -: ``appendfsync``, ``maxmemory``, ``min_replicas_to_write`` …; kept over restarts."""
        for name, value in settings.items():
            self.ask("CONFIG", "SET", name.replace("_", "-"), value)
        self.ask("CONFIG", "REWRITE")

    def limit_files(self, bytes_max: int | None) -> None:
        """Let no file grow beyond a size, as a full disk would (writes fail, EFBIG); None: any size. Linux only.

        A file that is larger already cannot grow at all. Ends with the process.
        """
        limit = resource.RLIM_INFINITY if bytes_max is None else bytes_max
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def start(self) -> None:
        """Start it and wait until it answers; on the port that it had, the first time on a free one.

        Raises:
            NotInTime: with the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        first = not self.port
        for _ in range(STARTS_MAX):
            self.port = free_port() if first else self.port
            self._write_settings(anew=first)
            self._spawn()
            with contextlib.suppress(NotInTime):
                wait_until(lambda: self.answers() or not self.runs, f"a start of {self}")
            if self.runs and self.answers():
                return
            self.kill()
        raise NotInTime(f"{self} did not start: {self.log_tail()}")

    def _write_settings(self, *, anew: bool) -> None:
        file = self.folder / CONFIGURATION
        if file.exists() and not anew:
            # Servers and Sentinels write into it what they became: primary or replica, of whom.
            return
        lines = [f"port {self.port}", f"bind {HOST}", f"dir {self.folder}", f"logfile {self.folder / 'server.log'}"]
        own = [f'{name} "{value}"' for name, value in self._settings.items()]
        file.write_text("\n".join([*lines, self._sentinel_text or "\n".join(own), ""]), encoding="utf-8")

    def _spawn(self) -> None:
        self._forget_client()
        mode = ["--sentinel"] if self._sentinel_text else []
        self._process = subprocess.Popen(
            [self._binary, self.folder / CONFIGURATION, *mode],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
            # Python ignores SIGXFSZ, and so shall the server: a file's limit is then an error, not its death.
            restore_signals=False,
        )
        self._keeper.say(f"+{self._process.pid}")

    def kill(self) -> None:
        """End it with SIGKILL and wait for its end."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order (it syncs its file)."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        self.paused = False
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=START_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._keeper.say(f"-{process.pid}")
        self._forget_client()

    def restart(self) -> None:
        """Kill it and start it on what it wrote."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self.paused = False

    def log_tail(self) -> str:
        """Return the end of its log."""
        try:
            lines = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return " / ".join(lines[-5:])

    def _forget_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(RedisError, OSError):
                client.close()
