from __future__ import annotations

import gc
import json
import random
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from actors import (
    DeterminismViolation,
    Misuse,
    NondeterminismError,
    Step,
    UnknownDefinition,
    WorkflowFailed,
    WorkflowManager,
    WorkflowNotFound,
)
from actors.testing import RecordedHistory, WorkflowTester, record_history, replay_history
from tests.testing.clocks import borrowed_clock, wall_clock


def define(manager: WorkflowManager, *, second: str = "act", third: bool = True, result: str = "end") -> None:
    """Define one workflow, in a version of the day."""

    @manager.action(name="act")
    async def act(number: int) -> int:
        return number

    @manager.action(name="other")
    async def other(number: int) -> int:
        return number

    @manager.workflow(name="flow")
    async def flow(step: Step, fails: bool) -> str:
        await step.run_action(act, 1)
        await step.run_action(act if second == "act" else other, 2)
        await step.sleep(3600)
        if third:
            await step.run_action(act, 3)
        if fails:
            raise ValueError("as asked for")
        return result


async def record(folder: Path, *, advance: int | None = None, fails: bool = False) -> Path:
    """Run the workflow, to its end or for some seconds; return its exported history."""
    manager = WorkflowManager("memory://")
    define(manager)
    path = folder / "history.json"
    async with WorkflowTester(manager) as tester:
        flow = manager.get_workflow("flow")
        handle = await tester.start(flow, fails)
        if advance is None:
            await handle.ended()
        else:
            await tester.advance(advance)
        await tester.export(handle, path)
    return path


def changed(**how: object) -> WorkflowManager:
    """Return a manager with the code of another day."""
    manager = WorkflowManager("memory://")
    define(manager, **how)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return manager


async def test_a_recorded_history_fits_the_code_that_made_it(tmp_path: Path) -> None:
    for advance, fails in ((None, False), (None, True), (60, False)):
        path = await record(tmp_path, advance=advance, fails=fails)
        replay_history(changed(), path)
        WorkflowTester(changed()).replay(RecordedHistory.read(path))


async def test_code_that_asks_for_something_else_does_not_fit(tmp_path: Path) -> None:
    path = await record(tmp_path)
    with pytest.raises(NondeterminismError, match=r"at step 2.*\n.*the journal has: step act\(2\)"):
        replay_history(changed(second="other"), path)
    with pytest.raises(NondeterminismError, match="the workflow ends before it"):
        replay_history(changed(third=False), path)


async def test_code_that_ends_otherwise_does_not_fit(tmp_path: Path) -> None:
    path = await record(tmp_path)
    with pytest.raises(NondeterminismError, match=r"recorded as completed.*returns something else"):
        replay_history(changed(result="another"), path)
    text = json.loads(path.read_text())
    text["status"] = "running"
    path.write_text(json.dumps(text))
    with pytest.raises(NondeterminismError, match=r"recorded as running.*ends as completed"):
        replay_history(changed(), path)


async def test_code_may_change_behind_what_was_recorded(tmp_path: Path) -> None:
    path = await record(tmp_path, advance=60)
    replay_history(changed(third=False, result="another"), path)


async def test_a_file_that_is_no_history_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    for text in ("", "[]", "{}", '{"format": 2}', '{"format": 1}'):
        path.write_text(text)
        with pytest.raises(Misuse, match="no recorded history that can be read"):
            replay_history(changed(), path)
    recorded = await record(tmp_path)
    with pytest.raises(UnknownDefinition):
        replay_history(WorkflowManager("memory://"), recorded)


async def test_histories_are_of_instances_that_exist() -> None:
    manager = changed()
    async with manager:
        with pytest.raises(WorkflowNotFound):
            await record_history(await manager.store(), "nobody")


async def test_a_clock_in_a_helper_of_another_module_is_caught(manager: WorkflowManager, tmp_path: Path) -> None:
    @manager.workflow
    async def reads(step: Step, which: str) -> str:
        if which == "wall":
            wall_clock()
        elif which == "borrowed":
            borrowed_clock()
        await step.sleep(1)
        return which

    async with WorkflowTester(manager) as tester:
        with pytest.raises(
            WorkflowFailed, match=r"DeterminismViolation: datetime.now\(\).*clocks.py:\d+ in wall_clock"
        ):
            await (await tester.start(reads, "wall")).result()
        with pytest.raises(WorkflowFailed, match=r"DeterminismViolation: time.time\(\).*in borrowed_clock"):
            await (await tester.start(reads, "borrowed")).result()
    async with WorkflowTester(manager, strict=False) as tester:
        handle = await tester.start(reads, "wall")
        assert await handle.result() == "wall"
        await tester.export(handle, tmp_path / "h.json")
    with pytest.raises(DeterminismViolation, match="wall_clock"):
        replay_history(manager, tmp_path / "h.json")
    replay_history(manager, tmp_path / "h.json", strict=False)


async def test_what_a_worker_makes_repeatable_is_allowed(manager: WorkflowManager) -> None:
    @manager.workflow
    async def draws(step: Step) -> list[object]:
        step.log.info("drawing")
        return [random.random(), random.randint(1, 6), str(uuid4()), time.time(), str(step.uuid4())]

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(draws)
        await handle.result()
        tester.replay(await tester.history(handle))


async def test_a_violation_that_the_author_catches_fails_the_replay(manager: WorkflowManager) -> None:
    @manager.workflow
    async def hides(step: Step) -> None:
        with suppress(DeterminismViolation):
            wall_clock()

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(hides)
        await handle.result()
        with pytest.raises(DeterminismViolation, match="wall_clock"):
            tester.replay(await tester.history(handle))


async def test_who_watches_the_garbage_collector_may_read_a_clock(manager: WorkflowManager) -> None:
    def watcher(_phase: str, _info: dict[str, int]) -> None:
        time.perf_counter()

    @manager.workflow
    async def flow(step: Step) -> str:
        gc.collect()
        return "collected"

    gc.callbacks.append(watcher)
    try:
        async with WorkflowTester(manager, strict=True) as tester:
            assert await (await tester.start(flow)).result() == "collected"
    finally:
        gc.callbacks.remove(watcher)


@pytest.mark.parametrize("lets_through", [True, False])
async def test_code_that_catches_now_what_ended_it_then_does_not_fit(tmp_path: Path, lets_through: bool) -> None:
    def define_family(manager: WorkflowManager, *, catches: bool) -> None:
        @manager.workflow(name="child", timeout=60)
        async def child(step: Step) -> None:
            await step.sleep(3600)

        @manager.workflow(name="parent")
        async def parent(step: Step) -> None:
            try:
                await step.run_workflow(child)
            except WorkflowFailed:
                if not catches:
                    raise

    first, second = WorkflowManager("memory://"), WorkflowManager("memory://")
    define_family(first, catches=not lets_through)
    define_family(second, catches=True)
    async with WorkflowTester(first) as tester:
        handle = await tester.start(first.get_workflow("parent"))
        await handle.ended()
        await tester.export(handle, tmp_path / "history.json")
    if not lets_through:
        replay_history(second, tmp_path / "history.json")
        return
    with pytest.raises(NondeterminismError, match="recorded as failed, with the code of today it ends as completed"):
        replay_history(second, tmp_path / "history.json")
