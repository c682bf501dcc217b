"""What is promised when workers die, leave, or do not hear the answer."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from actors import OutcomeUnknown, RetryPolicy, Step, Transaction, WorkflowManager, current_step
from kernel import Space
from tests.api.watching import in_state, running, seen
from tests.conformance.here import DEATH_S, Here
from tests.conformance.losing import LosingConnector


async def test_what_a_dead_worker_ran_goes_on_elsewhere_but_what_may_run_once_is_unknown(here: Here) -> None:
    manager = here.manager(worker_timeout=DEATH_S)
    began = [asyncio.Event(), asyncio.Event()]
    calls = Counter[str]()

    @manager.action(name="work", retry=True)
    async def work() -> str:
        calls["work"] += 1
        if calls["work"] == 1:
            began[0].set()
            await asyncio.Event().wait()
        return f"attempt {current_step().attempt}"

    @manager.action(name="charge")
    async def charge() -> None:
        calls["charge"] += 1
        began[1].set()
        await asyncio.Event().wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[str, str]:
        working, charging = step.run_action(work), step.run_action(charge)
        try:
            await charging
        except OutcomeUnknown as unknown:
            return await working, unknown.error_type
        return "", ""

    async with here.working(manager) as first:
        handle = await manager.start(flow)
        for event in began:
            await event.wait()
        async with here.working(manager):
            await first.kill()
            # Not the step's fault: the attempt is the first still.
            assert await handle.result() == ("attempt 1", "WorkerDied")
    assert calls == {"work": 2, "charge": 1}


async def test_a_worker_that_leaves_hands_on_what_it_has_at_once(here: Here, manager: WorkflowManager) -> None:
    first_has_it = asyncio.Event()
    stay = True

    @manager.action(name="work", retry=True)
    async def work() -> None:
        if stay:
            first_has_it.set()
            await asyncio.Event().wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.sleep(0.01)
        await step.run_action(work)

    async with here.working(manager, grace=0):
        handle = await manager.start(flow)
        await first_has_it.wait()
        stay = False
    await seen(handle, in_state("work", "queued"))
    async with here.working(manager) as second:
        await handle.result()
        assert (await handle.steps())[-1].worker == second.incarnation


async def test_an_answer_that_is_lost_loses_nothing_and_doubles_nothing(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing: list[LosingConnector] = []
    opened = Space.open

    async def open_and_lose(space: Space) -> None:
        losing.append(one := LosingConnector(space.connector, seed=len(losing)))
        monkeypatch.setattr(space.connector, "open", one.open)
        # The namespace is opened in peace: that it cannot be is an error, told to the caller.
        await opened(space)
        one.armed = True

    monkeypatch.setattr(Space, "open", open_and_lose)
    manager = here.manager()
    ran = Counter[tuple[str, int]]()

    @manager.action(name="act", retry=RetryPolicy(max_attempts=1))
    async def act(i: int) -> int:
        ran[current_step().workflow_id, current_step().seq] += 1
        return i

    @manager.mutation(name="count")
    async def count(tx: Transaction) -> None:
        tx.incr(tx.key("count"))

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        for i in range(3):
            await step.run_action(act, i)
            await step.run_mutation(count)
        await asyncio.gather(*(step.run_action(act, i) for i in range(3)))
        return 1

    async with here.working(manager):
        handles = await manager.start_many(flow.with_options(id=f"same/{i}").bind() for i in range(5))
        assert await asyncio.gather(*(handle.result() for handle in handles)) == [1] * 5
        space = (await manager.store()).space
        tag = space.keys.tag_of("wf/same/0")
        assert await space.send(tag, "GET", f"{tag}:app:count") == b"15"
    assert set(ran.values()) == {1}
    assert len(ran) == 30
    assert {"EXEC", "EVALSHA"} <= {word for one in losing for word in one.lost}


async def test_a_step_that_nobody_serves_waits_and_runs_when_somebody_does(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.action(name="rare", queue="rare")
    async def rare() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(rare)

    async with here.working(manager):
        handle = await manager.start(flow)
        await seen(handle, in_state("rare", "queued"))
        async with here.working(manager, queues=["rare"]) as other:
            await handle.result()
            assert (await handle.steps())[0].worker == other.incarnation


async def test_what_an_attempt_left_with_its_heartbeat_the_next_one_finds(here: Here, manager: WorkflowManager) -> None:
    @manager.action(name="copy", retry=RetryPolicy(max_attempts=3, initial_backoff=0.01), heartbeat_timeout=30)
    async def copy() -> str:
        page = int(str(current_step().details or 0))
        await current_step().heartbeat(page + 1)
        if page < 2:
            raise ConnectionError("away")
        return f"from page {page}"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(copy)

    async with here.working(manager):
        assert await (await manager.start(flow)).result() == "from page 2"


async def test_a_canceled_step_is_told_so_wherever_it_runs(here: Here, manager: WorkflowManager) -> None:
    told = asyncio.Event()

    @manager.action(name="slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(slow)

    async with here.working(manager), here.working(manager):
        handle = await manager.start(flow)
        await seen(handle, running("slow"))
        await handle.cancel()
        await told.wait()
