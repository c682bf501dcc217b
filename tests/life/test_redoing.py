"""What a restart redoes counts from the restart: timers, limits, children; what lives on by itself is kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from actors import Step, WorkflowManager
from actors.testing import WorkflowTester
from kernel.store.audit import audit
from tests.life.leftovers import keys_left


def manager() -> WorkflowManager:
    return WorkflowManager("memory://unused", retention=timedelta(days=1000))


class Flaky:
    """A step that fails the first few times."""

    def __init__(self, made: WorkflowManager, *, fails: int, name: str = "flaky") -> None:
        self.ran = 0

        @made.action(name=name)
        async def flaky() -> int:
            self.ran += 1
            await asyncio.sleep(10)
            if self.ran <= fails:
                raise ValueError("out of stock")
            return self.ran

        self.step = flaky


async def later(tester: WorkflowTester) -> float:
    """Let two days pass; return the time after them."""
    await tester.advance(timedelta(days=2))
    return tester.now.timestamp()


def test_a_timeout_around_a_step_that_is_redone_counts_from_the_restart() -> None:
    made = manager()
    flaky = Flaky(made, fails=1)

    @made.workflow
    async def flow(step: Step) -> int:
        async with asyncio.timeout(60):
            return await step.run_action(flaky.step)

    async def scenario(tester: WorkflowTester) -> int:
        handle = await tester.start(flow)
        await later(tester)
        await handle.restart()
        return await handle.result()

    for replay in ("cached", "always"):
        flaky.ran = 0
        assert WorkflowTester(made, replay=replay).play(scenario) == 2


def test_a_step_whose_timeout_was_over_has_all_of_it_again() -> None:
    made = manager()
    ran: list[int] = []

    @made.action
    async def slow() -> int:
        ran.append(1)
        await asyncio.sleep(10 if len(ran) > 1 else 100)
        return len(ran)

    @made.workflow
    async def flow(step: Step) -> int:
        async with asyncio.timeout(60):
            return await step.run_action(slow.with_options(name="slow"))

    async def scenario(tester: WorkflowTester) -> int:
        handle = await tester.start(flow)
        await later(tester)
        await handle.restart(from_step="slow")
        return await handle.result()

    assert WorkflowTester(made).play(scenario) == 2


def test_to_the_part_that_is_redone_it_is_the_time_of_the_restart_on_every_replay() -> None:
    made = manager()
    flaky = Flaky(made, fails=1)

    @made.workflow
    async def flow(step: Step) -> list[float]:
        began = step.now().timestamp()
        await step.run_action(flaky.step)
        await step.sleep(60)
        return [began, step.now().timestamp()]

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        now = await later(tester)
        await handle.restart()
        assert await handle.result() == [now, now + 70]
        tester.replay(await tester.history(handle))
        await handle.restart(from_step=1)
        assert await handle.result() == [now + 70, now + 140]

    WorkflowTester(made, replay="always").play(scenario)


def test_a_child_with_an_id_that_was_canceled_by_a_failure_beside_it_is_started_anew() -> None:
    made = manager()
    flaky = Flaky(made, fails=1)

    @made.workflow
    async def child(step: Step) -> str:
        await step.sleep(60)
        return "done"

    @made.workflow
    async def flow(step: Step) -> str:
        kid = step.run_workflow(child.with_options(id="flow/kid"))
        await step.run_action(flaky.step)
        return await kid

    async def scenario(tester: WorkflowTester) -> str:
        handle = await tester.start(flow)
        await later(tester)
        assert (await tester.handle("flow/kid").status()).type == "canceled"
        await handle.restart()
        return await handle.result()

    assert WorkflowTester(made).play(scenario) == "done"


def test_a_detached_child_that_still_runs_is_neither_a_place_to_restart_from_nor_started_twice() -> None:
    made = manager()
    flaky, first = Flaky(made, fails=1), Flaky(made, fails=0, name="first")
    began: list[str] = []

    @made.action
    async def begin(name: str) -> None:
        began.append(name)

    @made.workflow
    async def child(step: Step) -> str:
        await step.run_action(begin, step.workflow_id)
        await step.sleep(timedelta(days=9))
        return step.workflow_id

    @made.workflow
    async def flow(step: Step) -> list[str]:
        early = step.run_workflow(child.with_options(detached=True))
        await step.run_action(first.step)
        beside = step.run_workflow(child.with_options(detached=True))
        await step.run_action(flaky.step)
        return [await early, await beside]

    async def scenario(tester: WorkflowTester) -> list[str]:
        handle = await tester.start(flow)
        await later(tester)
        await handle.restart()
        return await handle.result()

    assert WorkflowTester(made).play(scenario) == began
    assert (len(began), first.ran, flaky.ran) == (2, 1, 2)


def test_a_detached_child_that_was_started_by_the_end_of_its_parent_is_not_started_again() -> None:
    made = manager()
    began: list[str] = []

    @made.action
    async def begin(name: str) -> None:
        began.append(name)

    @made.workflow
    async def child(step: Step) -> None:
        await step.run_action(begin, step.workflow_id)
        await step.sleep(timedelta(days=9))

    @made.workflow
    async def flow(step: Step) -> None:
        _ = step.run_workflow(child.with_options(detached=True))

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        for _ in range(2):
            await later(tester)
            await handle.restart()
            await handle.result()
        await later(tester)

    WorkflowTester(made).play(scenario)
    assert len(began) == 1


def test_children_whose_results_were_kept_go_with_their_parent() -> None:
    made = manager()
    flaky = Flaky(made, fails=3)
    ran: list[str] = []

    @made.action
    async def note(name: str) -> str:
        ran.append(name)
        return name

    @made.workflow
    async def child(step: Step) -> str:
        return await step.run_action(note, step.workflow_id)

    @made.workflow
    async def flow(step: Step) -> str:
        beside = step.run_workflow(child)
        await step.run_action(flaky.step)
        return await beside

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        for from_step in (None, 1, None):  # kept, started anew, kept
            await later(tester)
            await handle.restart(from_step=from_step)
        assert await handle.result() == ran[1]
        await handle.cleanup()
        await later(tester)
        store = await tester.manager.store()
        assert await audit(store.space) == []
        assert await keys_left(store) == []

    for replay in ("cached", "always"):
        ran.clear()
        flaky.ran = 0
        WorkflowTester(made, replay=replay).play(scenario)
        assert (len(ran), flaky.ran) == (2, 4)
