"""Workers that come, leave, die, or do not know a workflow."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from actors import OutcomeUnknown, Step, StepFailed, StepTimedOut, Stopped, Transaction, WorkflowManager, current_step
from actors.servers import Worker
from kernel import Begun, Held, TimedOut
from tests.api.watching import Managers, Stage, begin_for, in_state, running, seen


async def test_what_a_dead_worker_ran_is_run_by_another(manager: WorkflowManager) -> None:
    stage = Stage(1)

    @manager.action(name="work", retry=True)
    async def work() -> int:
        await stage.run()
        return current_step().attempt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work)

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await stage.hanging.wait()
        async with manager.worker() as second:
            await first.kill()
            assert await handle.result() == 1, "a crash is no attempt"
            (view,) = await handle.steps()
            assert view.worker == second.incarnation
    assert stage.runs == 2


async def test_an_action_without_retry_whose_worker_dies_is_not_run_again_and_its_outcome_is_unknown(
    manager: WorkflowManager,
) -> None:
    stage = Stage(1)

    @manager.action(name="charge")
    async def charge() -> None:
        await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(charge)
        except OutcomeUnknown as error:
            return error.message
        return ""

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await stage.hanging.wait()
        async with manager.worker():
            await first.kill()
            assert "may run at most once" in await handle.result()
    assert stage.runs == 1


async def test_a_mutation_whose_worker_dies_is_run_again_and_applied_once(manager: WorkflowManager) -> None:
    stage = Stage(1)

    @manager.mutation(name="add")
    async def add(tx: Transaction) -> None:
        tx.incr("total")
        await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_mutation(add)

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await stage.hanging.wait()
        async with manager.worker():
            await first.kill()
            await handle.result()
            assert await (await manager.store()).space.send("total", "GET", "total") == b"1"


async def test_a_step_that_kills_its_worker_three_times_fails_as_worker_died(manager: WorkflowManager) -> None:
    stage = Stage(3)

    @manager.action(name="poison", retry=True)
    async def poison() -> None:
        await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(poison)
        except StepFailed as error:
            return type(error).__name__
        return ""

    handle = await manager.start(flow)
    for _ in range(3):
        async with manager.worker() as victim:
            await stage.hanging.wait()
            stage.hanging.clear()
            await victim.kill()
    async with manager.worker():
        assert await handle.result() == "WorkerDied"
    assert stage.runs == 3


async def test_a_step_that_killed_two_workers_runs_alone(manager: WorkflowManager) -> None:
    stage, beside, gate = Stage(2), list[int](), asyncio.Event()
    inside: set[str] = set()

    async def alone(name: str) -> None:
        beside.append(len(inside))
        inside.add(name)
        await asyncio.sleep(0)
        await gate.wait()
        inside.discard(name)

    @manager.action(name="suspect", retry=True)
    async def suspect(name: str) -> None:
        await stage.run()
        await alone(name)

    @manager.workflow(name="flow")
    async def flow(step: Step, name: str) -> None:
        await step.run_action(suspect, name)

    first = await manager.start(flow, "a")
    for _ in range(2):
        async with manager.worker() as victim:
            await stage.hanging.wait()
            stage.hanging.clear()
            await victim.kill()
    others = await manager.start_many(flow.bind(name) for name in "bcd")
    async with manager.worker():
        await seen(first, running("suspect"))
        gate.set()
        await first.result()
        for other in others:
            await other.result()
    assert stage.runs == 6


async def test_a_workflow_that_a_worker_does_not_know_is_left_to_one_that_does(managers: Managers) -> None:
    old, new = managers(), managers()

    @new.action(name="act")
    async def act() -> str:
        return "done"

    @new.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(act)

    async with old.worker():
        handle = await new.start(flow)
        async with new.worker():
            assert await handle.result() == "done"


async def test_a_step_that_a_worker_does_not_know_is_left_to_one_that_does(managers: Managers) -> None:
    old, new = managers(), managers()

    @new.action(name="act")
    async def act() -> str:
        return "done"

    async def code(step: Step) -> str:
        await step.sleep(0.01)
        return await step.run_action(act)

    flow = old.workflow(name="flow")(code)
    new.workflow(name="flow")(code)

    async with old.worker():
        handle = await old.start(flow)
        await seen(handle, lambda snapshot: any(view.name == "act" for view in snapshot.steps))
        async with new.worker():
            assert await handle.result() == "done"


async def test_two_workers_share_many_workflows_over_twelve_partitions(managers: Managers) -> None:
    manager = managers(partitions=12)
    workers: dict[str, int] = {}

    @manager.action(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @manager.workflow(name="flow")
    async def flow(step: Step, x: int) -> int:
        total = 0
        for i in range(3):
            total += sum(await asyncio.gather(*(step.run_action(add, x, i) for _ in range(2))))
        return total

    async with manager.worker(concurrency=10), manager.worker(concurrency=10):
        handles = await manager.start_many(flow.bind(i) for i in range(60))
        assert [await handle.result() for handle in handles] == [6 * i + 6 for i in range(60)]
        for handle in handles:
            for view in await handle.steps():
                workers[view.worker] = workers.get(view.worker, 0) + 1
    assert len(workers) == 2


async def test_a_worker_that_was_declared_dead_goes_on_under_a_new_name(manager: WorkflowManager) -> None:
    stage = Stage(1)

    @manager.action(name="work", retry=True)
    async def work() -> int:
        return await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work)

    async with manager.worker() as worker:
        before = worker.incarnation
        handle = await manager.start(flow)
        await stage.hanging.wait()
        store = await manager.store()
        assert await store.custody.fence(before, "")
        while worker.incarnation == before:  # noqa: ASYNC110 - its pulse is a thread; nothing announces it
            await asyncio.sleep(0.01)
        assert await handle.result() == 2, "it took over from its earlier life itself"
        assert [beat.worker for beat in await store.custody.living()] == [worker.incarnation]


async def test_steps_of_a_busy_worker_wait_in_the_queue_until_it_has_room(manager: WorkflowManager) -> None:
    go, most, now = asyncio.Event(), [0], [0]

    @manager.action(name="work")
    async def work() -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await go.wait()
        now[0] -= 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await asyncio.gather(*(step.run_action(work) for _ in range(7)))

    async with manager.worker(concurrency=3) as worker:
        handles = await manager.start_many(flow.bind() for _ in range(3))
        await seen(handles[0], in_state("work", "queued"))
        assert worker.host.hands.free == 0 or now[0] < 3
        go.set()
        for handle in handles:
            await handle.result()
        assert _all_free(worker)
    assert most[0] == 3


def _all_free(worker: Worker) -> bool:
    return worker.host.hands.free == 3


async def test_a_turn_that_takes_down_three_workers_stops_the_workflow(managers: Managers) -> None:
    manager, mended = managers(), managers()
    reached = asyncio.Event()
    victims: list[Worker] = []

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        reached.set()  # in truth its process would die here
        return "never"

    @mended.workflow(name="flow")
    async def mended_flow(step: Step) -> str:
        return "mended"

    handle = await manager.start(flow.with_options(id="x"))
    store = await manager.store()
    (tag,) = store.space.keys.tags
    for consumer in ("one", "two"):  # two workers took its ready entry, and died
        await store.custody.found([(f"{tag}:ready", "dispatchers")])
        words = ("XREADGROUP", "GROUP", "dispatchers", consumer, "COUNT", 1, "STREAMS", f"{tag}:ready", ">")
        if consumer == "one":
            assert await store.space.send(tag, *words)
        else:
            (entry,) = await store.custody.claim(f"{tag}:ready", "dispatchers", dead="one", me=consumer)
            # The second and a third one had nothing else under way: it was this turn that they died of.
            for token in ("second", "third"):
                assert await store.turns.risk(handle.address, entry.id.decode(), token=token)
    async with manager.worker() as fourth:
        victims.append(fourth)
        # Nobody turns it again.
        await store.custody.claim(f"{tag}:ready", "dispatchers", dead="two", me=fourth.incarnation)
        fourth.host.auditor.soon()
        snapshot = await seen(handle, lambda snapshot: snapshot.status.type == "stopped")
        assert isinstance(snapshot.status, Stopped)
        assert "several workers" in snapshot.status.error.message
        assert not reached.is_set()
    async with mended.worker():
        assert await handle.result() == "mended"


async def test_a_manager_can_be_used_again_on_another_event_loop(managers: Managers) -> None:
    manager = managers()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    def elsewhere() -> int:
        async def run() -> int:
            async with manager, manager.worker():
                return await (await manager.start(flow)).result()

        return asyncio.run(run())

    assert await asyncio.to_thread(elsewhere) == 1
    async with manager.worker():
        assert await (await manager.start(flow)).result() == 1


async def test_a_worker_that_cannot_start_leaves_nothing_running(managers: Managers) -> None:
    manager = managers("redis://127.0.0.1:1/0")
    with pytest.raises(Exception, match="No Redis server answers"):
        async with manager.worker():
            pass


async def test_what_follows_a_time_out_on_another_worker_runs_once(manager: WorkflowManager) -> None:
    ran: list[int] = []

    @manager.action(name="slow", queue="other", timeout=3600)
    async def slow() -> None: ...

    @manager.action(name="quick")
    async def quick() -> int:
        ran.append(1)
        return len(ran)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        with contextlib.suppress(StepTimedOut):
            await step.run_action(slow)
        return await step.run_action(quick)

    async with manager.worker() as worker:
        handle = await manager.start(flow)
        await seen(handle, in_state("slow", "queued"))
        begun = await begin_for(await manager.store(), "other", worker="another")
        await worker.host.runner.time_out(TimedOut(begun.held, begun.command, "timeout"))
        async with asyncio.timeout(2):
            assert await handle.result() == 1
    assert ran == [1]


async def test_what_a_worker_held_is_taken_over_though_whoever_declared_it_dead_died_before_doing_so(
    manager: WorkflowManager,
) -> None:
    stage = Stage(1)

    @manager.action(name="work", retry=True)
    async def work() -> int:
        return await stage.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work)

    async with manager.worker() as first:
        handle = await manager.start(flow)
        await stage.hanging.wait()
        await first.kill()
        assert await (await manager.store()).custody.fence(first.incarnation, "")
        async with manager.worker():
            assert await handle.result(timeout=5) == 2


async def test_a_step_that_is_revoked_before_its_code_first_runs_gives_its_slot_back(manager: WorkflowManager) -> None:
    @manager.action(name="work", retry=True)
    async def work() -> None: ...

    async with manager.worker(concurrency=1, grace=10) as worker:
        hands, held = worker.host.hands, Held("wf/one", "1-1", 1, 1, worker.incarnation, "token")
        command = work.command((), {}, at=1, now_ms=0)
        worker.host.runner.start_step(Begun(held, command, 0, 0, b""))
        worker.host.runner.cancel(held)
        async with asyncio.timeout(2):
            await hands.room()
            await worker.stop()
        assert not hands.held
