"""asyncio in workflow code means what it means in Python: locks, queues, sleeps, tasks and what belongs to them."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from actors.workflow import Step
from tests.workflow.host import START_MS, work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.workflow.host import Starter


def test_an_event_wakes_its_waiters(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        event, seen = asyncio.Event(), list[str]()

        async def waiter(name: str) -> None:
            await event.wait()
            seen.append(name)

        tasks = [asyncio.create_task(waiter(name)) for name in "ab"]
        await step.run_action(work, "a")
        event.set()
        await asyncio.gather(*tasks)
        return seen

    host = start(flow)
    host.answer("a")
    assert host.result == ["a", "b"]


def test_a_lock_lets_one_in_at_a_time(start: Starter) -> None:
    async def flow(step: Step) -> None:
        lock = asyncio.Lock()

        async def one(name: str) -> None:
            async with lock:
                await step.run_action(work, name)

        await asyncio.gather(*(one(name) for name in "abc"))

    host = start(flow)
    for name in "abc":
        assert host.open == [name]
        host.answer(name)
    assert host.result is None


def test_a_condition_wakes_as_many_as_it_says(start: Starter) -> None:
    async def flow(step: Step) -> int:
        condition, woken = asyncio.Condition(), 0

        async def waiter() -> None:
            nonlocal woken
            async with condition:
                await condition.wait()
                woken += 1

        tasks = [asyncio.create_task(waiter()) for _ in range(3)]
        await step.run_action(work, "a")
        async with condition:
            condition.notify(2)
        await step.run_action(work, "b")
        assert sum(task.done() for task in tasks) == 2
        return woken

    host = start(flow)
    host.answer("a")
    host.answer("b")
    assert host.result == 2


def test_a_semaphore_limits_what_runs_at_once(start: Starter) -> None:
    async def flow(step: Step) -> None:
        gate = asyncio.Semaphore(2)

        async def one(name: str) -> None:
            async with gate:
                await step.run_action(work, name)

        await asyncio.gather(*(one(name) for name in "abcd"))

    host = start(flow)
    assert host.open == ["a", "b"]
    host.answer("b")
    assert host.open == ["a", "c"]
    for name in "acd":
        host.answer(name)
    assert host.result is None


def test_a_queue_hands_over_in_order(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        queue, seen = asyncio.Queue[str](maxsize=1), list[str]()

        async def consumer() -> None:
            while True:
                seen.append(await queue.get())
                queue.task_done()

        task = asyncio.create_task(consumer())
        for name in "abc":
            await queue.put(await step.run_action(work, name))
        await queue.join()
        task.cancel()
        return seen

    host = start(flow)
    for name in "abc":
        host.answer(name, name.upper())
    assert host.result == ["A", "B", "C"]


def test_a_barrier_lets_all_through_together(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        barrier, seen = asyncio.Barrier(2), list[str]()

        async def one(name: str) -> None:
            await step.run_action(work, name)
            await barrier.wait()
            seen.append(name)

        await asyncio.gather(one("a"), one("b"))
        return seen

    host = start(flow)
    host.answer("b")
    assert host.instance.end is None
    host.answer("a")
    assert sorted(host.result) == ["a", "b"]


def test_sleep_is_a_timer_and_sleep_of_zero_is_none(start: Starter) -> None:
    async def flow(step: Step) -> str:
        await asyncio.sleep(0)
        slept = await asyncio.sleep(2.5, "slept")
        await step.sleep(0)
        return slept

    host = start(flow)
    assert host.asked == ["2500 ms"]
    assert host.instance.commands[0].due_ms == START_MS + 1 + 2500
    host.fire("2500 ms")
    assert host.result == "slept"


def test_a_canceled_task_cleans_up_with_a_step(start: Starter) -> None:
    async def flow(step: Step) -> str:
        async def booked() -> None:
            try:
                await step.run_action(work, "book")
            except asyncio.CancelledError as error:
                await step.run_action(work, f"undo because {error}")
                raise

        task = asyncio.create_task(booked())
        await step.run_action(work, "decide")
        task.cancel("too dear")
        try:
            await task
        except asyncio.CancelledError:
            return "undone"
        return "booked"

    host = start(flow)
    host.answer("decide")
    assert host.canceled == ["book"]
    host.answer("undo because too dear")
    assert host.result == "undone"


def test_an_orphans_exception_is_logged(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    async def flow(step: Step) -> None:
        async def orphan() -> None:
            raise ValueError("nobody hears it")

        asyncio.create_task(orphan()).set_name("dropped")
        await step.run_action(work, "a")

    host = start(flow)
    assert "workflow w-1: WorkflowTask exception was never retrieved" in caplog.text
    assert "nobody hears it" in caplog.text
    caplog.clear()
    host.rebuilt().dispose()
    assert not caplog.text


def test_async_generators_await_steps(start: Starter) -> None:
    async def flow(step: Step) -> list[int]:
        async def pages() -> AsyncIterator[int]:
            try:
                for name in "ab":
                    yield await step.run_action(work, name)
            finally:
                await step.run_action(work, "close")

        return [page async for page in pages()]

    host = start(flow)
    host.answer("a", 1)
    host.answer("b", 2)
    host.answer("close")
    assert host.result == [1, 2]


_variable: ContextVar[str] = ContextVar("variable", default="nothing")


def test_context_variables_are_the_workflows_own(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        async def inner() -> str:
            seen = _variable.get()
            _variable.set("inner")
            await step.run_action(work, "a")
            return seen

        seen = [_variable.get()]
        _variable.set("outer")
        return [*seen, await asyncio.create_task(inner()), _variable.get()]

    token = _variable.set("worker")
    host = start(flow)
    host.answer("a")
    assert _variable.get() == "worker"
    _variable.reset(token)
    assert host.result == ["nothing", "outer", "outer"]


def test_current_task_and_all_tasks_are_the_workflows_own(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        async def one() -> None:
            await step.run_action(work, "a")

        tasks = [asyncio.create_task(one(), name=f"one {number}") for number in range(2)]
        plain = asyncio.create_task(one())
        here = asyncio.current_task()
        assert here is not None
        names = [here.get_name(), *(task.get_name() for task in asyncio.all_tasks())]
        for task in [*tasks, plain]:
            task.cancel()
        return names

    host = start(flow)
    name, *names = host.result
    assert name == "flow"
    assert sorted(names) == ["Task-3", "flow", "one 0", "one 1"]


def test_all_tasks_does_not_ask_the_set_of_the_whole_process(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def flow(step: Step) -> int:
        return len(asyncio.all_tasks()) + len(asyncio.all_tasks(asyncio.get_running_loop()))

    for name in ("_all_tasks", "_scheduled_tasks"):
        monkeypatch.setattr(asyncio.tasks, name, [], raising=False)
    assert start(flow).result == 2


def test_call_later_and_call_at_are_timers_that_can_be_canceled(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        loop, seen = asyncio.get_running_loop(), list[str]()
        loop.call_later(0, seen.append, "at once")
        loop.call_later(1, seen.append, "later")
        at = loop.call_at(loop.time() + 2, seen.append, "never")
        assert at.when() == pytest.approx(loop.time() + 2)
        soon = loop.call_soon(seen.append, "never")
        soon.cancel()
        await step.run_action(work, "a")
        at.cancel()
        assert at.cancelled()
        assert soon.cancelled()
        return seen

    host = start(flow)
    assert host.asked == ["1000 ms", "2000 ms", "a"]
    host.fire("1000 ms")
    host.answer("a")
    assert host.result == ["at once", "later"]
    assert host.canceled == ["2000 ms"]
