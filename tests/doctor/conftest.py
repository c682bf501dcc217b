"""Fixtures of the tests of the doctor and of dead letters: managers of one empty server in memory, a loop for tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from uuid import uuid4

import pytest

from actors import WorkflowManager
from kernel.memory import drop_memory_server
from tests.api.watching import Managers

TEST_S_MAX = 20.0
"""No test may take longer: whatever it waits for will not come."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines on the loop of the fixture ``runner``."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        async with asyncio.timeout(TEST_S_MAX):
            await pyfuncitem.obj(**arguments)

    runner = pyfuncitem.funcargs["runner"]
    assert isinstance(runner, asyncio.Runner)
    runner.run(bounded())
    return True


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def url() -> Iterator[str]:
    """Name a server in memory that holds nothing yet."""
    memory = f"memory://{uuid4().hex}"
    yield memory
    drop_memory_server(memory)


@pytest.fixture
def managers(runner: asyncio.Runner, url: str) -> Iterator[Managers]:
    """Make managers of one server and namespace: other processes, or other versions of the code."""
    made: list[WorkflowManager] = []

    def make(where: str = "", **options: object) -> WorkflowManager:
        settings: dict[str, object] = {"worker_timeout": 0.5, **options}
        manager = WorkflowManager(where or url, **settings)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        made.append(manager)
        return manager

    yield make
    for manager in made:
        runner.run(manager.close())


@pytest.fixture
def manager(managers: Managers) -> WorkflowManager:
    return managers()
