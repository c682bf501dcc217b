"""The life of an instance: what ends it and how, what the host can read, and what it takes of events."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from actors.errors import StepFailed
from actors.payload import pack
from actors.workflow import Instance, Step
from actors.workflow import loop as loop_module
from kernel import ZERO, Event, event_id
from tests.workflow.host import START_MS, Host, observed, work

if TYPE_CHECKING:
    from actors.registry import Registry


def test_a_new_instance_has_asked_for_nothing(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None: ...

    instance = Instance(workflow=flow, workflow_id="w")
    assert (instance.fed, instance.commands, list(instance.open), instance.end) == (ZERO, [], [], None)
    instance.dispose()


def test_arguments_come_with_the_first_event(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step, name: str, *, count: int = 2) -> str:
        return name * count

    assert Host(flow, "ab").result == "abab"


def test_events_after_the_end_change_nothing(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> int:
        return 1 + len([step.run_action(work, "left")])

    host = Host(flow)
    host.answer("left")
    host.send("late")
    host.cancel()
    assert host.result == 2
    assert host.instance.fed == host.events[0].id


def test_an_exception_ends_it_as_failed_with_the_authors_lines(registry: Registry) -> None:
    async def helper() -> None:
        raise LookupError("no such cart")

    @registry.workflow
    async def flow(step: Step) -> None:
        await helper()

    failure = Host(flow).failure
    assert (failure.kind, failure.error_type, failure.message) == ("WorkflowFailed", "LookupError", "no such cart")
    assert "in helper" in failure.traceback
    assert "actors/workflow" not in failure.traceback


def test_a_step_that_failed_fails_the_workflow_that_does_not_catch_it(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await step.run_action(work, "a")

    host = Host(flow)
    host.fail("a", KeyError("x"))
    assert (host.failure.error_type, host.failure.message) == ("KeyError", "'x'")
    assert "await step.run_action(work" in host.failure.traceback


def test_a_result_that_does_not_fit_fails_the_workflow(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> int:
        return "text"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    assert Host(flow).failure.error_type == "InvalidReturn"


def test_arguments_that_do_not_fit_any_more_fail_the_workflow(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step, count: int) -> None: ...

    instance = Instance(workflow=flow, workflow_id="w")
    instance.feed(Event("1-1", "started", START_MS, payload=pack([["many"]])))
    assert instance.end is not None
    assert instance.end.status == "failed"


@pytest.mark.parametrize("where", ["main", "task", "callback"])
def test_system_exit_is_a_failure_of_the_workflow(registry: Registry, where: str) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        if where == "main":
            sys.exit(3)

        async def leaves() -> None:
            sys.exit(3)

        if where == "callback":
            asyncio.get_running_loop().call_soon(sys.exit, 3)
            await step.run_action(work, "a")
        await asyncio.create_task(leaves())

    assert Host(flow).failure.error_type == "SystemExit"


@pytest.mark.parametrize("where", ["main", "task"])
def test_keyboard_interrupt_discards_the_turn_and_goes_on_to_the_worker(registry: Registry, where: str) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        async def interrupted() -> None:
            await step.run_action(work, "a")
            raise KeyboardInterrupt

        await (interrupted() if where == "main" else asyncio.create_task(interrupted()))

    host = Host(flow)
    with pytest.raises(KeyboardInterrupt):
        host.answer("a")
    assert host.instance.end is None
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_what_is_left_when_the_function_returns_is_canceled(registry: Registry) -> None:
    reached: list[str] = []

    @registry.workflow
    async def flow(step: Step) -> str:
        async def aside() -> None:
            await step.run_action(work, "aside")
            reached.append("aside")

        held = asyncio.create_task(aside())
        await asyncio.sleep(0)
        left = step.run_action(work, "never awaited")
        await step.run_action(work, "main")
        return f"{held.done() or left.done()}"

    host = Host(flow)
    host.answer("main")
    assert host.result == "False"
    assert host.canceled == ["aside", "never awaited"]
    assert not host.open
    host.answer("aside")
    assert not reached


def test_an_error_ends_it_with_what_is_open_canceled(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        beside = step.run_action(work, "beside")
        await step.run_action(work, "a")
        await beside

    host = Host(flow)
    host.fail("a", ValueError("no"))
    assert host.failure.kind == "WorkflowFailed"
    assert host.canceled == ["beside"]


def test_waiting_for_what_nothing_can_bring_is_a_deadlock(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await step.run_action(work, "a")
        await asyncio.Event().wait()

    host = Host(flow)
    assert host.instance.end is None
    host.answer("a")
    assert host.failure.error_type == "Deadlocked"
    assert "nobody sets" in host.failure.message


def test_waiting_for_an_event_is_no_deadlock(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await step.await_event("go")

    host = Host(flow)
    assert host.instance.end is None
    host.instance.dispose()


def test_a_turn_without_end_fails_the_workflow(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "CALLBACKS_MAX", 1000)

    @registry.workflow
    async def flow(step: Step) -> None:
        while step.workflow_id:
            await asyncio.create_task(asyncio.sleep(0))

    host = Host(flow)
    assert host.failure.error_type == "TurnTooLong"
    assert "asyncio.sleep(0)" in host.failure.message


def test_a_request_to_cancel_raises_at_the_await_and_cleanup_runs(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "book")
        finally:
            await step.run_action(work, "undo")

    host = Host(flow)
    host.cancel()
    assert host.canceled == ["book"]
    assert host.open == ["undo"]
    host.answer("undo")
    assert host.instance.end is not None
    assert host.instance.end.status == "canceled"


def test_a_workflow_that_declines_to_be_canceled_completes(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await step.run_action(work, "a")
        return "went on"

    host = Host(flow)
    host.cancel()
    assert host.result == "went on"


def test_a_cancellation_of_its_own_making_is_a_failure(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        raise asyncio.CancelledError

    assert Host(flow).failure.error_type == "CancelledError"


def test_an_outcome_of_an_unknown_command_is_ignored(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await step.run_action(work, "a")

    host = Host(flow)
    host.answer(17)
    host.answer("a")
    host.answer(1)
    assert host.result is None


def test_a_second_outcome_and_one_for_a_future_the_author_set_are_ignored(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[Any]:
        future = step.run_action(work, "a")
        future.set_result("by hand")
        await step.run_action(work, "b")
        return [await future, await step.run_action(work, "c")]

    host = Host(flow)
    host.answer("a", "late")
    host.answer("b")
    host.answer("c", 1)
    assert host.result == ["by hand", 1]


def test_one_event_runs_to_idle_before_the_next_so_the_first_of_a_race_wins(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[str]:
        won: list[str] = []

        async def run(name: str) -> None:
            await step.run_action(work, name)
            await asyncio.sleep(0)
            won.append(name)

        tasks = [asyncio.create_task(run(name)) for name in "ab"]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return won

    host = Host(flow)
    host.answer("b")
    host.answer("a")
    assert host.result == ["b"]


def test_loop_time_is_the_events_and_never_goes_back(registry: Registry) -> None:
    times: list[float] = []

    @registry.workflow
    async def flow(step: Step) -> None:
        for name in "abc":
            times.append(asyncio.get_running_loop().time())
            await step.run_action(work, name)
        times.append(asyncio.get_running_loop().time())

    instance = Instance(workflow=flow, workflow_id="w")
    for number, at_ms in enumerate((5000, 7000, 6000, 9000)):
        outcome = Event(event_id(number + 1, 1), "outcome", at_ms, number, "ok", "", pack(None))
        instance.feed(outcome if number else Event("1-1", "started", at_ms))
    assert times == [5.0, 7.0, 7.0, 9.0]


def test_a_timer_that_fired_early_by_the_clock_is_due_all_the_same(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> bool:
        loop = asyncio.get_running_loop()
        due = loop.time() + 10
        await asyncio.sleep(10)
        return loop.time() >= due

    host = Host(flow)
    host.feed("outcome", seq=1, status="fired")
    assert host.result is True


def test_commands_say_which_event_asked_for_them(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await asyncio.gather(step.run_action(work, "a"), step.run_action(work, "b"))
        await step.run_action(work, "c")

    host = Host(flow)
    host.answer("b")
    host.answer("a")
    assert [command.at for command in host.instance.commands] == [1, 1, 3]
    host.instance.dispose()


def test_a_restarted_event_only_moves_time(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await step.run_action(work, "a")

    host = Host(flow)
    before = observed(host.instance)[1:]
    host.feed("restarted")
    assert observed(host.instance)[1:] == before
    host.answer("a")
    assert host.result is None


def test_bytes_count_what_was_fed_and_asked_for(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step, text: str) -> None:
        await step.run_action(work, "x" * 500)

    host = Host(flow, "y" * 1000)
    assert 1500 < host.instance.bytes < 1600
    host.answer(1, "z" * 2000)
    assert 3500 < host.instance.bytes < 3600


def test_errors_in_callbacks_are_logged_and_stop_nothing(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    @registry.workflow
    async def flow(step: Step) -> int:
        def fails() -> None:
            raise ValueError("in a callback")

        asyncio.get_running_loop().call_soon(fails)
        await asyncio.sleep(0)
        return 1

    assert Host(flow).result == 1
    assert "in a callback" in caplog.text


def test_a_step_failing_with_nobody_waiting_is_logged(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        def drop() -> None:
            _ = step.run_action(work, "dropped")

        drop()
        await step.run_action(work, "a")

    host = Host(flow)
    host.fail("dropped", ValueError("nobody looks"))
    assert "StepFuture exception was never retrieved" in caplog.text
    assert StepFailed.__name__ in caplog.text
    host.instance.dispose()
