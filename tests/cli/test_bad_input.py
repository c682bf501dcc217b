from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING

import pytest

from kernel.embedded_guard import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.embedded import EmbeddedServer
    from tests.cli.processes import Run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("start shop.flows", "names nothing to import: write module:attribute"),
        ("start nothing.flows:manager checkout", "there is no module 'nothing' in "),
        ("start shop.nothing:manager checkout", "there is no module 'shop.nothing' in package 'shop'"),
        ("start shop.flows.py:manager checkout", "there is no module 'shop.flows.py' in package 'shop.flows'"),
        ("start shop/flows:manager checkout", "cannot be a module's name"),
        ("start shop.flows:manger checkout", "has no 'manger' (there is 'manager')"),
        ("start shop.flows:nothing checkout", "is a int: name a WorkflowManager or a workflow"),
        ("start shop.broken:manager checkout", "failed at shop/broken.py:3: ZeroDivisionError: division by zero"),
        ("start shop.wrong:manager checkout", "failed at shop/wrong.py:1: SyntaxError"),
        (
            "start shop.flows:manager",
            "name the workflow after it (it has: checkout, declined, drawn, ground, heap, parked, pondered,",
        ),
        ("start shop.flows:manager chekout", "no workflow is registered as 'chekout' (known: checkout"),
        ("start shop.flows:manager checkout {cart", "are not JSON"),
        ("start shop.flows:manager checkout 5", "neither a JSON object nor an array: write [5]"),
        ("start shop.flows:manager checkout [] more", "unexpected 'more'"),
        ('start shop.flows:manager checkout {"cart":"c"}', "cart"),
        ('start shop.flows:manager checkout ["c","much"]', "cents"),
        ("start shop.flows:manager checkout", "cart_id"),
        ('start shop.flows:manager checkout ["c"]', "No Redis server answers at redis://127.0.0.1:1"),
        ("worker shop.flows:checkout", "is a Workflow, not a WorkflowManager"),
        ("worker shop.flows:manager --concurrency 100000", "concurrency=100000: give a whole number from 1 to"),
        ("worker shop.flows:manager --queues a,b/c", "name at least one; letters, digits"),
        ("worker shop.flows:manager --processes 1000", "give 256 at most"),
        ("worker shop.flows:manager --wait 0", "No Redis server answers at redis://127.0.0.1:1"),
        ("list", "No Redis server answers at redis://127.0.0.1:1"),
        ("list --url http://x", "'http' is no scheme known here"),
        ("list --url memory://", "is a server inside one process"),
        ("list --url redis://host:port", "names no Redis server"),
        ("list --namespace a/b", "namespace='a/b': use 1 to 64 letters"),
        ("list --limit 20000", "give a whole number from 1 to 10,000"),
        ("show x", "No Redis server answers"),
        ("redis PING", "No Redis server answers"),
        ("redis --url memory:// PING", "there is nothing to connect to"),
        ("redis MONITOR", "MONITOR never ends"),
        ("demo --folder nowhere", "there is no folder 'nowhere'"),
        ("demo --folder shop/flows.py", "is a file, not a folder"),
        ("demo --folder empty", "no text files in"),
        ("demo --url memory://", "is a server inside one process"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_and_exit_code_1(
    run: Run, project: Path, words: str, message: str
) -> None:
    (project / "empty").mkdir()

    done = run(*words.split())

    assert message in done.error
    assert done.error.startswith(f"headrace {words.split(maxsplit=1)[0]}: ")
    assert (done.code, done.out) == (1, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("lsit", "invalid choice: 'lsit'"),
        ("show", "the following arguments are required: id"),
        ("list --status done", "invalid choice: 'done'"),
        ("list --limit 0", "'0': give a whole number, 1 or more"),
        ("start shop.flows:manager parked --timeout 5", "add --wait, or leave --timeout out"),
        ("list --colour", "unrecognized arguments: --colour"),
        ("worker shop.flows:manager --grace soon", "'soon': give seconds, 0 or more"),
        ("demo --count many", "'many': give a whole number, 1 or more"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, words: str, message: str) -> None:
    done = run(*words.split())

    assert message in done.error
    assert "--help" in done.error
    assert (done.code, done.out) == (2, "")


@pytest.mark.server
@pytest.mark.parametrize("command", ["show", "watch", "cancel", "restart", "resume", "cleanup"])
def test_an_unknown_id_is_named(run: Run, url: str, command: str) -> None:
    run("start", "shop.flows:manager", "parked", "--id", "order-7")

    done = run(command, "order-8")

    assert "there is no workflow 'order-8' in namespace 'default'" in done.error
    assert done.code == 1


@pytest.mark.server
def test_a_server_that_evicts_is_refused(run: Run, url: str, embedded_server: EmbeddedServer) -> None:
    ask(embedded_server.socket, b"CONFIG SET maxmemory-policy allkeys-lru")
    try:
        done = run("list")
    finally:
        ask(embedded_server.socket, b"CONFIG SET maxmemory-policy noeviction")

    assert "maxmemory-policy is allkeys-lru" in done.error
    assert done.code == 1


@pytest.mark.server
def test_another_number_of_partitions_is_refused(run: Run, url: str, project: Path) -> None:
    (project / "shop" / "other.py").write_text(
        "from shop.flows import *\nmanager = WorkflowManager(partitions=3)\n"
        "manager.workflow(name='one')(parked.function)\n",
        encoding="utf-8",
    )
    run("start", "shop.flows:manager", "parked")

    done = run("start", "shop.other:manager", "one")

    assert "was made with 12 partitions, not 3" in done.error
    assert done.code == 1


class _Old(socketserver.StreamRequestHandler):
    """Answers as a server of version 5 would."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            words: list[bytes] = []
            for _ in range(int(line[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].upper())
            info = b"redis_version:5.0.7\r\n"
            replies = {b"INFO": b"$%d\r\n%s\r\n" % (len(info), info), b"CONFIG": b"*0\r\n", b"TIME": b"*0\r\n"}
            self.wfile.write(replies.get(words[0], b"+OK\r\n"))


@pytest.fixture
def old_server() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Old) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_server_that_is_too_old_is_refused(run: Run, old_server: str) -> None:
    done = run("list", "--url", old_server)

    assert "version 5.0.7; 6.2 or newer is needed" in done.error
    assert done.code == 1
