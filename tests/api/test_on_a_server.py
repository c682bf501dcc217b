"""A sample of all this on a real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors import (
    OutcomeUnknown,
    RetryPolicy,
    Step,
    Transaction,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowManager,
    current_step,
)
from actors.definitions import AsyncAction
from kernel.embedded import EmbeddedServer
from kernel.embedded_guard import ask
from kernel.store.audit import audit
from tests.api.watching import Managers, in_state, running, seen

pytestmark = pytest.mark.server


@pytest.fixture
def manager(managers: Managers, server_url: str) -> WorkflowManager:
    return managers(server_url, partitions=12)


async def test_a_workflow_of_every_kind_of_step_ends_as_it_should(manager: WorkflowManager) -> None:
    @manager.action(name="add", retry=RetryPolicy(initial_backoff=0.01))
    async def add(a: int, b: int) -> int:
        if current_step().attempt == 1 and b == 2:
            raise ValueError
        return a + b

    @manager.action(name="threaded")
    def threaded(x: int) -> int:
        return 2 * x

    @manager.mutation(name="count")
    async def count(tx: Transaction, by: int) -> int:
        before = int(await tx.get(tx.key("total")) or 0)
        tx.incrby(tx.key("total"), by)
        return before + by

    @manager.query(name="total")
    async def total(tx: Transaction) -> int:
        return int(await tx.get(tx.key("total")) or 0)

    @manager.workflow(name="child")
    async def child(step: Step, x: int) -> int:
        return await step.run_action(add, x, 1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        sums = await asyncio.gather(*(step.run_action(add, i, i) for i in range(4)))
        await step.sleep(timedelta(milliseconds=20))
        await step.run_mutation(count, 5)
        return [
            *sums,
            await step.run_query(total),
            await step.run_action(threaded, 4),
            await step.run_workflow(child, 6),
        ]

    async with manager.worker(), manager.worker():
        handles = await manager.start_many(flow.with_options(id=f"same/{i}").bind() for i in range(10))
        results = [await handle.result() for handle in handles]
        assert max(result[4] for result in results) == 50
        assert {(*result[:4], *result[5:]) for result in results} == {(0, 2, 4, 6, 8, 7)}
    assert await audit((await manager.store()).space) == []


async def test_what_a_dead_worker_ran_goes_on_elsewhere_and_at_most_once_is_kept(manager: WorkflowManager) -> None:
    began, calls = [asyncio.Event(), asyncio.Event()], [0, 0]

    @manager.action(name="work", retry=True)
    async def work() -> int:
        calls[0] += 1
        if calls[0] == 1:
            began[0].set()
            await asyncio.Event().wait()
        return calls[0]

    @manager.action(name="charge")
    async def charge() -> None:
        calls[1] += 1
        began[1].set()
        await asyncio.Event().wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[int, str]:
        working, charging = step.run_action(work), step.run_action(charge)
        try:
            await charging
        except OutcomeUnknown as error:
            return await working, error.error_type
        return 0, ""

    async with manager.worker() as first:
        handle = await manager.start(flow)
        for event in began:
            await event.wait()
        async with manager.worker():
            await first.kill()
            assert await handle.result() == (2, "WorkerDied")
    assert calls == [2, 1]
    assert await audit((await manager.store()).space) == []


async def test_canceling_and_racing_leave_nothing_behind(manager: WorkflowManager) -> None:
    canceled = [asyncio.Event(), asyncio.Event()]

    @manager.action(name="slow")
    async def slow(i: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled[i].set()

    @manager.workflow(name="canceled")
    async def to_cancel(step: Step) -> None:
        await step.run_action(slow, 0)

    @manager.workflow(name="raced")
    async def raced(step: Step) -> None:
        async with asyncio.timeout(0.05):
            await step.run_action(slow, 1)

    async with manager.worker():
        first, second = await manager.start(to_cancel), await manager.start(raced)
        await seen(first, running("slow"))
        await first.cancel()
        with pytest.raises(WorkflowCanceled):
            await first.result()
        with pytest.raises(WorkflowFailed, match="TimeoutError"):
            await second.result()
        async with asyncio.timeout(1):
            for event in canceled:
                await event.wait()
    assert await audit((await manager.store()).space) == []


async def test_many_watchers_on_one_connection_see_the_end(manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="wait")
    async def wait(i: int) -> int:
        await go.wait()
        return i

    @manager.workflow(name="flow")
    async def flow(step: Step, i: int) -> int:
        return await step.run_action(wait, i)

    async with manager.worker():
        handles = await manager.start_many(flow.bind(i) for i in range(30))
        watchers = [asyncio.create_task(handle.result()) for handle in handles for _ in range(3)]
        for handle in handles:
            await seen(handle, running("wait"))
        go.set()
        assert await asyncio.gather(*watchers) == [i for i in range(30) for _ in range(3)]


async def test_code_put_right_goes_on(managers: Managers, server_url: str) -> None:
    first, wrong, right = (managers(server_url, partitions=12) for _ in range(3))
    (say_first, wait_first), (say_wrong, wait_wrong), (say_right, wait_right) = map(_actions, (first, wrong, right))

    @first.workflow(name="flow")
    async def flow(step: Step) -> str:
        said = await step.run_action(say_first, "hello")
        await step.run_action(wait_first)
        return said

    @wrong.workflow(name="flow")
    async def changed(step: Step) -> str:
        said = await step.run_action(say_wrong, "goodbye")
        await step.run_action(wait_wrong)
        return said

    @right.workflow(name="flow")
    async def mended(step: Step) -> str:
        said = await step.run_action(say_right, "hello")
        await step.run_action(wait_right)
        return said

    async with first.worker():
        handle = await first.start(flow)
        await seen(handle, in_state("wait", "queued"))
    async with wrong.worker(queues=["default", "wait"]):
        await seen(handle, lambda snapshot: snapshot.status.type == "stopped")
    async with right.worker(queues=["default", "wait"]):
        assert await handle.result() == "hello"


async def say(text: str) -> str:
    return text


async def wait() -> None: ...


def _actions(manager: WorkflowManager) -> tuple[AsyncAction[[str], str], AsyncAction[[], None]]:
    return manager.action(name="say", retry=True)(say), manager.action(name="wait", queue="wait", retry=True)(wait)


async def test_a_mutation_that_may_not_touch_a_key_fails_at_once_and_says_so(
    managers: Managers, server_url: str, embedded_server: EmbeddedServer
) -> None:
    rules = b"ACL SETUSER limited on >secret ~{default:*}* ~default:* &* +@all"
    assert ask(embedded_server.socket, rules) == b"+OK"
    try:
        manager = managers(server_url.replace("unix://", "unix://limited:secret@"), partitions=1)

        @manager.mutation(name="reach_out", retry=RetryPolicy(max_attempts=1))
        async def reach_out(tx: Transaction) -> None:
            tx.incr("elsewhere")

        @manager.workflow(name="flow")
        async def flow(step: Step) -> None:
            await step.run_mutation(reach_out)

        async with manager.worker():
            handle = await manager.start(flow)
            with pytest.raises(WorkflowFailed, match="NOPERM"):
                await handle.result()
        (step,) = await handle.steps()
        assert step.attempt == 1
    finally:
        ask(embedded_server.socket, b"ACL DELUSER limited")
