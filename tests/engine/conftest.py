"""Fixtures of the engine's tests: a loop to run them on, and servers that hold nothing yet."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from kernel.memory import drop_memory_server

if TYPE_CHECKING:
    from collections.abc import Iterator


pytest.register_assert_rewrite("tests.engine.journey")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines on the loop of the fixture ``runner``."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    runner = pyfuncitem.funcargs["runner"]
    assert isinstance(runner, asyncio.Runner)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    runner.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def memory_url() -> Iterator[str]:
    """Name a server in this process that holds nothing yet."""
    url = f"memory://{uuid4().hex}"
    yield url
    drop_memory_server(url)
