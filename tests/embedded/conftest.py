"""Other processes that use a folder's server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROGRAM = """
import sys
from kernel.embedded import EmbeddedServer
with EmbeddedServer.open(sys.argv[1]) as server:
    print(server.pid, server.url, flush=True)
    sys.stdin.read()
"""


class User:
    """A process that uses a folder's server until it is told to leave or killed."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def entered(self) -> tuple[int, str]:
        """Wait until it has entered; return the server's process id and URL as it sees them."""
        assert self.process.stdout is not None
        pid, url = self.process.stdout.readline().split()
        return int(pid), url

    def leave(self) -> None:
        """Let it end in order."""
        self.process.communicate()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_user() -> Iterator[Callable[[Path], User]]:
    users: list[User] = []

    def start(folder: Path) -> User:
        users.append(User(folder))
        return users[-1]

    yield start
    for user in users:
        user.kill()


@pytest.fixture
def fake_server_program(tmp_path: Path) -> Callable[[str], Path]:
    """Make a program that states a version, and ends at once when it is run as a server."""

    def make(version: str) -> Path:
        program = tmp_path / f"redis-server-{version}"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "Redis server v={version} sha=0:0" && exit 0\nexit 1\n',
            encoding="utf-8",
        )
        program.chmod(0o700)
        return program

    return make


@pytest.fixture
def lives() -> Callable[[int], bool]:
    """Tell whether a process runs; one that has ended and waits to be collected does not."""

    def answer(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"

    return answer
