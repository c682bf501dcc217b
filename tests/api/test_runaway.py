"""Steps whose own code raises what else comes from outside: that is their outcome, and they do not run for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors import RetryPolicy, Step, StepFailed, Transaction, WorkflowHandle, WorkflowManager
from actors.definitions import Workflow
from actors.servers import Worker
from actors.servers import worker as worker_module
from kernel import ServerRefused
from tests.api.watching import Managers

TWICE = RetryPolicy(max_attempts=2, initial_backoff=0.01, retry_on=(GeneratorExit, CancelledError))
KINDS = ["action", "timed", "mutation", "query", "inline"]


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def _exits() -> None:
    raise GeneratorExit


async def _exits_after_an_await() -> None:
    await asyncio.sleep(0)
    raise GeneratorExit


async def _cancels() -> None:
    _task().cancel()
    await asyncio.sleep(0)


async def _is_cancelled_by_what_it_began() -> None:
    asyncio.get_running_loop().call_soon(_task().cancel)
    await asyncio.Event().wait()


async def _cancels_as_often_as_it_is_cancelled() -> None:
    try:
        await _cancels()
    finally:
        _task().cancel()
        _task().cancel()


class Runs:
    """A workflow with one step that does something, and how often it did."""

    def __init__(self, manager: WorkflowManager, act: Callable[[], Awaitable[object]]) -> None:
        self.count = 0

        async def run() -> object:
            self.count += 1
            return await act()

        @manager.action(name="action", retry=TWICE)
        async def action() -> object:
            return await run()

        @manager.mutation(name="mutation", retry=TWICE)
        async def mutation(tx: Transaction) -> object:
            tx.set("{tag}:wrote", b"1")
            return await run()

        @manager.query(name="query", retry=TWICE)
        async def query(tx: Transaction) -> object:
            return await run()

        @manager.workflow(name="flow")
        async def flow(step: Step, kind: str) -> str:
            asked = {
                "action": lambda: step.run_action(action),
                "timed": lambda: step.run_action(action.with_options(timeout=60)),
                "mutation": lambda: step.run_mutation(mutation),
                "query": lambda: step.run_query(query),
                "inline": lambda: step.run_mutation(mutation.with_options(inline=True)),
            }
            try:
                return str(await asked[kind]())
            except StepFailed as error:
                return f"{error.error_type} after {error.attempts}"

        self.flow: Workflow[[str], str] = flow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", [_exits, _exits_after_an_await])
async def test_a_generator_exit_that_a_step_raises_is_an_attempt_that_failed(
    manager: WorkflowManager, act: Callable[[], Awaitable[object]], kind: str
) -> None:
    runs = Runs(manager, act)
    async with manager.worker():
        assert await (await manager.start(runs.flow, kind)).result(timeout=5) == "GeneratorExit after 2"
    assert runs.count == 2


async def test_that_holds_too_once_the_audit_was_interrupted(manager: WorkflowManager) -> None:
    runs = Runs(manager, _cancels)
    async with manager.worker() as worker:
        auditor = worker.host.auditor
        audit, again = auditor.audit, asyncio.Event()

        async def refused() -> None:
            auditor.audit = heard  # type: ignore[method-assign]
            raise ServerRefused("held_by", "NOPERM no right for it")

        async def heard() -> None:
            again.set()
            await audit()

        auditor.audit = refused  # type: ignore[method-assign]
        with capture_logs() as logs:
            while not again.is_set():
                auditor.soon()
                await asyncio.sleep(0.01)
        (told,) = [one for one in logs if one.get("server") == "auditor"]
        assert (told["log_level"], "NOPERM" in told["error"]) == ("warning", True)
        assert not auditor.is_ending
        assert await (await manager.start(runs.flow, "action")).result(timeout=5) == "CancelledError after 2"
    assert runs.count == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", [_cancels, _is_cancelled_by_what_it_began, _cancels_as_often_as_it_is_cancelled])
async def test_a_step_that_cancels_its_own_task_is_an_attempt_that_failed(
    manager: WorkflowManager, act: Callable[[], Awaitable[object]], kind: str
) -> None:
    runs = Runs(manager, act)
    async with manager.worker():
        assert await (await manager.start(runs.flow, kind)).result(timeout=5) == "CancelledError after 2"
    assert runs.count == 2


@pytest.mark.parametrize("error", [GeneratorExit, CancelledError, concurrent.futures.CancelledError])
async def test_the_same_of_a_thread_is_an_attempt_that_failed(
    manager: WorkflowManager, error: type[BaseException]
) -> None:
    runs: list[int] = []

    @manager.action(name="thread", retry=TWICE)
    def thread() -> None:
        runs.append(1)
        raise error

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(thread)
        except StepFailed as failed:
            return f"{failed.error_type} after {failed.attempts}"
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5) == f"{error.__name__} after 2"
    assert len(runs) == 2


@pytest.mark.parametrize("kind", ["action", "timed", "query"])
async def test_what_a_step_returns_though_it_cancelled_its_own_task_is_recorded(
    manager: WorkflowManager, kind: str
) -> None:
    async def act() -> str:
        _task().cancel()
        return "kept"

    runs = Runs(manager, act)
    async with manager.worker():
        assert await (await manager.start(runs.flow, kind)).result(timeout=5) == "kept"
    assert runs.count == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_step_left_behind_does_not_keep_its_outcome_from_being_recorded(
    manager: WorkflowManager, *, fails: bool
) -> None:
    left: list[asyncio.Task[None]] = []

    async def cancel_for_ever(task: asyncio.Task[Any]) -> None:
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)

    async def act() -> str:
        left.append(asyncio.create_task(cancel_for_ever(_task())))
        if fails:
            raise GeneratorExit
        return "kept"

    runs = Runs(manager, act)
    async with manager.worker():
        said = await (await manager.start(runs.flow, "action")).result(timeout=5)
    assert said == ("GeneratorExit after 2" if fails else "kept")
    assert runs.count == len(left) == (2 if fails else 1)
    await asyncio.wait(left)


async def test_a_step_that_cancels_its_own_task_while_its_worker_drains_is_an_attempt_that_failed(
    manager: WorkflowManager,
) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        began.set()
        await go.wait()
        await _cancels()

    runs = Runs(manager, act)
    async with manager.worker() as worker:
        handle = await manager.start(runs.flow, "action")
        await began.wait()
        stopping = asyncio.create_task(worker.stop(grace_s=10))
        while not worker.host.hands.closed:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
        go.set()
        await stopping
        (view,) = await handle.steps()
        assert [attempt.error.error_type for attempt in view.attempts] == ["CancelledError"]


class Hanging(Runs):
    """The first time it runs it hangs until something is thrown at it."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.began = asyncio.Event()
        self.thrown: list[BaseException] = []
        super().__init__(manager, self._hang)

    async def _hang(self) -> str:
        if self.count > 1:
            return "done"
        self.began.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.thrown.append(error)
            raise
        return "never"


def _close_the_step(worker: Worker) -> None:
    """Do what happens to a coroutine that nobody refers to any more."""
    (task,) = worker.host.hands.held.values()
    assert task is not None
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()


@pytest.mark.parametrize("while_a_loop_runs", [False, True])
def test_a_step_that_is_closed_from_outside_has_not_failed(
    runner: asyncio.Runner, manager: WorkflowManager, *, while_a_loop_runs: bool
) -> None:
    runs = Hanging(manager)
    working = manager.worker()

    async def begin() -> tuple[Worker, WorkflowHandle[str]]:
        worker = await working.__aenter__()
        handle = await manager.start(runs.flow, "action")
        await runs.began.wait()
        if while_a_loop_runs:
            _close_the_step(worker)
        return worker, handle

    async def end() -> str:
        worker.host.auditor.soon()
        result = await handle.result(timeout=5)
        (view,) = await handle.steps()
        assert (view.attempt, view.attempts) == (1, ())
        await working.__aexit__(None, None, None)
        return result

    worker, handle = runner.run(begin())
    if not while_a_loop_runs:
        _close_the_step(worker)
    assert [type(error) for error in runs.thrown] == [GeneratorExit]
    assert runner.run(end()) == "done"
    assert runs.count == 2


def test_a_step_that_is_cancelled_with_all_else_since_its_loop_ends_has_not_failed(
    runner: asyncio.Runner, managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "LEAVE_S_MAX", 0.05)  # it leaves when nothing can answer it any more
    first, second = managers(worker_timeout=60), managers()
    runs, working = Hanging(first), first.worker()

    async def begin() -> None:
        await working.__aenter__()
        await first.start(runs.flow.with_options(id="one"), "action")
        await runs.began.wait()

    async def end(tasks: set[asyncio.Task[Any]]) -> None:
        _, going_on = await asyncio.wait(tasks, timeout=2)
        assert not going_on
        assert [type(error) for error in runs.thrown] == [CancelledError]
        (view,) = await second.handle("one").steps()
        assert (view.state, view.attempt, view.attempts) == ("running", 1, ())
        await working.__aexit__(None, None, None)

    runner.run(begin())
    tasks = asyncio.all_tasks(runner.get_loop())
    for task in tasks:
        task.cancel()  # as asyncio.run does at its end
    runner.run(end(tasks))
