from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from actors import InvalidReturn, Misuse, RetryPolicy, Step, StepFailed, Transaction, WorkflowFailed, WorkflowManager
from actors.testing import Call, WorkflowTester


class Stop(BaseException):
    """An error that is no Exception."""


async def test_a_value_an_error_or_a_function_stands_in_for_a_step(manager: WorkflowManager) -> None:
    @manager.action
    async def charge(card: str, *, cents: int) -> str:
        raise AssertionError("the real one ran")

    @manager.workflow
    async def pay(step: Step, cents: int) -> str:
        try:
            return await step.run_action(charge, "4242", cents=cents)
        except StepFailed as error:
            return f"{error.error_type}: {error.message}"

    def at_once(card: str, cents: int) -> str:
        return f"{card}: {cents}"

    async def charged(card: str, *, cents: int) -> str:
        return f"{cents} from {card}"

    async with WorkflowTester(manager) as tester:
        outcomes: list[tuple[object, str]] = [
            ("receipt", "receipt"),
            (ConnectionError("down"), "ConnectionError: down"),
            (ConnectionError, "ConnectionError: "),
            (at_once, "4242: 5"),
            (charged, "5 from 4242"),
        ]
        for outcome, result in outcomes:
            fake = tester.fake(charge, outcome)
            assert await (await tester.start(pay, 5)).result() == result
            assert fake.calls == [Call(("4242",), {"cents": 5})]


async def test_each_attempt_takes_the_next_outcome_and_the_last_one_stays(manager: WorkflowManager) -> None:
    @manager.action(retry=RetryPolicy(max_attempts=5, initial_backoff=3600))
    async def ask() -> int:
        return 0

    @manager.workflow
    async def twice(step: Step) -> list[int]:
        return [await step.run_action(ask), await step.run_action(ask)]

    async with WorkflowTester(manager) as tester:
        fake = tester.fake(ask, TimeoutError("1"), TimeoutError("2"), 7)
        handle = await tester.start(twice)
        assert await handle.result() == [7, 7]
        assert len(fake.calls) == 4
        assert [step.attempt for step in await handle.steps()] == [3, 1]


async def test_queries_and_mutations_are_faked_without_their_transaction(manager: WorkflowManager) -> None:
    @manager.query
    async def stock(tx: Transaction, item: str) -> int:
        return int(await tx.get(f"stock:{item}") or 0)

    @manager.mutation
    async def fill(tx: Transaction, item: str, count: int) -> None:
        tx.incrby(f"stock:{item}", count)

    @manager.workflow
    async def order(step: Step) -> list[int]:
        await step.run_mutation(fill, "lamp", 2)
        return [await step.run_query(stock, "lamp"), await step.run_query(stock, "desk")]

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(order)).result() == [2, 0]
        tester.fake(stock, len)
        filled = tester.fake(fill, None)
        assert await (await tester.start(order)).result() == [4, 4]
        assert filled.calls == [Call(("lamp", 2), {})]


async def test_what_a_fake_returns_is_validated_as_the_steps_own_results_are(manager: WorkflowManager) -> None:
    @manager.action
    def count() -> int:
        return 1

    @manager.workflow
    async def counting(step: Step) -> str:
        try:
            return str(await step.run_action(count))
        except InvalidReturn:
            return "invalid"

    async with WorkflowTester(manager) as tester:
        tester.fake(count, "many")
        assert await (await tester.start(counting)).result() == "invalid"


async def test_what_pytest_raises_in_a_fake_is_the_test_s_own_outcome_whatever_the_workflow_makes_of_it(
    manager: WorkflowManager, caplog: pytest.LogCaptureFixture
) -> None:
    @manager.action(retry=True)
    async def charge() -> str:
        return "receipt"

    @manager.workflow
    async def careful(step: Step) -> str:
        try:
            return await step.run_action(charge)
        except StepFailed as error:
            return error.error_type

    @manager.workflow
    async def waiting(step: Step) -> None:
        await careful(step)
        await step.await_event("never")

    @manager.workflow
    async def careless(step: Step) -> str:
        return await step.run_action(charge)

    def refuse() -> str:
        pytest.fail("must not be charged")

    for workflow in (careful, waiting, careless):
        with pytest.raises(pytest.fail.Exception, match="must not be charged"):
            run_apart(manager, workflow, refuse, charge)

    async def unawaited() -> None:
        async with WorkflowTester(manager) as tester:
            fake = tester.fake(charge, refuse)
            await tester.start(careful)
            await tester.settle()
            assert len(fake.calls) == 1

    with pytest.raises(pytest.fail.Exception, match="must not be charged"):
        await unawaited()
    gc.collect()
    assert "never retrieved" not in caplog.text


def run_apart(manager: WorkflowManager, workflow: Any, fake: Any, step: Any) -> None:  # noqa: ANN401 - whatever
    def alone() -> None:
        tester = WorkflowTester(manager)
        tester.fake(step, fake)
        tester.run(workflow)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(alone).result()


@pytest.mark.parametrize("outcome", [SystemExit(3), Stop("enough"), Stop])
async def test_a_fake_may_raise_what_is_no_exception(manager: WorkflowManager, outcome: object) -> None:
    @manager.action
    async def charge() -> str:
        return "receipt"

    @manager.workflow
    async def careful(step: Step) -> str:
        try:
            return await step.run_action(charge)
        except StepFailed as error:
            return error.error_type

    async with WorkflowTester(manager) as tester:
        tester.fake(charge, outcome)
        assert await (await tester.start(careful)).result() in {"SystemExit", "Stop"}


async def test_only_steps_can_be_faked(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None: ...

    @manager.action
    async def act() -> None: ...

    tester = WorkflowTester(manager)
    with pytest.raises(Misuse, match="give a query, a mutation or an action"):
        tester.fake(flow, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Misuse, match="a function, a value or an exception"):
        tester.fake(act)


async def test_a_fake_ends_with_its_tester(manager: WorkflowManager) -> None:
    @manager.action
    async def act() -> str:
        return "real"

    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.run_action(act)

    async with WorkflowTester(manager) as tester:
        tester.fake(act, ValueError("fake"))
        with pytest.raises(WorkflowFailed, match="fake"):
            await (await tester.start(flow)).result()
    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(flow)).result() == "real"
