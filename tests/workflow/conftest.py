"""What the tests of the replay core share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from actors.registry import Registry
from tests.workflow.host import Host, Starter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workflow.host import Code


@pytest.fixture(autouse=True)
def disposal() -> Iterator[None]:
    """Leave no instance to the garbage collector, which would close its coroutines in the middle of anything."""
    yield
    for host in Host.made:
        if "instance" in vars(host):
            host.instance.dispose()
    Host.made.clear()


@pytest.fixture
def registry() -> Registry:
    """For the workflows of one test."""
    return Registry()


@pytest.fixture(params=["plain call", "callback of a running loop"])
def enter(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Call a turn as a worker may: from plain code, or from a callback of the worker's own loop."""
    if request.param == "plain call":
        yield lambda turn: turn()
        return
    loop = asyncio.new_event_loop()

    def from_callback(turn: Callable[[], None]) -> None:
        done = loop.create_future()

        def callback() -> None:
            try:
                turn()
            except BaseException as error:  # noqa: BLE001 - handed on to the test
                done.set_exception(error)
            else:
                done.set_result(None)
            assert asyncio.get_running_loop() is loop, "the turn left its own loop behind"

        loop.call_soon(callback)
        loop.run_until_complete(done)

    yield from_callback
    loop.close()


@pytest.fixture
def start(registry: Registry, enter: Callable[[Callable[[], None]], None]) -> Iterator[Starter]:
    """Start a function as a workflow. Afterwards, replay must show the same."""
    hosts: list[Host] = []

    def begin(code: Code) -> Host:
        host = Host(registry.workflow(name="flow")(code), enter=enter)
        hosts.append(host)
        return host

    yield begin
    for host in hosts:
        host.rebuilt().dispose()
        host.instance.dispose()
