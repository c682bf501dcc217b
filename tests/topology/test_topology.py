"""The starters themselves: what they start ends with them, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from tests.topology.places import NotHere, make
from tests.topology.single import Standalone

pytestmark = pytest.mark.server

Until = Callable[[Callable[[], object]], None]
ROOT = Path(__file__).parent.parent.parent

_CHILD = """
import sys, time
from tests.topology.places import make
with make("standalone") as place:
    print(place.server.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def standalone() -> Standalone:
    try:
        place = make("standalone")
    except NotHere as error:
        pytest.skip(str(error))
    assert isinstance(place, Standalone)
    return place


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Dead, but nobody has asked for its end yet: in a container there may be nobody who does.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_server_ends_when_the_process_that_started_it_is_killed(
    standalone: Standalone, until: Until, tmp_path: Path
) -> None:
    # Nobody is left to delete its folder, so it lies in this test's.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        server = int(child.stdout.readline())
        assert _lives(server)
        child.send_signal(signal.SIGKILL)
        child.wait()
    until(lambda: not _lives(server))


def test_a_server_keeps_what_it_wrote_over_a_restart_and_leaves_nothing_at_the_end(standalone: Standalone) -> None:
    with standalone as place:
        server, folder = place.server, place.server.folder
        server.set(appendfsync="always")
        server.ask("SET", "k", "v")
        server.restart()
        assert server.ask("GET", "k") == "v"
        assert server.ask("CONFIG", "GET", "appendfsync") == ["appendfsync", "always"]
        pid = server.pid
    assert not _lives(pid)
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process can be set on Linux alone")
def test_a_full_disk_refuses_writes_until_there_is_room(standalone: Standalone, until: Until) -> None:
    with standalone as place:
        server = place.server

        def refused() -> bool:
            try:
                server.ask("SET", "k", "v")
            except ResponseError as error:
                return "MISCONF" in str(error)
            return False

        # Every second, as it is by default: with `always` a server rather ends than not keep its word.
        server.limit_files(1)
        until(refused)
        server.limit_files(None)

        def taken() -> bool:
            return not refused()

        until(taken)


def test_what_is_not_here_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_VALKEY_SERVER", "/nowhere")
    with pytest.raises(NotHere, match="put valkey-server on PATH"):
        make("valkey")
