"""A step that kills its worker is found out and set aside; what is beside it, and what was only drained, is not."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from actors import (
    DeadLetterNotFound,
    DeadLetterStale,
    OutcomeUnknown,
    RetryPolicy,
    Step,
    StepFailed,
    Transaction,
    WorkerDied,
    WorkflowFailed,
    WorkflowManager,
    WorkflowRunning,
)
from actors.names import new_worker_name, worker_name
from actors.servers import Worker
from actors.servers.reaper import Reaper
from tests.api.watching import in_state, seen

DEATHS_MAX = 3
ME = f"process {os.getpid()} on {new_worker_name(host=socket.gethostname(), pid=1, nonce=0).partition('_')[0]}"


class Toxic:
    """What kills the worker that runs it, as far as a test can see: it never returns, and then the worker is killed."""

    def __init__(self) -> None:
        self.runs = 0
        self.mended = False
        self.running = asyncio.Event()
        self._dead = ""

    async def run(self) -> None:
        self.runs += 1
        if not self.mended:
            self.running.set()
            await asyncio.Event().wait()

    @asynccontextmanager
    async def worker(self, manager: WorkflowManager) -> AsyncGenerator[Worker]:
        """Run a worker that takes over from the last one that died, at once and not after the timeout."""
        async with manager.worker() as worker:
            dead, self._dead = self._dead, ""
            if dead:
                reaper = next(server for server in worker._servers if isinstance(server, Reaper))
                await worker.host.store.custody.fence(dead, "")
                await reaper.take_over(dead)
            yield worker

    async def kill_a_worker(self, manager: WorkflowManager) -> str:
        """Let a worker run it and die; return the worker's name."""
        self.running.clear()
        async with self.worker(manager) as victim:
            await self.running.wait()
            await victim.kill()
            self._dead = victim.incarnation
            return victim.incarnation


async def test_the_message_the_step_and_the_dead_letter_name_the_last_worker(manager: WorkflowManager) -> None:
    toxic = Toxic()

    @manager.action(name="poison", retry=RetryPolicy(max_attempts=2))
    async def poison() -> None:
        await toxic.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(poison)

    handle = await manager.start(flow.with_options(id="i"))
    workers = [await toxic.kill_a_worker(manager) for _ in range(DEATHS_MAX)]
    async with toxic.worker(manager):
        with pytest.raises(WorkflowFailed, match=f"its worker died 3 times, the last was {ME}"):
            await handle.result()
        (view,) = await handle.steps()
        (letter,) = (await manager.dead.list()).items
    assert toxic.runs == DEATHS_MAX, "no crash loop"
    assert view.error is not None
    died = view.error.to_exception()
    assert isinstance(died, WorkerDied)
    assert "attempts" not in str(died), "a death is no attempt"
    assert (view.attempt, view.attempts, view.worker) == (1, (), workers[-1]), "no retry was used up"
    assert (letter.workflow_id, letter.seq, letter.step, letter.worker) == ("i", 1, "poison", workers[-1])
    assert letter.reason == f"its worker died 3 times, the last was {ME}"


async def test_a_step_that_was_set_aside_is_requeued_when_it_is_mended(manager: WorkflowManager) -> None:
    toxic = Toxic()

    @manager.action(name="poison", retry=True)
    async def poison() -> None:
        await toxic.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        await step.run_action(poison)
        return "done"

    handle = await manager.start(flow.with_options(id="i"))
    for _ in range(DEATHS_MAX):
        await toxic.kill_a_worker(manager)
    async with toxic.worker(manager):
        with pytest.raises(WorkflowFailed):
            await handle.result()
        (letter,) = (await manager.dead.list()).items
        toxic.mended = True
        await manager.dead.requeue(letter.id)
        assert await handle.result() == "done"
        assert (await manager.dead.list()).items == ()
        with pytest.raises(DeadLetterNotFound, match="headrace dead list"):
            await manager.dead.requeue(letter.id)


async def test_what_cannot_be_requeued_says_why(manager: WorkflowManager) -> None:
    toxic = Toxic()

    @manager.action(name="poison", retry=True)
    async def poison() -> None:
        await toxic.run()

    @manager.workflow(name="tolerant")
    async def tolerant(step: Step) -> None:
        try:
            await step.run_action(poison)
        except WorkerDied:
            await step.await_event("go")

    handle = await manager.start(tolerant.with_options(id="i"))
    for _ in range(DEATHS_MAX):
        await toxic.kill_a_worker(manager)
    async with toxic.worker(manager):
        await seen(handle, in_state("go", "waiting"))
        letters = (await manager.dead.list()).items
        with pytest.raises(WorkflowRunning, match="has not ended"):
            await manager.dead.requeue(letters[0].id)
        await handle.send_event("go")
        await handle.result()
        toxic.mended = True
        await handle.restart(from_step=1)
        with pytest.raises(DeadLetterStale, match="began anew"):
            await manager.dead.requeue(letters[0].id)
        assert await manager.dead.drop(letters[0].id)
        assert not await manager.dead.drop(letters[0].id)


async def test_deaths_use_up_no_retries(manager: WorkflowManager) -> None:
    toxic = Toxic()

    @manager.action(name="unlucky", retry=RetryPolicy(max_attempts=2, initial_backoff=0.001))
    async def unlucky() -> int:
        await toxic.run()
        if toxic.runs == DEATHS_MAX:
            raise ValueError("once more")
        return toxic.runs

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(unlucky)

    handle = await manager.start(flow)
    for _ in range(DEATHS_MAX - 1):
        await toxic.kill_a_worker(manager)
    toxic.mended = True
    async with toxic.worker(manager):
        assert await handle.result() == DEATHS_MAX + 1
        (view,) = await handle.steps()
    assert (view.attempt, [one.error.error_type for one in view.attempts]) == (2, ["ValueError"])


async def test_an_at_most_once_action_is_not_run_again_and_is_not_convicted(manager: WorkflowManager) -> None:
    toxic = Toxic()

    @manager.action(name="charge", retry=False)
    async def charge() -> None:
        await toxic.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(charge)
        except OutcomeUnknown:
            return "unknown"
        return ""

    handle = await manager.start(flow)
    await toxic.kill_a_worker(manager)
    async with toxic.worker(manager):
        assert await handle.result() == "unknown"
    assert toxic.runs == 1
    assert (await manager.dead.list()).items == ()


@pytest.mark.parametrize("kind", ["query", "mutation"])
async def test_a_query_and_a_mutation_that_kill_workers_are_set_aside_too(manager: WorkflowManager, kind: str) -> None:
    toxic = Toxic()

    @manager.query(name="asks")
    async def asks(_tx: Transaction) -> None:
        await toxic.run()

    @manager.mutation(name="writes")
    async def writes(tx: Transaction) -> None:
        tx.incr("total")
        await toxic.run()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await (step.run_query(asks) if kind == "query" else step.run_mutation(writes))
        except StepFailed as error:
            return type(error).__name__
        return ""

    handle = await manager.start(flow)
    for _ in range(DEATHS_MAX):
        await toxic.kill_a_worker(manager)
    async with toxic.worker(manager):
        assert await handle.result() == "WorkerDied"
    assert [letter.step for letter in (await manager.dead.list()).items] == ["asks" if kind == "query" else "writes"]
    assert await (await manager.store()).space.send("total", "GET", "total") is None


async def test_the_innocent_beside_it_are_unharmed(manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.servers.runner.DECLINE_MS", 20)
    toxic, beside = Toxic(), Toxic()

    @manager.action(name="poison", retry=True)
    async def poison() -> None:
        await toxic.run()

    @manager.action(name="slow", retry=True)
    async def slow(i: int) -> int:
        await beside.run()
        return i

    @manager.workflow(name="guilty")
    async def guilty(step: Step) -> None:
        await step.run_action(poison)

    @manager.workflow(name="innocent")
    async def innocent(step: Step, i: int) -> int:
        return await step.run_action(slow, i)

    others = await manager.start_many(innocent.bind(i) for i in range(6))
    handle = await manager.start(guilty)
    for death in range(DEATHS_MAX):
        beside.mended = death == DEATHS_MAX - 1  # by then what was beside it twice has run alone
        await toxic.kill_a_worker(manager)
    async with toxic.worker(manager):
        with pytest.raises(WorkflowFailed, match="worker died 3 times"):
            await handle.result()
        assert [await other.result() for other in others] == list(range(6))
    assert [letter.step for letter in (await manager.dead.list()).items] == ["poison"]


async def test_a_worker_that_drains_has_not_crashed(manager: WorkflowManager) -> None:
    toxic = Toxic()

    @manager.action(name="long", retry=RetryPolicy(max_attempts=2))
    async def long() -> int:
        await toxic.run()
        return toxic.runs

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(long)

    handle = await manager.start(flow)
    for _ in range(DEATHS_MAX + 1):
        toxic.running.clear()
        async with manager.worker(grace=0):
            await toxic.running.wait()
    toxic.mended = True
    async with toxic.worker(manager):
        assert await handle.result() == DEATHS_MAX + 2
        (view,) = await handle.steps()
    assert (view.attempt, view.attempts) == (1, ())
    assert (await manager.dead.list()).items == ()


@pytest.mark.parametrize(
    ("host", "read"),
    [
        ("web-3.example", "process 7 on web-3.example"),
        ("odd host|{1}", "process 7 on odd-host--1-"),
        ("a_b", "process 7 on a-b"),
    ],
)
def test_a_workers_name_says_where_it_ran(host: str, read: str) -> None:
    assert worker_name(new_worker_name(host=host, pid=7, nonce=2**64 - 1)) == read


def test_a_name_of_another_form_is_shown_as_it_is() -> None:
    assert worker_name("8f14e45fceea167a") == "8f14e45fceea167a"
