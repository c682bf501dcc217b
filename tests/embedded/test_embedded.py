"""The embedded server with real processes: who starts it, who ends it, what survives."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from kernel.embedded import EmbeddedServer
from kernel.embedded_guard import ask
from kernel.errors import FolderUnusable, NoServerBinary, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lives = Callable[[int], bool]
    StartUser = Callable[[Path], Any]
    Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.server

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a child that dies with its parent exists on Linux")


def settings(socket: str) -> dict[object, object]:
    with Redis(unix_socket_path=socket, decode_responses=True) as client:
        return {**client.config_get()}


def process_id(server: EmbeddedServer) -> int:
    pid = server.pid
    assert pid is not None
    return pid


def is_replaced(server: EmbeddedServer, pid: int) -> bool:
    return server.pid not in {None, pid} and ask(server.socket, b"PING") == b"+PONG"


def guard_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


@pytest.fixture
def folder(tmp_path: Path, until: Until) -> Iterator[Path]:
    yield tmp_path / ".headrace"
    until(lambda: not EmbeddedServer.running(tmp_path / ".headrace"))


def test_it_keeps_every_write_in_its_folder_and_listens_on_no_port(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        found = settings(server.socket)
        assert (found["appendonly"], found["appendfsync"], found["save"]) == ("yes", "everysec", "")
        assert (found["maxmemory-policy"], found["port"], found["dir"]) == ("noeviction", "0", str(folder))
        assert server.url == f"unix://{folder}/redis.sock"
        assert (folder.stat().st_mode & 0o777, Path(server.socket).stat().st_mode & 0o777) == (0o700, 0o700)


def test_processes_of_one_folder_share_one_server(folder: Path, start_user: StartUser) -> None:
    with EmbeddedServer.open(folder) as server:
        assert start_user(folder).entered() == (server.pid, server.url)


def test_processes_that_start_at_once_share_one_server(folder: Path, start_user: StartUser) -> None:
    users = [start_user(folder) for _ in range(5)]

    assert len({user.entered() for user in users}) == 1


def test_the_last_one_out_shuts_it_down(folder: Path, start_user: StartUser, until: Until, lives: Lives) -> None:
    server = EmbeddedServer.open(folder)
    other = start_user(folder)
    pid, _ = other.entered()
    socket = server.socket

    server.close()
    assert ask(socket, b"PING") == b"+PONG"
    other.leave()

    until(lambda: not lives(pid))
    until(lambda: not EmbeddedServer.running(folder))
    assert not Path(socket).exists()


def test_the_state_is_there_again_after_all_have_left(folder: Path, until: Until) -> None:
    with EmbeddedServer.open(folder) as server:
        assert ask(server.socket, b"SET kept 1") == b"+OK"
    until(lambda: not EmbeddedServer.running(folder))

    with EmbeddedServer.open(folder) as server:
        assert ask(server.socket, b"GET kept") == b"1"


def test_killing_all_users_leaves_no_server(folder: Path, start_user: StartUser, until: Until, lives: Lives) -> None:
    users = [start_user(folder) for _ in range(2)]
    (pid, _), _ = [user.entered() for user in users]

    for user in users:
        user.kill()

    until(lambda: not lives(pid))


@linux_only
def test_killing_the_users_and_the_guard_at_once_leaves_no_server(
    folder: Path, start_user: StartUser, until: Until, lives: Lives
) -> None:
    user = start_user(folder)
    pid, _ = user.entered()

    os.kill(guard_of(pid), signal.SIGKILL)
    user.kill()

    until(lambda: not lives(pid))


@linux_only
def test_a_killed_guard_is_replaced_and_the_url_and_state_stay(folder: Path, until: Until, lives: Lives) -> None:
    with EmbeddedServer.open(folder) as server:
        url = server.url
        assert ask(server.socket, b"SET kept 1") == b"+OK"

        for _ in range(3):
            pid = process_id(server)
            os.kill(guard_of(pid), signal.SIGKILL)
            until(partial(is_replaced, server, pid))
            assert not lives(pid)
            assert ask(server.socket, b"GET kept") == b"1"

        assert server.url == url


def test_a_crashed_server_is_started_again_with_its_state(folder: Path, lives: Lives) -> None:
    with EmbeddedServer.open(folder) as server:
        pid, url = process_id(server), server.url
        assert ask(server.socket, b"SET kept 1") == b"+OK"

        server.restart()

        assert not lives(pid)
        assert server.url == url
        assert ask(server.socket, b"GET kept") == b"1"


def test_a_killed_server_is_back_each_time(folder: Path) -> None:
    with EmbeddedServer.open(folder) as server:
        pids = {server.pid}
        for _ in range(3):
            server.restart()
            pids.add(server.pid)

        assert len(pids) == 4


def test_leaving_and_entering_in_haste_always_gives_a_server(folder: Path) -> None:
    for number in range(10):
        with EmbeddedServer.open(folder) as server:
            assert ask(server.socket, b"INCR entered") == f":{number + 1}".encode()


def test_a_path_too_long_for_a_socket_gets_one_elsewhere(tmp_path: Path, start_user: StartUser, until: Until) -> None:
    deep = tmp_path / ("long name " * 6) / ("ü" * 40)

    with EmbeddedServer.open(deep) as server:
        socket = Path(server.socket)
        assert not socket.is_relative_to(tmp_path)
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        other = start_user(deep)
        assert other.entered() == (server.pid, server.url)
        other.leave()
        server.restart()
        assert Path(server.socket) == socket

    until(lambda: not socket.parent.exists())


def test_stale_files_of_a_crash_of_the_machine_do_no_harm(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "redis.pid").write_text(f"{os.getpid()}\n", encoding="utf-8")
    (folder / "redis.sock").write_text("", encoding="utf-8")
    (folder / "socket").write_text("/nowhere/redis.sock", encoding="utf-8")
    for name in ("users.lock", "guard.lock", "server.lock"):
        (folder / name).write_text("4711", encoding="utf-8")

    with EmbeddedServer.open(folder) as server:
        assert ask(server.socket, b"PING") == b"+PONG"


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("", encoding="utf-8")

    with pytest.raises(FolderUnusable, match=r"cannot use .*/file: File exists\. .*choose another folder"):
        EmbeddedServer.open(path)


def test_a_damaged_append_only_file_is_reported_with_the_end_of_the_log(folder: Path) -> None:
    folder.mkdir()
    (folder / "appendonly.aof").write_text("nonsense\n", encoding="utf-8")

    with pytest.raises(FolderUnusable, match=r"did not start: .*"):
        EmbeddedServer.open(folder)


def test_a_program_that_ends_at_once_is_reported(
    folder: Path, fake_server_program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_REDIS_SERVER", str(fake_server_program("7.0.15")))

    with pytest.raises(FolderUnusable, match="ended at once and left no log"):
        EmbeddedServer.open(folder)


def test_no_program_to_start_is_reported_and_nothing_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REDIS_SERVER", "/nowhere/redis-server")

    with pytest.raises(NoServerBinary, match=r"/nowhere/redis-server does not run.*Install redis-server"):
        EmbeddedServer.open(folder)

    assert not EmbeddedServer.running(folder)


def test_a_folder_written_by_redis_7_is_not_opened_by_an_older_one(
    folder: Path, fake_server_program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "appendonlydir").mkdir(parents=True)
    monkeypatch.setenv("HEADRACE_REDIS_SERVER", str(fake_server_program("6.2.14")))

    with pytest.raises(NoServerBinary, match=r"version 7\.0 or newer.*is 6\.2\.14"):
        EmbeddedServer.open(folder)


def test_a_server_that_does_not_answer_in_time_is_reported(folder: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer.open(folder))
        pid = process_id(server)
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)

        with pytest.raises(ServerUnreachable, match=r"did not answer within 0\.1 s"):
            EmbeddedServer.open(folder, start_timeout_s=0.1)


def test_closing_twice_is_closing_once(folder: Path) -> None:
    server = EmbeddedServer.open(folder)
    server.close()
    server.close()
