"""Fixtures of the tests of replicated durability: a primary with a replica, and a loop to run tests on."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest

from tests.topology.node import HOST, wait_until
from tests.topology.place import OfNodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.topology.node import Node

TEST_S_MAX = 60.0
"""No test may take longer: whatever it waits for will not come."""


class Pair(OfNodes):
    """A primary and a replica, and nobody who would exchange them."""

    name = "pair"
    primary: Node
    replica: Node

    def _start(self) -> None:
        self.primary = self._node("a")
        self.primary.start()
        self.replica = self._node("b", replicaof=f"{HOST} {self.primary.port}")
        self.replica.start()
        self.url = self.primary.url
        wait_until(self._in_touch, "a replica in touch with its primary")

    def _in_touch(self) -> bool:
        return bool(self.replica.info("replication")["master_link_status"] == "up")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, for a limited time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        async with asyncio.timeout(TEST_S_MAX):
            await pyfuncitem.obj(**arguments)

    asyncio.run(bounded())
    return True


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair
