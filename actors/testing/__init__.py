"""Tests of workflows: virtual time, fakes, crashes by seed, replay of recorded histories. Not needed in production.

::

    async with WorkflowTester(manager) as tester:
        charged = tester.fake(charge, ConnectionError("down"), "receipt-1")
        handle = await tester.start(order, "o-1")
        assert await handle.result() == "receipt-1"     # the retry's delay took no time
        assert len(charged.calls) == 2

With pytest, write ``pytest_plugins = ["actors.testing.plugin"]`` into the ``conftest.py`` at the root of the tests and
use the fixture ``workflow_tester``. (It is no entry point: that would import this library whenever pytest starts.)
"""

from __future__ import annotations

from actors.testing.fakes import Call, Fake
from actors.testing.handle import NothingHappens, TestedHandle
from actors.testing.recording import RecordedHistory, record_history
from actors.testing.replaying import replay_history
from actors.testing.tester import WorkflowTester
from actors.testing.verdicts import Verdict, judge_history

__all__ = [
    "Call",
    "Fake",
    "NothingHappens",
    "RecordedHistory",
    "TestedHandle",
    "Verdict",
    "WorkflowTester",
    "judge_history",
    "record_history",
    "replay_history",
]
