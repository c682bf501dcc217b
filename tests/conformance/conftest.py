"""Fixtures of the conformance suite: every place, each with a warm cache and with a replay at every event."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator
from typing import Final

import pytest

from actors import WorkflowManager
from tests.conformance.here import Here
from tests.conformance.load import FIGURES
from tests.conformance.monitoring import SlotWatch
from tests.topology.clusters import Cluster
from tests.topology.place import Place
from tests.topology.places import PLACES, NotHere, make

TEST_S_MAX: Final = 60.0
"""No test may take longer: whatever it waits for will not come."""
ASKED: Final = os.environ.get("HEADRACE_PLACES", "all")
"""Names of places with commas between them, or ``all``."""

_CHOSEN: Final = PLACES if ASKED == "all" else tuple(ASKED.split(","))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about one kind of place (marker ``only``) in all others: it would only be skipped."""
    unfit = {item for item in items if (only := item.get_closest_marker("only")) and _place_of(item) not in only.args}
    items[:] = [item for item in items if item not in unfit]
    config.hook.pytest_deselected(items=list(unfit))


def _place_of(item: pytest.Item) -> object:
    return item.callspec.params.get("place") if isinstance(item, pytest.Function) else None


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    for figure in FIGURES:
        terminalreporter.write_line(figure)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def _param(name: str) -> object:
    marks = [pytest.mark.server] if name != "memory" else []
    try:
        make(name)
    except NotHere as error:
        marks.append(pytest.mark.skip(reason=str(error)))
    return pytest.param(name, marks=marks)


@pytest.fixture(scope="session", params=[_param(name) for name in _CHOSEN])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Start a place once for all tests that run there."""
    with make(request.param) as place:
        yield place


@pytest.fixture(scope="session")
def slots(place: Place) -> Iterator[SlotWatch | None]:
    """Watch all that scripts do in a Cluster, from its first test to its last."""
    if not isinstance(place, Cluster):
        yield None
        return
    watch = SlotWatch(place.nodes)
    yield watch
    watch.close()


@pytest.fixture(params=["warm", "replay"])
def here(request: pytest.FixtureRequest, place: Place, slots: object, runner: asyncio.Runner) -> Iterator[Here]:
    """Give managers and workers at the place, in a namespace of the test's own, which is sound at the end."""
    here = Here(place, cache_instances=10_000 if request.param == "warm" else 0)
    yield here
    runner.run(here.close())


@pytest.fixture
def manager(here: Here) -> WorkflowManager:
    return here.manager()
