"""Outcomes that a restart keeps belong to what was asked for then: other code stops instead of taking them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final, Literal

import pytest

from actors import Step, WorkflowHandle, WorkflowManager
from actors.testing import WorkflowTester
from kernel.store.audit import audit
from tests.life.leftovers import keys_left

REPLAYS: Final[tuple[Literal["cached", "always"], ...]] = ("cached", "always")


class Works:
    """Steps that note that they ran, one that fails as long as ``broken``, and whether the code is the mended one."""

    def __init__(self) -> None:
        self.manager = WorkflowManager("memory://unused", retention=timedelta(days=1000))
        self.ran: list[str] = []
        self.broken, self.mended = True, False

        @self.manager.action(name="work")
        async def work(name: str) -> str:
            self.ran.append(name)
            return name

        @self.manager.action(name="flaky")
        async def flaky() -> None:
            await asyncio.sleep(10)
            if self.broken:
                raise ValueError("out of stock")

        @self.manager.workflow(name="kid")
        async def kid(step: Step, name: str) -> str:
            return await step.run_action(work, f"{name} of {step.workflow_id}")

        self.work, self.flaky, self.kid = work, flaky, kid

    async def mend(self, tester: WorkflowTester, handle: WorkflowHandle[str]) -> None:
        """Let it fail, mend the code and restart it."""
        await tester.advance(60)
        assert (await handle.status()).type == "failed"
        self.mended, self.broken = True, False
        await handle.restart()


async def stopped(tester: WorkflowTester, handle: WorkflowHandle[str], *, step: int, **said: str) -> None:
    """Wait until it is stopped because of ``step``, and check what is said about it."""
    await tester.advance(60)
    status = await handle.status()
    assert status.type == "stopped"
    text = status.error.message
    assert f"the restart has kept the outcome of step {step} " in text
    assert f"the kept outcome is of: {said['was']}\n" in text
    assert f"the code asks for: {said['now']}\n" in text
    assert "test_kept_outcomes.py:" in text
    assert f"cancel the instance, then restart(from_step={step})" in text


async def from_there(tester: WorkflowTester, handle: WorkflowHandle[str], step: int) -> str:
    """Do what the message says."""
    await handle.cancel()
    await handle.restart(from_step=step)
    result = await handle.result()
    store = await tester.manager.store()
    assert await audit(store.space) == []
    return result


async def nothing_left(tester: WorkflowTester, handle: WorkflowHandle[str]) -> None:
    """Delete it, and see that nothing of it and its children stays."""
    await handle.cleanup()
    await tester.advance(timedelta(days=1))
    assert await keys_left(await tester.manager.store()) == []


def test_code_that_branches_on_the_attempt_does_not_get_the_outcome_of_another_step() -> None:
    works = Works()
    work = works.work

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        first = await step.run_action(work, "before")
        beside = step.run_action(work.with_options(name="a" if step.attempt == 1 else "c"), f"run {step.attempt}")
        await step.run_action(works.flaky)
        return f"{first}, {await beside}"

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        await stopped(
            tester, handle, step=2, was="step work('run 1') (named 'a')", now="step work('run 2') (named 'c')"
        )
        assert [view.name for view in await handle.steps()] == ["work"]
        assert await from_there(tester, handle, 2) == "before, run 3"
        assert works.ran == ["before", "run 1", "run 3"]

    for replay in REPLAYS:
        works.__dict__.update(broken=True, ran=[])
        WorkflowTester(works.manager, replay=replay).play(scenario)


def test_mended_code_that_asks_for_the_same_gets_the_outcomes_and_other_code_runs_once_it_is_put_back() -> None:
    works, large = Works(), "two" * 50_000
    work = works.work

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        beside = step.run_action(work, "changed" if works.mended else "one")
        other = step.run_action(work, large)
        await step.run_action(works.flaky)
        return f"{await beside}, {await other}"

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        said = [(entry.seq, entry.name) for entry in await handle.history() if entry.kind == "completed"]
        assert said == [(1, "work"), (2, "work")]
        await stopped(tester, handle, step=1, was="step work('one')", now="step work('changed')")
        assert "unstable_args=True" in str(await handle.status())
        works.mended = False
        assert await handle.resume()
        assert await handle.result() == f"one, {large}"
        assert works.ran == ["one", large]
        journal = await (await tester.manager.store()).instances.read(handle.address, "journal")
        assert [field for field in journal if field[0] == "k"] == []

    for replay in REPLAYS:
        works.__dict__.update(broken=True, mended=False, ran=[])
        WorkflowTester(works.manager, replay=replay).play(scenario)


def test_arguments_that_may_differ_take_the_outcome_and_the_journal_says_what_has_run() -> None:
    works = Works()
    work = works.work.with_options(unstable_args=True)

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        beside = step.run_action(work, f"run {step.attempt}")
        await step.run_action(works.flaky)
        return await beside

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        assert await handle.result() == "run 1"
        assert (await handle.steps())[0].arguments == (("run 1",), {})
        tester.replay(await tester.history(handle))

    for replay in REPLAYS:
        works.__dict__.update(broken=True, ran=[])
        WorkflowTester(works.manager, replay=replay).play(scenario)


def test_a_second_restart_keeps_what_the_first_has_kept_and_nobody_has_asked_for_yet() -> None:
    works = Works()
    work = works.work

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        first = step.run_action(work, "one")
        second = step.run_workflow(works.kid, "kid")
        third = step.run_action(work, "changed" if works.mended else "three")
        await step.run_action(works.flaky)
        return ", ".join([await first, await second, await third])

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        await stopped(tester, handle, step=3, was="step work('three')", now="step work('changed')")
        await handle.cancel()
        await handle.restart()
        await stopped(tester, handle, step=3, was="step work('three')", now="step work('changed')")
        kid = next(name for name in works.ran if name.startswith("kid of "))
        assert await from_there(tester, handle, 3) == f"one, {kid}, changed"
        assert sorted(works.ran) == sorted(["one", kid, "three", "changed"])
        await nothing_left(tester, handle)

    for replay in REPLAYS:
        works.__dict__.update(broken=True, mended=False, ran=[])
        WorkflowTester(works.manager, replay=replay).play(scenario)


@pytest.mark.parametrize("then", ["restarted", "cleaned up"])
def test_a_child_whose_outcome_was_kept_and_not_taken_goes(then: str) -> None:
    works = Works()

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        beside = step.run_workflow(works.kid, "other" if works.mended else "kid")
        await step.run_action(works.flaky)
        return await beside

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        await stopped(tester, handle, step=1, was="child kid('kid')", now="child kid('other')")
        if then == "restarted":
            assert (await from_there(tester, handle, 1)).startswith("other of ")
        else:
            await handle.cancel()
        await nothing_left(tester, handle)

    WorkflowTester(works.manager).play(scenario)


def test_a_detached_child_that_lives_on_is_not_taken_for_another() -> None:
    works = Works()
    work = works.work

    @works.manager.workflow(name="slow")
    async def slow(step: Step, name: str) -> str:
        await step.sleep(timedelta(days=9))
        return name

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        beside = step.run_workflow(slow.with_options(detached=True), "other" if works.mended else "one")
        await step.run_action(work, "work")
        await step.run_action(works.flaky)
        return await beside

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await tester.advance(60)
        works.__dict__.update(mended=True, broken=False)
        await handle.restart(from_step="work")
        await stopped(tester, handle, step=1, was="child slow('one')", now="child slow('other')")
        assert await from_there(tester, handle, 1) == "other"

    WorkflowTester(works.manager).play(scenario)


def test_a_value_a_sleep_and_a_marker_may_be_others_as_long_as_the_numbers_of_kept_outcomes_fit() -> None:
    works = Works()
    work = works.work

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        step.set_value("which", step.attempt)
        nap = step.sleep(step.attempt)
        if step.attempt > 1:
            assert step.patched("twice")
        else:
            step.set_value("patched", False)
        beside = step.run_action(work, "one")
        await step.run_action(works.flaky)
        await nap
        return await beside

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        assert (await handle.result(), await handle.value("which")) == ("one", 2)
        assert works.ran == ["one"]
        await handle.restart(from_step=1)
        assert await handle.result() == "one"
        assert works.ran == ["one", "one"]

    WorkflowTester(works.manager).play(scenario)


def test_a_restart_after_beginning_anew_keeps_what_the_generation_asked_for() -> None:
    works = Works()
    work = works.work

    @works.manager.workflow(name="flow")
    async def flow(step: Step, again: bool = True) -> str:
        beside = step.run_action(work, "changed" if works.mended else "one")
        if again:
            await beside
            flow.continue_as_new(again=False)
        await step.run_action(works.flaky)
        return await beside

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await works.mend(tester, handle)
        await stopped(tester, handle, step=1, was="step work('one')", now="step work('changed')")
        assert await from_there(tester, handle, 1) == "changed"
        assert works.ran == ["one", "one", "changed"]

    for replay in REPLAYS:
        works.__dict__.update(broken=True, mended=False, ran=[])
        WorkflowTester(works.manager, replay=replay).play(scenario)


@pytest.mark.parametrize("step_is", ["the only one", "one of two"])
def test_a_worker_that_has_the_instance_in_hand_stops_it_just_as_well(step_is: str) -> None:
    works = Works()

    @works.manager.action(name="slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    @works.manager.workflow(name="long")
    async def long(step: Step, name: str) -> str:
        await step.sleep(timedelta(days=9))
        return name

    @works.manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        first = step.run_action(slow)
        if works.mended:
            beside = step.sleep(timedelta(days=1)) if step_is == "one of two" else None
            await first
            result = await step.run_workflow(long.with_options(detached=True), "other")
            if beside is not None:
                await beside
            return result
        timer = step.sleep(timedelta(days=1)) if step_is == "one of two" else None
        kid = step.run_workflow(long.with_options(detached=True), "one")
        await step.run_action(works.flaky.with_options(name="flaky"))
        if timer is not None:
            await timer
        return await kid

    async def scenario(tester: WorkflowTester) -> None:
        handle = await tester.start(flow)
        await tester.advance(60)
        works.mended = True
        await handle.restart(from_step="flaky")
        await tester.advance(1)
        assert (await handle.status()).type == "in_progress"
        number = 2 if step_is == "the only one" else 3
        await stopped(tester, handle, step=number, was="child long('one')", now="child long('other')")
        assert await from_there(tester, handle, number) == "other"

    WorkflowTester(works.manager).play(scenario)
