"""Disposal: an instance leaves memory without running a step, hanging, or leaving anything to the collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from actors.errors import StepFailed
from actors.registry import Registry
from actors.workflow import Step, unclosable
from tests.workflow.host import Host, work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ran: list[str] = []
"""What workflow code and steps' bodies left behind."""

steps = Registry()


@steps.action
async def undo() -> None:
    ran.append("the body of a step")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def begin(code: Callable[[Step], Coroutine[Any, Any, Any]]) -> Host:
    return Host(Registry().workflow(name="flow")(code))


def dispose(host: Host) -> None:
    """Dispose, drop every reference, and let the collector look for what is left."""
    asked = list(host.instance.commands)
    canceled = list(host.instance.canceled)
    host.instance.dispose()
    host.instance.dispose()
    assert host.instance.commands == asked
    assert host.instance.canceled == canceled
    assert not host.instance.open
    del host.instance
    gc.collect()


def test_neither_except_bodies_nor_steps_run_but_synchronous_finally_does() -> None:
    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "a")
        except Exception:
            ran.append("except Exception")
            raise
        except asyncio.CancelledError:
            ran.append("except CancelledError")
            raise
        finally:
            ran.append("finally")

    dispose(begin(flow))
    assert ran == ["finally"]


def test_a_step_in_finally_neither_runs_nor_is_recorded() -> None:
    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "a")
        finally:
            await undo()
            ran.append("after undo")

    dispose(begin(flow))
    assert ran == []


def test_nested_coroutines_whose_finally_awaits_close_from_the_inside_out() -> None:
    async def inner(step: Step, depth: int) -> None:
        try:
            await (inner(step, depth - 1) if depth else step.run_action(work, "a"))
        except RuntimeError:
            ran.append("except")
        finally:
            ran.append(f"{depth}")
            await undo()
            await asyncio.sleep(5)
            ran.append("too far")

    async def flow(step: Step) -> None:
        await inner(step, 3)

    dispose(begin(flow))
    assert ran == ["0", "1", "2", "3"]
    assert not unclosable


@pytest.mark.parametrize("many", [1, 3])
def test_a_loop_that_swallows_everything_does_not_hang_and_is_kept_for_good(many: int) -> None:
    async def flow(step: Step) -> None:
        async def stubborn() -> None:
            while True:
                with contextlib.suppress(BaseException):
                    await step.run_action(work, "a")

        await asyncio.gather(*(stubborn() for _ in range(many)))

    host = begin(flow)
    before = len(unclosable)
    dispose(host)
    assert len(unclosable) == before + many
    assert host.events


def test_tasks_timeouts_and_groups_in_finally_close_quietly() -> None:
    async def flow(step: Step) -> None:
        async def cleanup() -> None:
            ran.append("cleanup began")
            await undo()

        try:
            await step.run_action(work, "a")
        finally:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                ran.append("in finally")
                group.create_task(cleanup())
                await asyncio.wait_for(undo(), 3)

    dispose(begin(flow))
    assert ran == ["in finally"]


def test_tasks_that_have_not_begun_close_quietly() -> None:
    async def flow(step: Step) -> None:
        async def never() -> None:
            ran.append("began")

        held = [asyncio.create_task(never()) for _ in range(3)]
        assert len([*held, step.run_action(work, "left")]) == 4

    host = begin(flow)
    assert host.result is None
    dispose(host)
    assert ran == []


def test_an_abandoned_generators_finally_runs_only_at_disposal() -> None:
    async def pages(step: Step) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ran.append("finally of the generator")
            await undo()
            ran.append("too far")

    async def flow(step: Step) -> None:
        async for _ in pages(step):
            break
        gc.collect()
        ran.append("goes on")
        await step.run_action(work, "a")

    host = begin(flow)
    gc.collect()
    assert ran == ["goes on"]
    dispose(host)
    assert ran == ["goes on", "finally of the generator"]


def test_a_generator_that_yields_for_ever_is_kept_for_good() -> None:
    async def stubborn() -> AsyncIterator[int]:
        while True:
            with contextlib.suppress(BaseException):
                yield 1

    async def flow(step: Step) -> None:
        async for _ in stubborn():
            break
        await step.run_action(work, "a")

    host = begin(flow)
    before = len(unclosable)
    dispose(host)
    assert len(unclosable) == before + 1


def test_a_generator_that_outlives_its_instance_is_closed_when_it_is_dropped() -> None:
    held: list[Any] = []

    async def pages() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ran.append("finally of the generator")
            await undo()

    async def flow(step: Step) -> None:
        held.append(pages())
        await anext(held[0])
        await step.run_action(work, "a")

    dispose(begin(flow))
    assert ran == []
    held.clear()
    gc.collect()
    assert ran == ["finally of the generator"]


def test_what_a_dead_loop_is_asked_for_never_comes() -> None:
    futures: list[asyncio.Future[Any]] = []

    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "a")
        finally:
            loop = asyncio.get_running_loop()
            futures.append(step.run_action(work, "b"))
            futures.append(step.sleep(1))
            futures.append(step.await_event("e", timeout=3))
            futures.append(asyncio.ensure_future(step.run_action(work, "c")))
            loop.call_soon(ran.append, "soon")
            loop.call_later(1, ran.append, "later")
            step.set_value("k", 1)
            futures[0].cancel()

    dispose(begin(flow))
    assert [future.done() for future in futures] == [True, False, False, False]
    assert ran == []


def test_an_ended_instance_is_disposed_of_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def flow(step: Step) -> int:
        async def aside() -> None:
            try:
                await step.run_action(work, "aside")
            finally:
                ran.append("finally of a task left behind")

        held = asyncio.create_task(aside())
        await step.run_action(work, "main")
        return int(held.done())

    host = begin(flow)
    host.answer("main")
    assert ran == ["finally of a task left behind"]
    assert host.result == 0
    del host
    gc.collect()
    assert not caplog.text


def test_errors_raised_while_closing_stay_inside() -> None:
    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "a")
        finally:
            raise ValueError("in finally")

    dispose(begin(flow))


def test_it_may_be_called_from_within_a_task_of_the_worker() -> None:
    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "a")
        finally:
            await asyncio.wait_for(undo(), 3)

    async def evict() -> None:
        loop = asyncio.get_running_loop()
        here = asyncio.current_task()
        dispose(begin(flow))
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is here

    asyncio.run(evict())
    assert ran == []


def test_a_failed_step_that_nobody_awaited_is_not_logged_after_disposal(caplog: pytest.LogCaptureFixture) -> None:
    async def flow(step: Step) -> None:
        held = step.run_action(work, "a")
        await step.run_action(work, "b")
        with pytest.raises(StepFailed):
            await held

    host = begin(flow)
    host.fail("a", ValueError("held"))
    dispose(host)
    assert not caplog.text


def test_of_an_instance_that_only_the_collector_finds_nobody_is_told_an_end() -> None:
    """To put an end into words takes the parser, which must not be entered where the collector may strike: in it."""

    class Told(Exception):
        def __str__(self) -> str:
            ran.append("put into words")
            return ""

    async def flow(step: Step) -> None:
        try:
            await step.run_action(work, "a")
        finally:
            ran.append("finally")
            raise Told

    host = begin(flow)
    del host.instance
    gc.collect()
    assert ran == ["finally"]


def test_a_process_that_holds_what_would_not_close_ends() -> None:
    ran_to_the_end = subprocess.run(
        [sys.executable, "-c", STUBBORN], capture_output=True, encoding="utf-8", timeout=30, check=True
    )
    assert ran_to_the_end.stdout == "kept 1\n"
    assert ran_to_the_end.stderr == ""


STUBBORN = """
from actors.registry import Registry
from actors.workflow import Instance, Step, unclosable
from kernel import Event

registry = Registry()

@registry.action
async def work() -> None: ...

@registry.workflow
async def flow(step: Step) -> None:
    while True:
        try:
            await step.run_action(work)
        except BaseException:
            pass

instance = Instance(workflow=flow, workflow_id="w")
instance.feed(Event("1-1", "started", 1))
instance.dispose()
print("kept", len(unclosable))
unclosable.clear()  # as Python does with every module at the end
"""
