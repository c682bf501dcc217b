"""``step.attempt``: which run of the instance this is, the same on every replay."""

from __future__ import annotations

import pytest

from actors import Step, WorkflowFailed, WorkflowManager
from actors.testing import record_history, replay_history
from actors.workflow import restarts_in
from kernel import Event
from tests.api.watching import Managers


class Runs:
    """A workflow that notes ``step.attempt`` in the arguments of three steps; the second fails when told to."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.broken = True
        self.seen: list[tuple[str, int]] = []

        @manager.action(name="note")
        async def note(what: str, attempt: int) -> int:
            self.seen.append((what, attempt))
            if what == "two" and self.broken:
                raise ValueError("not yet")
            return attempt

        @manager.workflow(name="flow")
        async def flow(step: Step) -> list[int]:
            names = ("one", "two", "three")
            notes = [await step.run_action(note.with_options(name=name), name, step.attempt) for name in names]
            return [*notes, step.attempt]

        @manager.workflow(name="counter")
        async def counter(step: Step, seen: list[int]) -> list[int]:
            if len(seen) < 2:
                counter.continue_as_new([*seen, step.attempt])
            return [*seen, step.attempt]

        self.flow, self.counter = flow, counter


@pytest.mark.parametrize("cache_instances", [10_000, 0])
async def test_it_is_one_and_one_more_after_each_restart(manager: WorkflowManager, cache_instances: int) -> None:
    runs = Runs(manager)
    async with manager.worker(cache_instances=cache_instances):
        handle = await manager.start(runs.flow)
        for _ in range(2):
            with pytest.raises(WorkflowFailed):
                await handle.result()
            await handle.restart()
        with pytest.raises(WorkflowFailed):
            await handle.result()
        runs.broken = False
        await handle.restart(from_step="two")

        assert await handle.result() == [1, 4, 4, 4]
        assert runs.seen == [("one", 1), ("two", 1), ("two", 2), ("two", 3), ("two", 4), ("three", 4)]


@pytest.mark.parametrize("again", [1, 2, 3])
async def test_the_part_that_a_restart_keeps_sees_the_number_of_then(manager: WorkflowManager, again: int) -> None:
    runs = Runs(manager)
    runs.broken = False
    async with manager.worker(cache_instances=0):
        handle = await manager.start(runs.flow)
        await handle.result()
        await handle.restart(from_step=again)
        once = await handle.result()
        await handle.restart(from_step=3)

        assert once == [1] * (again - 1) + [2] * (5 - again)
        assert await handle.result() == [*once[:2], 3, 3]


async def test_a_recorded_history_with_restarts_replays(manager: WorkflowManager) -> None:
    runs = Runs(manager)
    async with manager.worker():
        handle = await manager.start(runs.flow)
        with pytest.raises(WorkflowFailed):
            await handle.result()
        runs.broken = False
        await handle.restart()
        await handle.result()

    replay_history(manager, await record_history(await manager.store(), handle.id))


async def test_beginning_anew_begins_at_one(manager: WorkflowManager) -> None:
    runs = Runs(manager)
    async with manager.worker():
        handle = await manager.start(runs.counter, [])
        assert await handle.result() == [1, 1, 1]
        await handle.restart()
        assert await handle.result() == [1, 1, 2]


async def test_the_history_has_it(manager: WorkflowManager) -> None:
    runs = Runs(manager)
    async with manager.worker():
        handle = await manager.start(runs.counter, [1, 1])
        for _ in range(2):
            await handle.result()
            await handle.restart()
        await handle.result()

    assert [entry.value for entry in await handle.history() if entry.kind == "restarted"] == [2, 3]


async def test_another_worker_sees_the_same(managers: Managers) -> None:
    manager, other = managers(), managers()
    runs, others = Runs(manager), Runs(other)
    async with manager.worker():
        handle = await manager.start(runs.flow)
        with pytest.raises(WorkflowFailed):
            await handle.result()
    others.broken = False
    await handle.restart()
    async with other.worker():
        assert await handle.result() == [1, 2, 2, 2]
    assert others.seen == [("two", 2), ("three", 2)]


def test_restarts_recorded_by_an_older_version_count_from_where_they_stand() -> None:
    events = [Event("1-0", "started", 0), Event("4-0", "restarted", 0), Event("7-0", "restarted", 0, name="2")]

    assert restarts_in(events) == (3, 2)
