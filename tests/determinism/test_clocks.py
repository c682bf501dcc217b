"""The clocks of the module ``time`` in workflow code, and outside it."""

# What is called must be looked up where it is called.
# ruff: noqa: PLW0108
from __future__ import annotations

import inspect
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from actors.determinism import install
from actors.errors import DeterminismViolation
from actors.workflow import Step
from tests.workflow.host import START_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.determinism.conftest import Call
    from tests.workflow.host import Code, Host

CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
STARTED_MS = START_MS + 1


@pytest.mark.parametrize("name", CLOCKS)
def test_every_clock_tells_the_recorded_time(inside: Call, name: str) -> None:
    assert inside(lambda: getattr(time, name)()) == STARTED_MS / 1000
    assert inside(lambda: getattr(time, f"{name}_ns")()) == STARTED_MS * 1_000_000


def test_clock_gettime_tells_the_recorded_time(inside: Call) -> None:
    assert inside(lambda: time.clock_gettime(time.CLOCK_REALTIME)) == pytest.approx(STARTED_MS / 1000)
    assert inside(lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC)) == STARTED_MS * 1_000_000


@pytest.mark.parametrize("name", ["gmtime", "localtime", "ctime"])
def test_the_calendar_of_now_is_that_of_the_recorded_time(inside: Call, name: str) -> None:
    assert inside(lambda: getattr(time, name)()) == getattr(time, name)(STARTED_MS / 1000)
    assert inside(lambda: getattr(time, name)(0)) == getattr(time, name)(0)


def test_texts_of_now_are_those_of_the_recorded_time(inside: Call) -> None:
    moment = time.localtime(STARTED_MS / 1000)
    assert inside(lambda: time.strftime("%c")) == time.strftime("%c", moment)
    assert inside(lambda: time.strftime("%c", time.gmtime(0))) == time.strftime("%c", time.gmtime(0))
    assert inside(time.asctime) == time.asctime(moment)


def test_time_moves_on_with_the_events(start: Callable[[Code], Host]) -> None:
    async def flow(step: Step) -> list[float]:
        before = time.monotonic()
        await step.sleep(60)
        return [before, time.monotonic()]

    host = start(flow)
    host.fire(1)
    assert host.result == [STARTED_MS / 1000, STARTED_MS / 1000 + 60]


def test_sleeping_is_refused_with_the_replacement_and_the_line(inside: Call) -> None:
    error = inside(lambda: time.sleep(0.1))
    assert isinstance(error, DeterminismViolation)
    for text in ("time.sleep()", "await step.sleep(seconds)", __file__):
        assert text in str(error)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python tells of a sleep that was bound by value from 3.13 on")
def test_sleeping_by_a_function_that_was_bound_before_the_worker_started_is_refused(inside: Call) -> None:
    error = inside(partial(inspect.unwrap(time.sleep), 0.001))
    assert isinstance(error, DeterminismViolation)
    assert "await step.sleep(seconds)" in str(error)


def test_outside_workflow_code_clocks_run_on(guards: None) -> None:
    time.sleep(0)
    assert time.time() > STARTED_MS / 1000 + 3600
    assert time.perf_counter_ns() < time.perf_counter_ns()
    assert time.localtime()[0] == time.gmtime()[0] or time.gmtime().tm_mon in {1, 12}


def test_the_last_worker_to_stop_puts_the_real_clocks_back() -> None:
    real = time.time
    first, second = install(), install()
    assert time.time is not real
    first.close()
    first.close()
    assert time.time is not real
    second.close()
    assert time.time is real


def test_what_somebody_else_has_patched_since_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real, theirs = time.time, lambda: 1.0
    guards = install()
    monkeypatch.setattr(time, "time", theirs)
    guards.close()
    assert time.time is theirs
    monkeypatch.undo()
    assert time.time() >= real() - 60  # ours, which does no harm: nothing is workflow code
    time.time = real


def test_a_clock_kept_as_a_class_attribute_is_called_without_the_instance(guards: None) -> None:
    class Stopwatch:
        clock: Any = time.monotonic

    assert Stopwatch().clock() > 0
