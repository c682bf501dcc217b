"""The pytest plugin: ``pytest_plugins = ["actors.testing.plugin"]`` in the ``conftest.py`` at the root of the tests.

It brings the fixture ``workflow_tester``, and two options that run every test that uses it under harder conditions:
``--workflow-crash-seed 7`` (workers die) and ``--workflow-replay always`` (nothing is kept in memory). It is no entry
point, since that would import this library at every start of pytest, used or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors import WorkflowManager
    from actors.testing import WorkflowTester


class MakeTester(Protocol):
    """What the fixture ``workflow_tester`` is."""

    def __call__(self, manager: WorkflowManager, **options: Any) -> WorkflowTester:  # noqa: ANN401 - the tester's own
        """Return a tester of ``manager``; the options are those of ``WorkflowTester``."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that make all testers' conditions harder."""
    group = parser.getgroup("workflows", "tests of durable workflows")
    group.addoption(
        "--workflow-crash-seed",
        type=int,
        metavar="SEED",
        help="let the workers of every workflow_tester die at moments drawn from SEED",
    )
    group.addoption(
        "--workflow-replay",
        choices=("cached", "always"),
        help="always: let every workflow_tester replay at every turn",
    )


@pytest.fixture
def workflow_tester(request: pytest.FixtureRequest) -> Iterator[MakeTester]:
    """Return what makes testers, as in ``workflow_tester(manager).run(flow, …)``; those left open end with the test."""
    from actors.testing import WorkflowTester  # noqa: PLC0415 - pytest starts sooner without it

    defaults = {
        "crash_seed": request.config.getoption("--workflow-crash-seed", None),
        "replay": request.config.getoption("--workflow-replay", None),
    }
    made: list[WorkflowTester] = []

    def make(manager: WorkflowManager, **options: Any) -> WorkflowTester:  # noqa: ANN401 - the tester's own
        given = {name: value for name, value in defaults.items() if value is not None}
        made.append(WorkflowTester(manager, **{**given, **options}))
        return made[-1]

    yield make
    for tester in made:
        tester.close()
