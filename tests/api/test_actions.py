"""Actions: retries, timeouts, threads, what a step knows of itself, and options of one call."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

import pytest

from actors import (
    CallNotAllowed,
    InvalidArguments,
    NonRetryable,
    RetryAfter,
    RetryPolicy,
    Step,
    StepFailed,
    Transaction,
    WorkflowManager,
    current_step,
)
from kernel import ServerRefused
from tests.api.watching import Managers, running, seen

QUICK = RetryPolicy(max_attempts=3, initial_backoff=0.01, jitter=False)


async def test_a_failed_attempt_is_tried_again_and_the_attempts_are_listed(manager: WorkflowManager) -> None:
    @manager.action(name="flaky", retry=QUICK)
    async def flaky() -> int:
        if current_step().attempt < 3:
            raise ValueError(f"attempt {current_step().attempt}")
        return current_step().attempt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(flaky)

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.result() == 3
        (view,) = await handle.steps()
        assert (view.attempt, [a.error.message for a in view.attempts]) == (3, ["attempt 1", "attempt 2"])


async def test_the_last_attempt_s_error_is_final_and_says_how_many_there_were(manager: WorkflowManager) -> None:
    @manager.action(name="broken", retry=QUICK)
    async def broken() -> None:
        raise ValueError("no")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        try:
            await step.run_action(broken)
        except StepFailed as error:
            return error.attempts
        return 0

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 3


async def test_without_retry_the_first_error_is_final(manager: WorkflowManager) -> None:
    @manager.action(name="broken")
    async def broken() -> None:
        raise ValueError("no")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        try:
            await step.run_action(broken)
        except StepFailed as error:
            return error.attempts
        return 0

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 1


async def test_non_retryable_ends_the_attempts(manager: WorkflowManager) -> None:
    @manager.action(name="broken", retry=QUICK)
    async def broken() -> None:
        raise NonRetryable("wrong card")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        try:
            await step.run_action(broken)
        except StepFailed as error:
            return error.attempts if error.message == "wrong card" else 0
        return 0

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 1


async def test_retry_after_dictates_the_delay(manager: WorkflowManager) -> None:
    @manager.action(name="busy", retry=RetryPolicy(max_attempts=2, initial_backoff=3600))
    async def busy() -> int:
        if current_step().attempt == 1:
            raise RetryAfter(0.05)
        return current_step().attempt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(busy)

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.result() == 2
        (view,) = await handle.steps()
        assert view.started is not None
        assert view.started - view.attempts[0].finished >= timedelta(seconds=0.045)


async def test_a_timed_out_attempt_is_retried_by_its_policy(manager: WorkflowManager) -> None:
    @manager.action(name="slow", timeout=0.05, retry=QUICK)
    async def slow() -> int:
        if current_step().attempt == 1:
            await asyncio.Event().wait()
        assert current_step().deadline is not None
        return current_step().attempt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(slow)

    async with manager.worker():
        assert await (await manager.start(flow)).result() == 2


async def test_a_plain_function_runs_in_a_thread_beside_the_loop(manager: WorkflowManager) -> None:
    main = threading.current_thread().name

    @manager.action(name="threaded")
    def threaded(x: int) -> tuple[int, str, int]:
        return x * 2, threading.current_thread().name, current_step().seq

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[int, str, int]:
        return await step.run_action(threaded, 21)

    async with manager.worker():
        value, thread, seq = await (await manager.start(flow)).result()
    assert (value, seq) == (42, 1)
    assert thread != main


async def test_whatever_a_thread_raises_is_the_step_s_failure(manager: WorkflowManager) -> None:
    @manager.action(name="exhausted")
    def exhausted() -> int:
        nothing: list[int] = []
        return next(iter(nothing))

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(exhausted)
        except StepFailed as error:
            return error.message
        return ""

    async with manager.worker():
        assert "StopIteration" in await (await manager.start(flow)).result()


async def test_a_thread_sees_that_its_step_was_canceled(manager: WorkflowManager) -> None:
    seen_flag, up = threading.Event(), threading.Event()

    @manager.action(name="patient")
    def patient() -> None:
        up.set()
        while not current_step().canceled:
            threading.Event().wait(0.005)
        seen_flag.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(patient)

    async with manager.worker():
        handle = await manager.start(flow)
        await asyncio.to_thread(up.wait, 5)
        await handle.cancel()
        assert await asyncio.to_thread(seen_flag.wait, 1)


async def test_the_idempotency_key_is_the_same_for_all_attempts_and_for_no_other_step(
    manager: WorkflowManager,
) -> None:
    keys: list[str] = []

    @manager.action(name="charge", retry=QUICK)
    async def charge() -> None:
        keys.append(current_step().idempotency_key)
        if current_step().attempt < 3:
            raise ValueError

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(charge)
        await step.run_action(charge)

    async with manager.worker():
        await (await manager.start(flow)).result()
        await (await manager.start(flow)).result()
    assert len(keys) == 12
    assert len(set(keys)) == 4
    assert len(set(keys[:3])) == 1


async def test_what_a_heartbeat_leaves_reaches_the_next_attempt(manager: WorkflowManager) -> None:
    @manager.action(name="copy", retry=QUICK)
    async def copy() -> list[object]:
        step = current_step()
        if step.attempt == 1:
            assert step.details is None
            await step.heartbeat({"rows": 5, "at": datetime(2024, 5, 6, tzinfo=UTC)})
            raise ValueError
        if step.attempt == 2:
            await step.heartbeat()
            raise ValueError
        return [step.details, step.workflow_id, step.seq]

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[object]:
        return await step.run_action(copy)

    async with manager.worker():
        result = await (await manager.start(flow.with_options(id="x"))).result()
    assert result == [{"rows": 5, "at": datetime(2024, 5, 6, tzinfo=UTC)}, "x", 1]


async def test_outside_a_step_there_is_no_current_step(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        await step.run_action(act)
        try:
            current_step()
        except CallNotAllowed as error:
            return str(error)
        return ""

    with pytest.raises(CallNotAllowed):
        current_step()
    async with manager.worker():
        assert "outside a step" in await (await manager.start(flow)).result()


async def test_what_one_step_sets_in_its_context_no_other_step_sees(manager: WorkflowManager) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")

    @manager.action(name="log in")
    async def log_in() -> str:
        before = user.get()
        user.set("bob")
        return before

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        return [await step.run_action(log_in) for _ in range(3)]

    async with manager.worker():
        assert await (await manager.start(flow)).result() == ["nobody"] * 3


async def test_errors_of_the_kernel_raised_by_a_step_s_own_code_are_its_failure(manager: WorkflowManager) -> None:
    @manager.action(name="unlucky")
    async def unlucky() -> None:
        raise ServerRefused("GET", "WRONGTYPE of another server")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(unlucky)
        except StepFailed as error:
            return error.error_type
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=2) == "ServerRefused"


class Stop(BaseException):
    """An error that is no Exception."""


@pytest.mark.parametrize("retry", [False, RetryPolicy(max_attempts=2, initial_backoff=0.01)])
@pytest.mark.parametrize("kind", ["action", "thread", "mutation", "query", "inline"])
@pytest.mark.parametrize("how", ["stop", "exit"])
async def test_what_is_no_exception_fails_the_step_for_good_and_the_worker_goes_on(
    manager: WorkflowManager, how: str, kind: str, retry: RetryPolicy | bool
) -> None:
    calls: list[int] = []

    def leave() -> None:
        calls.append(1)
        if how == "exit":
            sys.exit(3)
        raise Stop("enough")

    @manager.action(name="action", retry=retry)
    async def action() -> None:
        leave()

    @manager.action(name="thread", retry=retry)
    def thread() -> None:
        leave()

    @manager.mutation(name="mutation", retry=retry)
    async def mutation(tx: Transaction) -> None:
        leave()

    @manager.query(name="query", retry=retry)
    async def query(tx: Transaction) -> None:
        leave()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        asked = {
            "action": lambda: step.run_action(action),
            "thread": lambda: step.run_action(thread),
            "mutation": lambda: step.run_mutation(mutation),
            "query": lambda: step.run_query(query),
            "inline": lambda: step.run_mutation(mutation.with_options(inline=True)),
        }
        try:
            await asked[kind]()
        except StepFailed as error:
            return f"{type(error).__name__}: {error}"
        return "done"

    async with manager.worker():
        said = await (await manager.start(flow)).result(timeout=5)
    assert said == ("StepFailed: SystemExit: 3" if how == "exit" else "StepFailed: Stop: enough")
    assert len(calls) == 1


async def test_what_is_no_exception_is_tried_again_if_the_policy_names_it(manager: WorkflowManager) -> None:
    @manager.action(name="action", retry=RetryPolicy(max_attempts=2, initial_backoff=0.01, retry_on=(Stop,)))
    async def action() -> int:
        if current_step().attempt == 1:
            raise Stop
        return current_step().attempt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(action)

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5) == 2


async def test_a_thread_that_raises_keyboard_interrupt_interrupts_nobody_else(manager: WorkflowManager) -> None:
    @manager.action(name="action")
    def action() -> None:
        raise KeyboardInterrupt

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(action)
        except StepFailed as error:
            return error.error_type
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5) == "KeyboardInterrupt"


async def test_a_cancellation_that_a_step_s_own_code_raises_is_its_failure(manager: WorkflowManager) -> None:
    @manager.action(name="unlucky")
    async def unlucky() -> None:
        raise asyncio.CancelledError

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(unlucky)
        except StepFailed as error:
            return error.error_type
        return ""

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=2) == "CancelledError"


async def test_an_async_action_called_directly_is_a_step_and_others_say_what_to_write(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="add")
    async def add(a: int, *, b: int) -> int:
        return a + b

    @manager.action(name="threaded")
    def threaded(a: int) -> int:
        return a

    @manager.workflow(name="inner")
    async def inner(step: Step, x: int) -> int:
        return await add(x, b=1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> tuple[int, str]:
        try:
            threaded(1)
        except CallNotAllowed as error:
            advice = str(error)
        else:
            advice = ""
        return await add(1, b=2) + await inner(step, 10), advice

    assert await add(1, b=2) == 3, "an ordinary call outside of workflows"
    async with manager.worker():
        handle = await manager.start(flow)
        total, advice = await handle.result()
        assert total == 14
        assert "await step.run_action(threaded" in advice
        assert [(view.name, view.result) for view in await handle.steps()] == [("add", 3), ("add", 11)]


async def test_wrong_arguments_of_a_step_are_refused_at_the_call_and_no_step_is_asked_for(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="add")
    async def add(a: int) -> int:
        return a

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(add, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        except InvalidArguments as error:
            return str(error)
        return ""

    async with manager.worker():
        handle = await manager.start(flow)
        assert "a:" in await handle.result()
        assert await handle.steps() == []


async def test_the_attempt_of_a_running_step_is_shown(managers: Managers) -> None:
    manager, go = managers(), asyncio.Event()

    @manager.action(name="flaky", retry=QUICK)
    async def flaky() -> None:
        if current_step().attempt == 1:
            raise ValueError
        await go.wait()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(flaky)

    async with manager.worker(grace=0):
        handle = await manager.start(flow)
        snapshot = await seen(handle, lambda snapshot: running("flaky")(snapshot) and snapshot.steps[0].attempt == 2)
        assert (snapshot.id, len(snapshot.steps[0].attempts)) == (handle.id, 1)
        go.set()
        await handle.result()
