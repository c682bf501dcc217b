"""A turn that blocks its worker is broken off, told of with its stack, and hurts nobody else."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from actors.determinism import install, watchdog
from actors.registry import Registry
from actors.workflow import Instance, Step, TurnTooLong
from kernel import Event
from tests.determinism import elsewhere
from tests.workflow.host import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.determinism import Watch
    from tests.workflow.host import Code

LIMIT_S = 0.1


@pytest.fixture
def watch() -> Iterator[Watch]:
    installation = install(turn_s_max=LIMIT_S)
    yield installation.watch
    installation.close()


def _feed(watch: Watch, code: Code) -> Instance:
    workflow = Registry().workflow(name="flow")(code)
    instance = Instance(workflow=workflow, workflow_id="w-1")
    watch.feed(instance, Event("1-7", "started", 1_000, payload=workflow.encode_arguments((), {})))
    return instance


def _broken_off(watch: Watch, code: Code) -> TurnTooLong:
    with capture_logs() as entries, pytest.raises(TurnTooLong) as caught:
        _feed(watch, code)
    (entry,) = [entry for entry in entries if "blocks its worker" in entry["event"]]
    assert entry["at"] in str(caught.value)
    assert entry["stack"] in str(caught.value)
    return caught.value


def _runs_python_code() -> None:
    """An exception that is still set would be raised here."""
    for _ in range(10_000):
        min(1, 2)


def test_an_endless_loop_is_broken_off_with_its_stack(watch: Watch) -> None:
    def helper() -> None:
        while True:
            pass

    async def spins(_step: Step) -> None:
        helper()

    with capture_logs() as entries, pytest.raises(TurnTooLong) as caught:
        _feed(watch, spins)
    message = str(caught.value)
    assert f"more than {LIMIT_S:g} s" in message
    assert __file__ in message
    assert "in spins\n    helper()" in message
    assert "actors/workflow" not in message
    assert "headrace resume" in message
    assert len(entries) == 1
    _runs_python_code()


def test_code_that_catches_everything_is_broken_off(watch: Watch) -> None:
    async def stubborn(_step: Step) -> None:
        count = 0
        while True:
            try:
                count = max(count, 1)
            except BaseException:  # noqa: BLE001 - what it is about
                continue

    assert "stubborn" in str(_broken_off(watch, stubborn))
    _runs_python_code()


def test_code_that_catches_it_and_goes_on_is_broken_off_all_the_same(watch: Watch) -> None:
    went_on: list[bool] = []

    async def catches(step: Step) -> str:
        try:
            elsewhere.blocks()
        except BaseException:  # noqa: BLE001 - what it is about
            went_on.append(True)
        await step.run_action(work, "after")
        return "done"

    workflow = Registry().workflow(name="flow")(catches)
    instance = Instance(workflow=workflow, workflow_id="w-1")
    with capture_logs(), pytest.raises(TurnTooLong, match="catches"):
        watch.feed(instance, Event("1-7", "started", 1_000, payload=workflow.encode_arguments((), {})))
    assert went_on
    assert not instance.open
    assert not instance._loop.tasks


def test_an_exception_that_has_not_come_yet_is_taken_back(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    aimed: list[object] = []

    def record(_thread: int, exception: object) -> None:
        aimed.append(exception)

    monkeypatch.setattr(watchdog, "set_exception", record)

    async def ends_just_then(_step: Step) -> None:
        while not aimed:
            min(1, 2)

    assert "ends_just_then" in str(_broken_off(watch, ends_just_then))
    assert aimed[0] is not None
    assert None in aimed


def test_a_loop_that_yields_to_itself_alone_is_broken_off(watch: Watch) -> None:
    async def yields(_step: Step) -> None:
        while True:  # noqa: ASYNC110 - what it is about
            await asyncio.sleep(0)

    assert "yields" in _broken_off(watch, yields).stack


def test_a_finally_that_blocks_as_well_is_broken_off(watch: Watch) -> None:
    async def blocks_twice(step: Step) -> None:
        async def other() -> None:
            try:
                await step.sleep(60)
            finally:
                while True:
                    min(1, 2)

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        while not task.done():
            min(1, 2)

    _broken_off(watch, blocks_twice)
    _runs_python_code()


def test_the_workers_loop_and_hooks_are_as_before(watch: Watch) -> None:
    async def spins(_step: Step) -> None:
        while True:
            min(1, 2)

    hooks = sys.get_asyncgen_hooks()
    _broken_off(watch, spins)
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    assert sys.get_asyncgen_hooks() == hooks


def test_nothing_of_a_turn_that_was_broken_off_runs_on(watch: Watch) -> None:
    async def spins(step: Step) -> None:
        sleeping = asyncio.create_task(step.sleep(60))
        assert not sleeping.done()
        while True:
            min(1, 2)

    workflow = Registry().workflow(name="flow")(spins)
    instance = Instance(workflow=workflow, workflow_id="w-1")
    with pytest.raises(TurnTooLong):
        watch.feed(instance, Event("1-7", "started", 1_000, payload=workflow.encode_arguments((), {})))
    assert not instance.open
    assert not instance._loop.tasks


def test_turns_that_are_short_are_left_alone_however_many(watch: Watch) -> None:
    async def short(step: Step) -> None:
        # Long enough for the watchdog to find a turn under way at every look.
        sum(range(200_000))
        await step.run_action(work, "a")

    ended = threading.Event()
    timer = threading.Timer(4 * LIMIT_S, ended.set)
    timer.start()
    while not ended.is_set():
        _feed(watch, short).dispose()
    timer.join()


def test_an_error_of_the_turn_itself_passes_through(watch: Watch) -> None:
    async def interrupted(_step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _feed(watch, interrupted)


def test_a_hundred_turns_broken_off_at_any_moment_leave_nothing_behind() -> None:
    """Turns end about when they are broken off, so the exception comes at every possible place."""
    installation = install(turn_s_max=0.004)
    watch, outcomes = installation.watch, list[bool]()

    async def works(_step: Step) -> int:
        return sum(sum(range(200)) for _ in range(1_500))

    try:
        with capture_logs():
            for _ in range(100):
                try:
                    instance = _feed(watch, works)
                except TurnTooLong:
                    outcomes.append(False)
                else:
                    assert instance.end is not None
                    assert instance.end.status == "completed"
                    outcomes.append(True)
                _runs_python_code()
    finally:
        installation.close()
    _runs_python_code()
    assert len(outcomes) == 100


def test_the_thread_ends_with_the_last_worker() -> None:
    def watching() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "headrace-watchdog"]

    before = watching()
    installation = install(turn_s_max=LIMIT_S)
    (thread,) = [thread for thread in watching() if thread not in before]
    installation.close()
    thread.join(5)
    assert not thread.is_alive()


def test_somebody_who_debugs_is_left_in_peace(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_DEBUGGING", (__file__,))
    continued = threading.Event()
    timer = threading.Timer(3 * LIMIT_S, continued.set)

    async def stands_at_a_breakpoint(_step: Step) -> str:
        while not continued.is_set():
            min(1, 2)
        return "looked at"

    timer.start()
    instance = _feed(watch, stands_at_a_breakpoint)
    timer.join()
    assert instance.end is not None
    assert instance.end.status == "completed"


def test_a_profiler_can_be_used_after_a_turn_was_broken_off(watch: Watch) -> None:
    async def endless(_step: Step) -> None:
        while True:
            pass

    _broken_off(watch, endless)
    called: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: called.append(event))
    try:
        _is_reached()
    finally:
        sys.setprofile(None)
    assert "call" in called


def _is_reached() -> None:
    """Be entered."""
