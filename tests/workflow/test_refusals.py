"""What workflow code may not do, because a replay could not repeat it, and what it is told to do instead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from actors.errors import DeterminismViolation
from actors.workflow import Step
from tests.workflow.host import Host, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.registry import Registry


def _executor(step: Step) -> object:
    return asyncio.get_running_loop().run_in_executor(None, print)


async def _to_thread(step: Step) -> None:
    await asyncio.to_thread(print)


async def _connection(step: Step) -> None:
    await asyncio.open_connection("localhost", 1)


async def _subprocess(step: Step) -> None:
    await asyncio.create_subprocess_exec("true")


def _run_until_complete(step: Step) -> object:
    return asyncio.get_running_loop().run_until_complete(step.sleep(1))


def _task_factory(step: Step) -> None:
    asyncio.get_running_loop().set_task_factory(None)


async def _as_completed(step: Step) -> None:
    async def one(name: str) -> None:
        await step.run_action(work, name)

    for future in asyncio.as_completed([one("a"), one("b")]):
        await future


@pytest.mark.parametrize(
    ("violation", "texts"),
    [
        (_executor, ["loop.run_in_executor()", "@manager.action"]),
        (_to_thread, ["loop.run_in_executor()", "@manager.action"]),
        (_connection, ["loop.create_connection()", "@manager.action"]),
        (_subprocess, ["loop.subprocess_exec()", "@manager.action"]),
        (_run_until_complete, ["loop.run_until_complete()", "await the coroutine instead"]),
        (_task_factory, ["loop.set_task_factory()", "asyncio.create_task"]),
        (_as_completed, ["as_completed over coroutines", "asyncio.create_task"]),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # the second of as_completed's
def test_what_cannot_be_replayed_is_refused_with_its_replacement(
    registry: Registry, violation: Callable[[Step], Any], texts: list[str]
) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        try:
            done = violation(step)
            if done is not None:
                await done
        except DeterminismViolation as error:
            return str(error)
        return "allowed"

    host = Host(flow)
    host.fire(1) if host.instance.end is None else None
    for text in [*texts, __file__]:
        assert text in host.result


def test_asyncio_run_raises_in_workflow_code(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        async def inner() -> None: ...

        coro = inner()
        try:
            asyncio.run(coro)
        finally:
            coro.close()

    # Python's own words; or, where a worker's guards are in place, those with what to write instead.
    assert "asyncio.run() " in Host(flow).failure.message


def test_a_future_of_another_loop_raises(registry: Registry) -> None:
    other = asyncio.new_event_loop()
    foreign = other.create_future()

    @registry.workflow
    async def flow(step: Step) -> None:
        await foreign

    assert "different loop" in Host(flow).failure.message.replace("attached to a different", "different")
    other.close()
