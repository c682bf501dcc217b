"""What the tests of the guards share: the guards, installed; a workflow run by hand; and by a whole worker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import uuid4

import pytest

from actors import WorkflowManager
from actors.determinism import install
from actors.registry import Registry
from kernel.memory import drop_memory_server
from tests.workflow.host import Code, Host

TEST_S_MAX = 20.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines on the loop of the fixture ``runner``."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    runner = cast("asyncio.Runner", pyfuncitem.funcargs["runner"])
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        async with asyncio.timeout(TEST_S_MAX):
            await pyfuncitem.obj(**arguments)

    runner.run(bounded())
    return True


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def guards() -> Iterator[None]:
    """The guards, as while a worker runs."""
    installation = install()
    yield
    installation.close()


Call = Callable[[Callable[[], Any]], Any]
"""Calls a function in workflow code and returns what it returned or raised."""


@pytest.fixture
def inside(guards: None) -> Call:
    """Call a function in workflow code, twice as after a replay, and see that the two are the same."""

    def call(function: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the function does
        seen: list[Any] = []

        async def flow(_step: object) -> None:
            try:
                seen.append(function())
            except Exception as error:  # noqa: BLE001 - the tests look at it
                seen.append(error)

        host = Host(Registry().workflow(name="flow")(flow))
        host.rebuilt().dispose()
        first, second = seen
        if not isinstance(first, Exception):
            assert first == second, "a replay gave something else"
        return first

    return call


@pytest.fixture
def start(guards: None) -> Callable[[Code], Host]:
    """Start a function as a workflow, by hand."""
    return lambda code: Host(Registry().workflow(name="flow")(code))


@pytest.fixture
def manager(runner: asyncio.Runner) -> Iterator[WorkflowManager]:
    """A manager on an empty server in memory."""
    url = f"memory://{uuid4().hex}"
    manager = WorkflowManager(url, worker_timeout=0.5)
    yield manager
    runner.run(manager.close())
    drop_memory_server(url)
