"""The guards in a whole worker: there while it runs, gone when it stops; a stuck workflow does not take it down."""

# The step in it blocks on purpose.
# ruff: noqa: ASYNC230, ASYNC251, PTH123
from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from actors import Stopped
from actors.determinism import Watch, installation, watchdog
from actors.errors import DeterminismViolation
from actors.workflow import Step
from tests.determinism import elsewhere

if TYPE_CHECKING:
    from actors import WorkflowHandle, WorkflowManager


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a turn take a third of a second."""
    monkeypatch.setattr(installation._guards, "watchdog", watchdog.Watchdog(limit_s=0.3))


async def _stopped(handle: WorkflowHandle[object]) -> Stopped:
    async for snapshot in handle.watch():
        if isinstance(snapshot.status, Stopped):
            return snapshot.status
    raise AssertionError("it ended")


async def test_the_guards_are_there_while_a_worker_runs(manager: WorkflowManager) -> None:
    real = time.time
    async with manager.worker():
        assert time.time is not real
    assert time.time is real


async def test_two_workers_of_a_process_share_them(manager: WorkflowManager) -> None:
    real = time.time
    async with manager.worker():
        async with manager.worker():
            pass
        assert time.time is not real
    assert time.time is real


async def test_a_workflow_that_replays_at_every_turn_sees_one_time_and_one_uuid(manager: WorkflowManager) -> None:
    @manager.action
    async def echo(text: str) -> str:
        return text

    @manager.workflow
    async def flow(step: Step) -> bool:
        drawn = f"{time.time()} {uuid.uuid4()}"
        return await step.run_action(echo, drawn) == drawn

    async with manager.worker(cache_instances=0):
        assert await (await manager.start(flow)).result(timeout=10)


async def test_a_step_does_as_it_likes(manager: WorkflowManager) -> None:
    @manager.action
    async def does_io() -> float:
        with open(__file__):
            time.sleep(0)
        return time.time()

    @manager.workflow
    async def flow(step: Step) -> bool:
        return await step.run_action(does_io) - time.time() < 60

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=10)


async def test_a_violation_fails_the_workflow_with_what_to_do(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        elsewhere.sleeps()

    async with manager.worker():
        with pytest.raises(Exception, match=r"await step\.sleep\(seconds\)") as caught:
            await (await manager.start(flow)).result(timeout=10)
    assert "elsewhere.py" in str(caught.value)


async def test_a_workflow_that_blocks_is_stopped_with_its_stack_and_the_worker_works_on(
    manager: WorkflowManager,
) -> None:
    @manager.action
    async def echo(text: str) -> str:
        return text

    @manager.workflow
    async def blocks_at_once(step: Step) -> None:
        elsewhere.blocks()

    @manager.workflow
    async def blocks_after_a_step(step: Step) -> None:
        await step.run_action(echo, "before")
        elsewhere.blocks()

    go_on = asyncio.Event()

    @manager.action
    async def waits() -> None:
        await go_on.wait()

    @manager.workflow
    async def blocks_beside_a_step(step: Step) -> None:
        waiting = step.run_action(waits)
        await step.run_action(echo, "a")
        elsewhere.blocks()
        await waiting

    @manager.workflow
    async def works(step: Step) -> str:
        return await step.run_action(echo, "well")

    with capture_logs() as entries:
        async with manager.worker():
            for flow in (blocks_at_once, blocks_after_a_step, blocks_beside_a_step):
                handle = await manager.start(flow)
                error = (await _stopped(handle)).error
                assert error.error_type == "TurnTooLong"
                assert f"in {flow.name.rpartition('.')[2]}\n    elsewhere.blocks()" in error.message
                assert "elsewhere.py" in error.message
                assert "headrace resume" in error.message
            assert await (await manager.start(works)).result(timeout=10) == "well"
            go_on.set()
    assert len([entry for entry in entries if "is broken off" in entry["event"]]) == 3, "each blocks once"


async def test_once_mended_and_resumed_it_goes_on_where_it_was(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    @manager.action
    async def note(text: str) -> None:
        done.append(text)

    @manager.workflow
    async def flow(step: Step) -> str:
        await step.run_action(note, "before")
        elsewhere.blocks()
        await step.run_action(note, "after")
        return "done"

    with capture_logs():
        async with manager.worker():
            handle = await manager.start(flow)
            await _stopped(handle)
            monkeypatch.setattr(elsewhere, "blocks", lambda: None)
            assert await handle.resume()
            assert await handle.result(timeout=10) == "done"
    assert done == ["before", "after"]


async def test_a_stuck_turn_is_broken_off_in_a_replay_too(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @manager.action
    async def waits() -> None:
        begun.set()
        await go_on.wait()

    @manager.workflow
    async def flow(step: Step) -> None:
        elsewhere.reads_the_clock()
        await step.run_action(waits)

    with capture_logs():
        async with manager.worker(cache_instances=0):
            handle = await manager.start(flow)
            await begun.wait()
            monkeypatch.setattr(elsewhere, "reads_the_clock", elsewhere.blocks)
            go_on.set()
            await _stopped(handle)


async def test_a_worker_refuses_what_helpers_further_down_do(manager: WorkflowManager) -> None:
    namespace: dict[str, object] = {"manager": manager, "__name__": "further_down"}
    exec(  # a module in which the helper comes last
        "from datetime import datetime\n"
        "@manager.workflow\n"
        "async def flow(step):\n    return str(helper())\n"
        "def helper():\n    return datetime.now()\n",
        namespace,
    )
    with pytest.raises(DeterminismViolation, match=r"datetime\.now"):
        async with manager.worker():
            pass


def test_a_watch_can_be_made_without_a_loop() -> None:
    assert Watch().mark() is None
