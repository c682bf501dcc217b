"""What is promised of steps, timers and children."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from actors import (
    Completed,
    Result,
    RetryPolicy,
    Step,
    StepFailed,
    StepTimedOut,
    Transaction,
    WorkflowFailed,
    WorkflowManager,
    Workpool,
    current_step,
)
from actors.codecs import Encryption
from tests.api.watching import running, seen
from tests.conformance.here import Here, until

LARGE = 200_000
"""Bytes; what takes more than 64 KiB is kept apart from the journal."""


async def test_steps_run_one_after_another_and_hand_their_results_on(here: Here, manager: WorkflowManager) -> None:
    ran: list[int] = []

    @manager.action(name="add")
    async def add(a: int, b: int) -> int:
        ran.append(b)
        return a + b

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        total = 0
        for i in range(10):
            total = await step.run_action(add, total, i)
        return total

    async with here.working(manager):
        handle = await manager.start(flow)
        assert await handle.result() == 45
        assert ran == list(range(10))
        assert [(view.seq, view.state) for view in await handle.steps()] == [(i, "completed") for i in range(1, 11)]


async def test_steps_asked_for_together_run_together_and_a_thread_beside_them(
    here: Here, manager: WorkflowManager
) -> None:
    met = asyncio.Barrier(10)

    @manager.action(name="meet")
    async def meet(i: int) -> int:
        await met.wait()
        return i

    @manager.action(name="threaded")
    def threaded(x: int) -> int:
        return 2 * x

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        beside = step.run_action(threaded, 21)
        return [*await asyncio.gather(*(step.run_action(meet, i) for i in range(10))), await beside]

    async with here.working(manager):
        assert await (await manager.start(flow)).result() == [*range(10), 42]


async def test_a_decision_of_a_thousand_commands_is_carried_out_whole(here: Here, manager: WorkflowManager) -> None:
    @manager.action(name="same", retry=True)
    async def same(i: int) -> int:
        return i

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return sum(await asyncio.gather(*(step.run_action(same, i) for i in range(450))))

    async with here.working(manager):
        assert await (await manager.start(flow)).result() == 449 * 450 // 2


async def test_timers_fire_in_the_order_of_their_times_and_a_race_has_one_winner(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[list[int], bool]:
        fired: list[int] = []

        async def nap(ms: int) -> None:
            await step.sleep(timedelta(milliseconds=ms))
            fired.append(ms)

        began = step.now()
        await asyncio.gather(nap(90), nap(30), nap(60))
        late = asyncio.ensure_future(step.sleep(3600))
        try:
            async with asyncio.timeout(0.03):
                await late
        except TimeoutError:
            return fired, step.now() - began >= timedelta(milliseconds=120)
        return [], False

    async with here.working(manager):
        assert await (await manager.start(flow)).result() == ([30, 60, 90], True)


async def test_a_step_that_fails_runs_again_by_its_policy_and_every_attempt_is_recorded(
    here: Here, manager: WorkflowManager
) -> None:
    policy = RetryPolicy(max_attempts=3, initial_backoff=0.02, jitter=False)

    @manager.action(name="third", retry=policy)
    async def third() -> str:
        if current_step().attempt < 3:
            raise ValueError(f"attempt {current_step().attempt}")
        return "the third time"

    @manager.action(name="never", retry=policy)
    async def never() -> None:
        raise LookupError("nothing there")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[str, str, int]:
        said = await step.run_action(third)
        try:
            await step.run_action(never)
        except StepFailed as failed:
            return said, failed.error_type, failed.attempts
        return said, "", 0

    async with here.working(manager):
        handle = await manager.start(flow)
        assert await handle.result() == ("the third time", "LookupError", 3)
        first, second = await handle.steps()
        assert [attempt.error.message for attempt in first.attempts] == ["attempt 1", "attempt 2"]
        assert second.attempt == 3


async def test_an_action_without_retries_is_started_once_and_its_failure_reaches_the_workflow(
    here: Here, manager: WorkflowManager
) -> None:
    started = 0

    @manager.action(name="once")
    async def once() -> None:
        nonlocal started
        started += 1
        raise ConnectionError("nobody there")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(once)

    async with here.working(manager):
        with pytest.raises(WorkflowFailed, match="nobody there"):
            await (await manager.start(flow)).result()
    assert started == 1


async def test_an_attempt_that_takes_too_long_is_broken_off(here: Here, manager: WorkflowManager) -> None:
    broken_off = asyncio.Event()

    @manager.action(name="endless", timeout=0.05)
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(endless)
        except StepTimedOut as late:
            return late.error_type
        return ""

    async with here.working(manager):
        assert await (await manager.start(flow)).result() == "TimeoutError"
        await broken_off.wait()


async def test_children_live_in_any_partition_and_their_results_reach_their_parent(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.action(name="double")
    async def double(x: int) -> int:
        if x == 3:
            raise ValueError("not three")
        return 2 * x

    @manager.workflow(name="leaf")
    async def leaf(step: Step, x: int) -> int:
        return await step.run_action(double, x)

    @manager.workflow(name="branch")
    async def branch(step: Step, x: int) -> int:
        return sum(await asyncio.gather(*(step.run_workflow(leaf, x + i) for i in range(2))))

    @manager.workflow(name="root")
    async def root(step: Step) -> tuple[int, str]:
        total = sum(await asyncio.gather(*(step.run_workflow(branch, 10 * i) for i in range(6))))
        try:
            await step.run_workflow(leaf, 3)
        except WorkflowFailed as failed:
            return total, failed.error_type
        return total, ""

    async with here.working(manager), here.working(manager):
        assert await (await manager.start(root)).result() == (612, "ValueError")


async def test_what_is_started_together_runs_and_an_id_means_one_instance(here: Here, manager: WorkflowManager) -> None:
    ran: list[int] = []

    @manager.action(name="note")
    async def note(i: int) -> int:
        ran.append(i)
        return i

    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        return await step.run_action(note, i)

    async with here.working(manager), here.working(manager):
        calls = [flow.with_options(id=f"n{i}").bind(i) for i in range(40)]
        handles = await manager.start_many(calls)
        again = await manager.start_many(calls)
        assert await asyncio.gather(*(handle.result() for handle in (*handles, *again))) == [*range(40), *range(40)]
    assert sorted(ran) == list(range(40))


async def test_no_more_steps_of_a_pool_are_under_way_than_it_allows_and_none_waits_for_ever(
    here: Here, manager: WorkflowManager
) -> None:
    pool = Workpool(manager, "press", max_parallelism=2)
    inside: list[int] = []
    most: list[int] = []

    @manager.action(name="print", pool="press", retry=RetryPolicy(max_attempts=2, initial_backoff=0))
    async def print_it(page: int) -> int:
        inside.append(page)
        most.append(len(inside))
        try:
            await asyncio.sleep(0.005)
            if page == 3 and current_step().attempt == 1:
                raise ConnectionError("no paper")
        finally:
            inside.remove(page)
        return page

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        return await asyncio.gather(*(step.run_action(print_it, page) for page in range(6)))

    async with here.working(manager), here.working(manager):
        handles = [await manager.start(flow) for _ in range(3)]
        assert [await handle.result() for handle in handles] == [list(range(6))] * 3
        assert (max(most) <= 2, len(most)) == (True, 21)

        async def is_empty() -> bool:
            return await pool.status() == (2, 0, 0)

        await until(is_empty)


async def test_a_large_value_arrives_as_it_was_sent(here: Here, manager: WorkflowManager) -> None:
    sent = os.urandom(LARGE)

    @manager.action(name="back")
    async def back(data: bytes) -> bytes:
        return data[::-1]

    @manager.workflow(name="flow")
    async def flow(step: Step, data: bytes) -> bytes:
        return await step.run_action(back, await step.run_action(back, data))

    async with here.working(manager):
        assert await (await manager.start(flow, sent)).result() == sent


async def test_what_is_encrypted_arrives_and_cannot_be_read_without_the_key(here: Here) -> None:
    manager = here.manager(codec=Encryption({"k": bytes(range(32))}, current="k"))

    @manager.action(name="whisper")
    async def whisper(word: str) -> str:
        return word.upper()

    @manager.workflow(name="flow")
    async def flow(step: Step, word: str) -> str:
        return await step.run_action(whisper, word)

    async with here.working(manager):
        handle = await manager.start(flow, "confidential")
        assert await handle.result() == "CONFIDENTIAL"
        space = (await manager.store()).space
        tag = space.keys.tag_of(handle.address)
        held = await space.send(tag, "HGETALL", f"{tag}:wf.journal:{handle.id}")
        assert b"c1" in repr(held).encode()
        assert "confidential" not in repr(held).lower()


async def test_what_is_called_on_completion_is_called_once_with_the_result(
    here: Here, manager: WorkflowManager
) -> None:
    @manager.mutation(name="settle")
    async def settle(tx: Transaction, workflow_id: str, result: Result[int], context: str) -> None:
        assert isinstance(result, Completed)
        tx.rpush(tx.key("settled"), f"{workflow_id} {context} {result.result}")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        await step.sleep(0.01)
        return 7

    async with here.working(manager):
        handle = await manager.start(flow.with_options(id="x", on_complete=settle, context="for ann"))
        await handle.result()
        space = (await manager.store()).space
        tag = space.keys.tag_of(handle.address)

        async def settled() -> bool:
            return [view.state for view in await handle.steps() if view.kind == "on_complete"] == ["completed"]

        await until(settled)
        assert await space.send(tag, "LRANGE", f"{tag}:app:settled", 0, -1) == [b"x for ann 7"]


async def test_a_saga_undoes_what_was_done_in_reverse(here: Here, manager: WorkflowManager) -> None:
    done: list[str] = []

    @manager.action(name="book")
    async def book(what: str) -> None:
        done.append(what)
        if what == "car":
            raise LookupError("no car left")

    @manager.action(name="undo", retry=True)
    async def undo(what: str) -> None:
        done.append(f"not {what}")

    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            for what in ("flight", "hotel", "car"):
                saga.undo(undo, what)
                await step.run_action(book, what)

    async with here.working(manager):
        with pytest.raises(WorkflowFailed, match="no car left"):
            await (await manager.start(trip)).result()
    assert done == ["flight", "hotel", "car", "not car", "not hotel", "not flight"]


async def test_whoever_watches_sees_each_change_until_the_end(here: Here, manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait() -> None:
        await go.wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        step.set_value("stage", "begun")
        await step.run_action(wait)
        return "done"

    async with here.working(manager):
        handle = await manager.start(flow)
        waiting = asyncio.create_task(handle.result())
        await seen(handle, running("wait"))
        assert await handle.value("stage") == "begun"
        go.set()
        last = [snapshot.status async for snapshot in handle.watch()][-1]
        assert isinstance(last, Completed)
        assert await waiting == last.result == "done"
