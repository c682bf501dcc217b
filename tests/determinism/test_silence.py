"""What workflow code logs is logged once, by whichever logger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog
from structlog.testing import capture_logs

from actors.determinism import install
from actors.registry import Registry
from actors.workflow import Step
from tests.workflow.host import Host, work

if TYPE_CHECKING:
    import pytest

    from actors.definitions import Workflow

_standard = logging.getLogger("determinism.flow")
_structured = structlog.get_logger("determinism.flow")


def _logs() -> Workflow[[], None]:
    async def flow(step: Step) -> None:
        _standard.warning("standard before")
        _structured.warning("structured before")
        await step.run_action(work, "a")
        _standard.warning("standard after")
        _structured.warning("structured after")

    return Registry().workflow(name="flow")(flow)


def _started() -> Host:
    host = Host(_logs())
    host.answer("a")
    return host


def test_the_first_run_logs(guards: None, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as entries:
        _started()
    assert [record.getMessage() for record in caplog.records] == ["standard before", "standard after"]
    assert [entry["event"] for entry in entries] == ["structured before", "structured after"]


def test_a_replay_logs_nothing(guards: None, caplog: pytest.LogCaptureFixture) -> None:
    host = _started()
    caplog.clear()
    with capture_logs() as entries:
        host.rebuilt()
    assert (caplog.records, entries) == ([], [])


def test_without_the_guards_a_replay_logs_again(caplog: pytest.LogCaptureFixture) -> None:
    install().close()
    host = _started()
    caplog.clear()
    with capture_logs() as entries:
        host.rebuilt()
    assert len(caplog.records) == len(entries) == 2


def test_a_replay_that_has_caught_up_logs(guards: None, caplog: pytest.LogCaptureFixture) -> None:
    host = Host(_logs())
    host.instance = host.rebuilt()
    caplog.clear()
    host.answer("a")
    # Not what asyncio says of tasks that other tests left, whenever the collector finds them.
    assert [record.getMessage() for record in caplog.records if record.name == _standard.name] == ["standard after"]


def test_code_outside_workflows_logs_at_any_time(guards: None, caplog: pytest.LogCaptureFixture) -> None:
    _standard.warning("said")
    with capture_logs() as entries:
        _structured.warning("said")
    assert len(caplog.records) == len(entries) == 1
