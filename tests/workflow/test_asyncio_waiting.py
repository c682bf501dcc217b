"""asyncio in workflow code means what it means in Python: waiting for several things, and for some time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from actors.errors import StepFailed
from actors.workflow import Step
from tests.workflow.host import work

if TYPE_CHECKING:
    from tests.workflow.host import Starter


def test_create_task_runs_beside_the_workflow(start: Starter) -> None:
    async def flow(step: Step) -> list[int]:
        async def aside() -> int:
            return int(await step.run_action(work, "aside")) + 1

        task = asyncio.create_task(aside())
        first = await step.run_action(work, "main")
        return [first, await task]

    host = start(flow)
    assert host.asked == ["main", "aside"]
    host.answer("aside", 1)
    host.answer("main", 5)
    assert host.result == [5, 2]


def test_gather_keeps_the_order_of_its_arguments(start: Starter) -> None:
    async def flow(step: Step) -> list[int]:
        return list(await asyncio.gather(step.run_action(work, "a"), step.run_action(work, "b")))

    host = start(flow)
    host.answer("b", 2)
    host.answer("a", 1)
    assert host.result == [1, 2]


def test_gather_raises_the_first_exception_and_leaves_the_rest(start: Starter) -> None:
    async def flow(step: Step) -> str:
        b = step.run_action(work, "b")
        try:
            await asyncio.gather(step.run_action(work, "a"), b)
        except StepFailed as error:
            return f"{error.message} {await b}"
        return "nothing raised"

    host = start(flow)
    host.fail("a", ValueError("no"))
    assert host.open == ["b"]
    host.answer("b", "yes")
    assert host.result == "no yes"


def test_gather_returns_exceptions_when_asked_to(start: Starter) -> None:
    async def flow(step: Step) -> list[str]:
        both = await asyncio.gather(step.run_action(work, "a"), step.run_action(work, "b"), return_exceptions=True)
        return [type(one).__name__ for one in both]

    host = start(flow)
    host.fail("b", ValueError("no"))
    host.answer("a", 1)
    assert host.result == ["int", "StepFailed"]


def test_gather_of_fifty_coroutines_asks_in_their_order(start: Starter) -> None:
    async def flow(step: Step) -> int:
        async def one(number: int) -> int:
            return await step.run_action(work, f"{number}")

        return sum(await asyncio.gather(*(one(number) for number in range(50))))

    host = start(flow)
    assert host.asked == [f"{number}" for number in range(50)]
    for seq in range(50, 0, -1):
        host.answer(seq, 2)
    assert host.result == 100


def test_wait_returns_at_the_first_completion(start: Starter) -> None:
    async def flow(step: Step) -> list[Any]:
        steps = [step.run_action(work, name) for name in "abc"]
        done, pending = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
        return [[one.result() for one in done], len(pending)]

    host = start(flow)
    host.answer("b", "B")
    assert host.result == [["B"], 2]
    assert host.canceled == ["a", "c"]


def test_wait_returns_at_the_first_exception(start: Starter) -> None:
    async def flow(step: Step) -> list[int]:
        steps = [step.run_action(work, name) for name in "abc"]
        done, pending = await asyncio.wait(steps, return_when=asyncio.FIRST_EXCEPTION)
        return [sum(one.exception() is not None for one in done), len(done), len(pending)]

    host = start(flow)
    host.answer("b")
    host.fail("c", ValueError("no"))
    assert host.result == [1, 2, 1]


def test_wait_returns_when_all_are_complete(start: Starter) -> None:
    async def flow(step: Step) -> int:
        done, pending = await asyncio.wait([step.run_action(work, name) for name in "ab"])
        assert not pending
        return sum(one.result() for one in done)

    host = start(flow)
    host.answer("b", 1)
    host.answer("a", 2)
    assert host.result == 3


def test_wait_with_a_timeout_leaves_what_is_pending(start: Starter) -> None:
    async def flow(step: Step) -> object:
        slow = step.run_action(work, "slow")
        _, pending = await asyncio.wait([slow], timeout=2)
        return [len(pending), await slow]

    host = start(flow)
    assert host.asked == ["slow", "2000 ms"]
    host.fire("2000 ms")
    assert host.open == ["slow"]
    host.answer("slow", 7)
    assert host.result == [1, 7]


def test_as_completed_yields_step_futures_as_they_come(start: Starter) -> None:
    async def flow(step: Step) -> list[Any]:
        return [await one for one in asyncio.as_completed([step.run_action(work, name) for name in "abc"])]

    host = start(flow)
    for name in "cab":
        host.answer(name, name)
    assert host.result == ["c", "a", "b"]


def test_as_completed_yields_tasks_as_they_come(start: Starter) -> None:
    async def flow(step: Step) -> list[Any]:
        async def one(name: str) -> str:
            return str(await step.run_action(work, name)) * 2

        tasks = [asyncio.create_task(one(name)) for name in "abc"]
        return [await task for task in asyncio.as_completed(tasks, timeout=60)]

    host = start(flow)
    for name in "cab":
        host.answer(name, name)
    assert host.result == ["cc", "aa", "bb"]
    assert host.canceled == ["60000 ms"]


def test_a_task_group_waits_for_all_its_tasks(start: Starter) -> None:
    async def flow(step: Step) -> int:
        async def one(name: str) -> int:
            return await step.run_action(work, name)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(name)) for name in "ab"]
        return sum(task.result() for task in tasks)

    host = start(flow)
    host.answer("b", 1)
    host.answer("a", 2)
    assert host.result == 3


def test_a_task_group_cancels_the_others_when_one_fails(start: Starter) -> None:
    async def flow(step: Step) -> str:
        async def one(name: str) -> None:
            await step.run_action(work, name)

        try:
            async with asyncio.TaskGroup() as group:
                for name in "abcd":
                    group.create_task(one(name))
        except BaseExceptionGroup as errors:
            return str(errors.exceptions[0])
        return "nothing raised"

    host = start(flow)
    host.fail("c", ValueError("no"))
    assert host.canceled == ["a", "b", "d"]
    assert host.result == "ValueError: no"


def test_a_task_group_takes_step_futures(start: Starter) -> None:
    async def flow(step: Step) -> int:
        async with asyncio.TaskGroup() as group:
            a = group.create_task(step.run_action(work, "a"))
            b = group.create_task(step.run_action(work, "b"))
        return int(a.result()) - int(b.result())

    host = start(flow)
    host.answer("a", 5)
    host.answer("b", 3)
    assert host.result == 2


def test_timeout_cancels_what_takes_too_long(start: Starter) -> None:
    async def flow(step: Step) -> str:
        try:
            async with asyncio.timeout(1.5):
                await step.run_action(work, "slow")
        except TimeoutError:
            return "late"
        return "in time"

    host = start(flow)
    assert host.asked == ["1500 ms", "slow"]
    host.fire("1500 ms")
    assert host.result == "late"
    assert host.canceled == ["slow"]


def test_timeout_withdraws_its_timer_when_all_went_well(start: Starter) -> None:
    async def flow(step: Step) -> None:
        async with asyncio.timeout(60):
            await step.run_action(work, "quick")
        await step.run_action(work, "next")

    host = start(flow)
    host.answer("quick")
    assert host.canceled == ["60000 ms"]
    assert host.open == ["next"]


def test_timeout_at_takes_the_loops_time(start: Starter) -> None:
    async def flow(step: Step) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + 0.25):
                await step.run_action(work, "slow")
        return loop.time() - began

    host = start(flow)
    host.fire("250 ms")
    assert host.result == pytest.approx(0.25)


def test_a_timeout_can_be_rescheduled(start: Starter) -> None:
    async def flow(step: Step) -> bool:
        async with asyncio.timeout(None) as limit:
            await step.run_action(work, "a")
            limit.reschedule(asyncio.get_running_loop().time() + 3)
            await step.run_action(work, "b")
            limit.reschedule(asyncio.get_running_loop().time() + 5)
            await step.run_action(work, "c")
        return limit.expired()

    host = start(flow)
    host.answer("a")
    host.answer("b")
    assert host.asked == ["a", "3000 ms", "b", "5000 ms", "c"]
    host.answer("c")
    assert host.canceled == ["3000 ms", "5000 ms"]
    assert host.result is False


def test_wait_for_returns_what_came_in_time(start: Starter) -> None:
    async def flow(step: Step) -> object:
        return await asyncio.wait_for(step.run_action(work, "a"), timeout=9)

    host = start(flow)
    host.answer("a", 4)
    assert host.result == 4
    assert host.canceled == ["9000 ms"]


def test_wait_for_cancels_what_came_too_late(start: Starter) -> None:
    async def flow(step: Step) -> str:
        try:
            await asyncio.wait_for(step.run_action(work, "a"), timeout=9)
        except TimeoutError:
            return "late"
        return "in time"

    host = start(flow)
    host.fire("9000 ms")
    assert host.result == "late"
    assert host.canceled == ["a"]


def test_shield_keeps_the_step(start: Starter) -> None:
    async def flow(step: Step) -> object:
        inner = step.run_action(work, "a")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), timeout=1)
        return await inner

    host = start(flow)
    host.fire("1000 ms")
    assert host.open == ["a"]
    host.answer("a", 3)
    assert host.result == 3
