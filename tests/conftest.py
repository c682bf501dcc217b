"""What all tests share: a real server for those that are marked ``server``, and a way to wait for a condition."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from kernel.embedded import EmbeddedServer
from kernel.embedded_guard import ask
from kernel.errors import NoServerBinary
from kernel.server_binary import find_server_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Until = Callable[[Callable[[], object]], None]

pytest_plugins = ["actors.testing.plugin"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a server where there is none to start."""
    marked = [item for item in items if item.get_closest_marker("server")]
    if not marked:
        return
    try:
        find_server_binary()
    except NoServerBinary as error:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory, until: Until) -> Iterator[EmbeddedServer]:
    """One real server for the whole run, gone at its end. Tests that use it are marked ``server``."""
    folder = tmp_path_factory.mktemp("redis")
    with EmbeddedServer.open(folder) as server:
        yield server
    until(lambda: not EmbeddedServer.running(folder))


@pytest.fixture
def server_url(embedded_server: EmbeddedServer) -> str:
    """URL of a real server that holds nothing yet."""
    assert ask(embedded_server.socket, b"FLUSHALL") == b"+OK"
    assert ask(embedded_server.socket, b"SCRIPT FLUSH") == b"+OK"
    return embedded_server.url


@pytest.fixture(scope="session")
def until() -> Until:
    """Wait for another process: ``until(condition)`` returns when it holds and fails the test after 20 s."""

    def wait(condition: Callable[[], object], *, seconds_max: float = 20.0) -> None:
        deadline = time.monotonic() + seconds_max
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not true within {seconds_max:g} s: {condition}")
            time.sleep(0.01)

    return wait
