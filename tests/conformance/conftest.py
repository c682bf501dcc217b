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
ASKED: Final = os.environ.get("HEADRACE_PLACES", "")
"""Names of places with commas between them, or ``all``; empty: a part of everything, as the test suite takes it."""
PART: Final = {"embedded": "replay", "standalone": "warm", "valkey": "replay", "sentinel": "replay", "cluster": "warm"}
"""In which way the test suite runs each place, where not in both: it has to be quick. scripts/conformance runs all."""

_CHOSEN: Final = tuple(ASKED.split(",")) if ASKED not in {"", "all"} else PLACES


_MISSING: Final[set[object]] = set()
"""Places that cannot be started here."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about one kind of place (marker ``only``) in all others, and what the test suite does not run.

    Skipped they would be many lines that say nothing.
    """
    told: set[object] = set()
    unfit = [item for item in items if isinstance(item, pytest.Function) and _is_unfit(item, told)]
    left_out = set(unfit)
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=unfit)


def _is_unfit(item: pytest.Function, told: set[object]) -> bool:
    if not hasattr(item, "callspec") or "place" not in item.callspec.params:
        return False  # pytest hands over the tests of all folders
    place, way = str(item.callspec.params["place"]), item.callspec.params.get("here")
    if place in _MISSING:
        # One test is skipped, and says why; the others would say the same.
        told_before = place in told
        told.add(place)
        return told_before
    only = item.get_closest_marker("only")
    if only is not None:
        return place not in only.args or (not ASKED and item.get_closest_marker("slow") is not None)
    return not ASKED and PART.get(place, way) != way


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
        _MISSING.add(name)
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
