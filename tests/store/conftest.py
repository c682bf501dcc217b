"""Fixtures of the store's tests: an opened, audited space, in memory and on a real server, and a loop for tests."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from kernel.memory import drop_memory_server
from kernel.store.connect import connector
from tests.store.bench import Bench
from tests.store.checked import CheckedSpace

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines on the loop of the fixture ``runner``."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    runner = pyfuncitem.funcargs["runner"]
    assert isinstance(runner, asyncio.Runner)
    runner.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(params=["memory", pytest.param("server", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name a server that holds nothing yet."""
    if request.param == "server":
        yield request.getfixturevalue("server_url")
        return
    memory = f"memory://{uuid4().hex}"
    yield memory
    drop_memory_server(memory)


@pytest.fixture
def bench(runner: asyncio.Runner, url: str) -> Iterator[Bench]:
    """Open a namespace of one partition with a clock that stands still until it is moved."""
    made: list[Bench] = []
    space = CheckedSpace(connector(url), namespace="t", partitions=1, now_ms=lambda: made[0].now)
    made.append(Bench(space))
    runner.run(made[0].open())
    yield made[0]
    runner.run(made[0].close())
