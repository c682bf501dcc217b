"""A walk through the author's interface, sentence by sentence: the tests' names are the sentences, in their order.

What type checkers must accept and reject stands in here too, as ``assert_type`` and as ignored errors: the gate runs
both checkers over this file, and an ignore that is not needed fails it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, assert_type
from uuid import UUID

import pytest
from pydantic import Field, TypeAdapter
from structlog.testing import capture_logs

from actors import (
    CallNotAllowed,
    Canceled,
    Completed,
    DeterminismViolation,
    DuplicateDefinition,
    EventFailed,
    Failed,
    InProgress,
    InvalidArguments,
    InvalidOption,
    InvalidReturn,
    MutationBroken,
    NonRetryable,
    OutcomeUnknown,
    PayloadTooLarge,
    ReadOnly,
    Result,
    RetryAfter,
    RetryPolicy,
    Scheduled,
    Status,
    Step,
    StepCanceled,
    StepFailed,
    StepFuture,
    StepTimedOut,
    Stopped,
    Transaction,
    UpdateFailed,
    WorkerDied,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowHandle,
    WorkflowManager,
    WorkflowNotFound,
    Workpool,
    current_step,
)
from actors.testing import WorkflowTester, replay_history
from actors.transaction import ReadAfterWrite, WrongSlot
from kernel import InvalidUrl
from tests.api.shop import (
    CART,
    START,
    Address,
    Approval,
    Cart,
    Colour,
    Receipt,
    Till,
    add,
    add_and_hang,
    approval,
    caught,
    charge,
    checkout,
    doze,
    echo,
    fail,
    failing,
    failure_of,
    flaky,
    hang,
    hanging,
    load_cart,
    lose_worker,
    nap,
    notify,
    release,
    rerun,
    reserve,
    reset_till,
    run,
    same_bytes,
    same_dataclass,
    same_datetime,
    same_enum,
    same_json,
    same_model,
    same_set,
    same_text,
    same_uuid,
    slow,
    stamp,
    started,
    steps_of,
    stocked,
    stored,
    total,
    transaction,
    untidy,
    weigh,
)
from tests.api.watching import Managers, in_state, seen

DAY = timedelta(days=1)


@pytest.fixture
def manager(managers: Managers) -> WorkflowManager:
    """A manager of the shop. Its own Redis is asked only by tests that need real time."""
    return stocked(managers())


@pytest.fixture(autouse=True)
def till(runner: asyncio.Runner) -> Till:
    return reset_till()


# ------------------------------------------------------------------------------------------------------ all of it


async def test_run_action_checks_its_arguments_against_the_action_and_returns_its_type(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> Receipt:
        with pytest.raises(InvalidArguments):
            _ = step.run_action(charge, "o-1", cents=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidArguments):
            _ = step.run_action(charge, CART)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        return assert_type(await step.run_action(charge, CART, cents=5), Receipt)

    assert await run(manager, flow) == Receipt(cart="c-1", cents=5)


async def test_durations_are_timedeltas_or_seconds(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> float:
        await step.sleep(timedelta(minutes=1))
        await step.sleep(90)
        await step.sleep(0.5)
        return (step.now() - START).total_seconds()

    assert await run(manager, flow) == 150.5


async def test_times_are_aware_datetimes(manager: WorkflowManager) -> None:
    echo.with_options(run_at=START)
    with pytest.raises(InvalidOption, match="give an aware datetime"):
        echo.with_options(run_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake


@pytest.mark.parametrize("face", [WorkflowManager, WorkflowHandle])
def test_everything_that_talks_to_redis_is_async(face: type) -> None:
    without = {"query", "mutation", "action", "workflow", "event", "create_event", "handle", "worker"}
    without |= {"get_step", "get_workflow", "has_step"}
    methods = {name: method for name, method in inspect.getmembers(face, inspect.isfunction) if name[0] != "_"}
    rest = {name for name in methods.keys() - without if not inspect.iscoroutinefunction(methods[name])}
    assert {name for name in rest if "AsyncGenerator" not in f"{inspect.signature(methods[name])}"} == set()


# ----------------------------------------------------------------------------------------------------- 1. Defining


async def test_a_checkout_of_all_kinds_of_steps_is_an_ordinary_async_function(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(checkout, "c-1")
        assert await handle.result() == Receipt(cart="c-1", cents=5)
        assert tester.now == START + timedelta(days=30, minutes=5)


async def test_an_except_around_its_steps_compensates(manager: WorkflowManager, till: Till) -> None:
    assert "declined" in (await failure_of(manager, checkout, "broke")).message
    assert till.log == ["release r-broke"]


async def test_a_query_reads_only(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[str, int]:
        error = await caught(step.run_query(untidy))
        return error.error_type, await step.run_query(total)

    assert await run(manager, flow) == ("ReadOnly", 0)


@pytest.mark.parametrize("seed", range(3))
async def test_a_mutation_s_redis_writes_happen_exactly_once(manager: WorkflowManager, seed: int) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        await asyncio.gather(*(step.run_mutation(add, 1) for _ in range(3)))
        return await step.run_query(total)

    async with WorkflowTester(manager, crash_seed=seed) as tester:
        assert await (await tester.start(flow)).result() == 3
        assert tester.crashes > 0


async def test_an_action_has_any_side_effect(manager: WorkflowManager, tmp_path: Path) -> None:
    @manager.action
    async def write(text: str) -> int:
        return await asyncio.to_thread((tmp_path / "note").write_text, text)

    @manager.workflow
    async def flow(step: Step) -> int:
        return await step.run_action(write, "done")

    assert await run(manager, flow) == 4
    assert (tmp_path / "note").read_text() == "done"


async def test_a_plain_def_runs_in_a_thread(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        return await step.run_action(weigh, CART)

    assert await run(manager, flow) != threading.get_ident()


async def test_json_like_values_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> bool:
        return await step.run_action(same_json, {"a": [1, "b", None]}) == {"a": [1, "b", None]}

    assert await rerun(manager, flow)


async def test_pydantic_models_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, cart: Cart) -> Cart:
        return await step.run_action(same_model, cart)

    assert await rerun(manager, flow, CART) == CART


async def test_dataclasses_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, address: Address) -> Address:
        return await step.run_action(same_dataclass, address)

    assert await rerun(manager, flow, Address("High Street", 7)) == Address("High Street", 7)


async def test_enums_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, colour: Colour) -> Colour:
        return await step.run_action(same_enum, colour)

    assert await rerun(manager, flow, Colour.BLUE) is Colour.BLUE


async def test_datetimes_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, at: datetime) -> datetime:
        return await step.run_action(same_datetime, at)

    at = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    assert await rerun(manager, flow, at) == at


async def test_uuids_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, key: UUID) -> UUID:
        return await step.run_action(same_uuid, key)

    assert await rerun(manager, flow, UUID(int=7)) == UUID(int=7)


async def test_bytes_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, data: bytes) -> bytes:
        return await step.run_action(same_bytes, data)

    assert await rerun(manager, flow, b"\x00\xff") == b"\x00\xff"


async def test_sets_are_arguments_and_return_values(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, tags: set[str]) -> set[str]:
        return await step.run_action(same_set, tags)

    assert await rerun(manager, flow, {"a", "b"}) == {"a", "b"}


async def test_wrong_arguments_raise_InvalidArguments_where_the_call_is_made_and_nothing_is_started(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        with pytest.raises(InvalidArguments, match="number"):
            _ = step.run_action(same_dataclass, Address("High Street", "x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert await steps_of(manager, flow) == []
    with pytest.raises(InvalidArguments, match="cart_id"):
        await manager.start(checkout.with_options(id="o-1"), 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(WorkflowNotFound):
        await manager.handle("o-1").status()


async def test_a_wrong_return_value_fails_the_step_with_InvalidReturn(manager: WorkflowManager) -> None:
    @manager.action(retry=True)
    async def wrong() -> int:
        return "many"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    @manager.workflow
    async def flow(step: Step) -> bool:
        return isinstance(await caught(step.run_action(wrong)), InvalidReturn)

    assert await run(manager, flow)


async def test_a_wrong_return_value_fails_the_workflow_with_InvalidReturn(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        return "many"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    assert (await failure_of(manager, flow)).error_type == "InvalidReturn"


async def test_decorated_functions_stay_callable_as_what_they_are_in_tests_and_ordinary_code(
    manager: WorkflowManager,
) -> None:
    assert_type(await charge(CART, cents=5), Receipt)
    assert weigh(CART) == threading.get_ident()
    tx = transaction(holds=b"7")
    assert await load_cart(tx, "c-2") == Cart(id="c-2", total=7)
    assert await reserve(tx, CART) == "r-c-1"
    assert [write[0] for write in tx.writes] == [b"SET"]


async def test_inside_a_workflow_awaiting_an_async_def_action_is_the_same_as_run_action(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> Receipt:
        return await charge(CART, cents=5)

    (view,) = await steps_of(manager, flow)
    assert (view.name, view.kind, view.arguments) == ("charge", "action", ((CART,), {"cents": 5}))


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: weigh(CART), r"await step\.run_action\(weigh, …\)"),
        (lambda: load_cart(None, "c"), r"await step\.run_query\(load_cart, …\)"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: reserve(None, CART), r"await step\.run_mutation\(reserve, …\)"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
    ids=["a plain def action", "a query", "a mutation"],
)
async def test_a_plain_def_action_a_query_or_a_mutation_called_there_raises_CallNotAllowed_with_the_line_to_write(
    manager: WorkflowManager, call: Callable[[], object], line: str
) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        with pytest.raises(CallNotAllowed, match=line):
            call()

    assert await steps_of(manager, flow) == []


async def test_awaiting_a_workflow_runs_its_code_inline_as_part_of_the_caller(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        return await echo(step, "hello")

    (view,) = await steps_of(manager, flow)
    assert (view.name, view.kind, view.result) == ("notify", "action", "hello")


def test_registered_names_default_to_the_function_s_qualified_name(manager: WorkflowManager) -> None:
    @manager.action
    async def pay() -> None: ...

    assert pay.name == f"{test_registered_names_default_to_the_function_s_qualified_name.__name__}.<locals>.pay"
    assert manager.get_step(pay.name) is pay


def test_name_pins_one(manager: WorkflowManager) -> None:
    @manager.workflow(name="billing")
    async def flow(step: Step) -> None: ...

    assert manager.get_workflow("billing") is flow


def test_two_definitions_under_one_name_and_version_are_a_DuplicateDefinition_at_import(
    manager: WorkflowManager,
) -> None:
    async def flow(step: Step) -> None: ...

    manager.workflow(name="bill", version="1")(flow)
    manager.workflow(name="bill", version="2")(flow)
    with pytest.raises(DuplicateDefinition, match="'bill'"):
        manager.workflow(name="bill", version="2")(flow)
    with pytest.raises(DuplicateDefinition, match="'notify'"):
        manager.action(name="notify")(flow)


MANAGER_DEFAULTS = {
    "url": None,
    "namespace": "default",
    "partitions": None,
    "default_retry": RetryPolicy(),
    "retry_actions_by_default": False,
    "max_parallelism": None,
    "retention": timedelta(days=7),
    "codec": None,
    "worker_timeout": 5,
    "durability": "local",
    "value_bytes_max": 2**20,
    "journal_bytes_max": 2**24,
}


@pytest.mark.parametrize("name", list(MANAGER_DEFAULTS))
def test_a_WorkflowManager_has_this_setting_with_this_default(name: str) -> None:
    default: object = inspect.signature(WorkflowManager).parameters[name].default
    if name == "default_retry":
        default = WorkflowManager("memory://").defaults.retry
    assert default == MANAGER_DEFAULTS[name]


async def test_max_parallelism_may_be_a_number(runner: asyncio.Runner) -> None:
    manager = WorkflowManager("memory://unused", max_parallelism=2)
    inside: list[int] = []

    @manager.action(name="count")
    async def count() -> int:
        inside.append(1)
        most = sum(inside)
        await asyncio.sleep(1)
        inside.append(-1)
        return most

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        return await asyncio.gather(*(step.run_action(count) for _ in range(5)))

    async with WorkflowTester(manager) as tester:
        assert max(await (await tester.start(flow)).result()) == 2


def test_durability_may_be_replicated() -> None:  # what it does: tests/durability
    assert WorkflowManager("redis://cache", durability="replicated").durability == "replicated"


def test_all_settings_but_the_url_are_keyword_only() -> None:
    _, *rest = inspect.signature(WorkflowManager).parameters.values()
    assert {parameter.kind for parameter in rest} == {inspect.Parameter.KEYWORD_ONLY}


async def test_partitions_None_is_as_recorded(managers: Managers) -> None:
    await managers(partitions=5).store()
    assert len((await managers().store()).space.keys.tags) == 5


async def test_other_partitions_than_those_recorded_are_a_clear_error(managers: Managers) -> None:
    await managers(partitions=5).store()
    with pytest.raises(Exception, match="5 partitions"):
        await managers(partitions=6).store()


@pytest.mark.server
async def test_a_new_namespace_gets_12_partitions(managers: Managers, server_url: str) -> None:
    assert len((await managers(server_url).store()).space.keys.tags) == 12


async def test_in_memory_it_gets_1(manager: WorkflowManager) -> None:
    assert len((await manager.store()).space.keys.tags) == 1


async def test_the_namespace_keeps_deployments_in_one_Redis_apart(managers: Managers) -> None:
    for namespace, text in (("one", "1"), ("two", "2")):
        await managers(namespace=namespace).start(echo.with_options(id="o-1", tags={"is": text}), text)
    assert [(item.id, item.tags) for item in (await managers(namespace="two").list()).items] == [("o-1", {"is": "2"})]


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:6379/0",
        "rediss://cache:6379/0",
        "unix:///run/redis.sock",
        "redis+sentinel://one:26379,two:26379/main",
        "redis+cluster://one:6379",
        "memory://",
    ],
)
def test_the_url_may_be(url: str) -> None:
    assert WorkflowManager(url).url == url


def test_another_url_is_refused_with_what_to_write() -> None:
    with pytest.raises(InvalidUrl, match="redis://"):
        WorkflowManager("http://cache")


async def test_memory_is_in_process_for_tests(manager: WorkflowManager, till: Till) -> None:
    async with manager.worker():
        assert await (await manager.start(echo, "hello")).result() == "hello"
    assert (await manager.store()).space.connector.is_memory


def test_the_url_None_is_HEADRACE_URL(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_URL", "redis://elsewhere:6379/3")
    assert WorkflowManager().url == "redis://elsewhere:6379/3"


STATUS_ELSEWHERE = """
import asyncio
from actors import WorkflowManager

async def main():
    async with WorkflowManager() as manager:
        print((await manager.handle("order-7").status()).type, (await manager.store()).space.connector.url)

asyncio.run(main())
"""


@pytest.mark.server
async def test_without_it_an_embedded_server_is_started_on_a_socket_below_headrace_shared_and_its_state_survives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HEADRACE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    async with stocked(WorkflowManager()) as manager:
        await manager.start(echo.with_options(id="order-7"), "hello")
        here = (await manager.store()).space
        assert (len(here.keys.tags), here.connector.url[:7]) == (1, "unix://")
        assert list((tmp_path / ".headrace").glob("**/*.aof*"))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        elsewhere = await asyncio.to_thread(
            subprocess.check_output, [sys.executable, "-c", STATUS_ELSEWHERE], env=environment, text=True
        )
        assert elsewhere.split() == ["in_progress", here.connector.url]
    async with WorkflowManager() as manager:
        assert (await manager.handle("order-7").status()).type == "in_progress"


async def test_default_retry_is_the_policy_behind_retry_True(managers: Managers) -> None:
    manager = managers(default_retry=RetryPolicy(max_attempts=4, initial_backoff=0))

    @manager.action(retry=True)
    async def broken() -> None:
        raise ConnectionError

    @manager.workflow
    async def flow(step: Step) -> int:
        return (await caught(step.run_action(broken))).attempts

    assert await run(manager, flow) == 4


async def test_the_retention_is_how_long_an_ended_instance_is_kept(managers: Managers) -> None:
    manager = stocked(managers(retention=timedelta(days=2)))
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(echo, "hello")
        await handle.result()
        await tester.advance(timedelta(hours=47))
        assert (await handle.status()).type == "completed"
        await tester.advance(timedelta(hours=2))
        with pytest.raises(WorkflowNotFound):
            await handle.status()


async def test_a_codec_sees_every_payload(managers: Managers) -> None:
    class Reversing:
        def encode(self, data: bytes) -> bytes:
            return data[::-1]

        def decode(self, data: bytes) -> bytes:
            return data[::-1]

    manager = stocked(managers(codec=Reversing()))
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(echo, "hello")
        assert await handle.result() == "hello"
        store = await tester.manager.store()
        found = await store.space.send("x", "HVALS", f"{store.space.keys.tags[0]}:wf.journal:{handle.id}")
        assert "olleh" in str(found)
        assert "hello" not in str(found)


async def test_the_worker_timeout_is_how_long_a_worker_may_be_silent_before_its_work_is_taken_over(
    managers: Managers, till: Till
) -> None:
    manager = stocked(managers(worker_timeout=0.5))
    async with manager.worker() as first:
        handle = await manager.start(hanging, "x")
        await till.began.wait()
        async with manager.worker():
            await first.kill()
            killed = time.monotonic()
            with pytest.raises(WorkflowFailed):
                await handle.result()
    assert 0.4 < time.monotonic() - killed < 4, "the default is 5"


async def test_a_value_over_value_bytes_max_is_refused(managers: Managers) -> None:
    manager = managers(value_bytes_max=100)

    @manager.workflow
    async def flow(step: Step, text: str) -> None: ...

    with pytest.raises(PayloadTooLarge, match="value_bytes_max"):
        await manager.start(flow, "x" * 100)


async def test_a_journal_over_journal_bytes_max_fails_its_workflow(managers: Managers) -> None:
    manager = stocked(managers(journal_bytes_max=2_000))

    @manager.workflow
    async def flow(step: Step) -> None:
        while True:
            await step.run_action(notify, "x" * 500)

    assert "journal_bytes_max" in (await failure_of(manager, flow)).message


def test_a_RetryPolicy_has_these_defaults() -> None:
    assert RetryPolicy() == RetryPolicy(
        max_attempts=3, initial_backoff=0.5, base=2, max_backoff=3600, jitter=True, retry_on=(Exception,), stop_on=()
    )


async def attempts_at(manager: WorkflowManager, policy: RetryPolicy, error: Exception) -> list[float]:
    """Return when a step that always raises was tried, in seconds from its start."""
    tried: list[float] = []

    @manager.action(retry=policy)
    async def broken() -> None:
        tried.append((tester.now - START).total_seconds())
        raise error

    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(broken)

    async with WorkflowTester(manager) as tester:
        await (await tester.start(flow)).ended()
    return tried


async def test_max_attempts_counts_the_first_and_delays_grow_from_initial_backoff_by_base_up_to_max_backoff(
    manager: WorkflowManager,
) -> None:
    policy = RetryPolicy(max_attempts=5, initial_backoff=1, base=3, max_backoff=timedelta(seconds=10), jitter=False)
    assert await attempts_at(manager, policy, ConnectionError()) == [0, 1, 4, 13, 23]


async def test_jitter_makes_delays_random(manager: WorkflowManager) -> None:
    policy = RetryPolicy(max_attempts=4, initial_backoff=100, base=1)
    at = await attempts_at(manager, policy, ConnectionError())
    delays = [later - earlier for earlier, later in pairwise(at)]
    assert len(set(delays)) == 3
    assert all(50 <= delay <= 100 for delay in delays)


async def test_retry_on_names_the_errors_that_are_retried(manager: WorkflowManager) -> None:
    policy = RetryPolicy(retry_on=(OSError,))
    assert len(await attempts_at(manager, policy, ConnectionError())) == 3


async def test_what_retry_on_does_not_name_is_final(manager: WorkflowManager) -> None:
    assert len(await attempts_at(manager, RetryPolicy(retry_on=(OSError,)), ValueError())) == 1


async def test_stop_on_names_the_errors_that_are_not_retried(manager: WorkflowManager) -> None:
    assert len(await attempts_at(manager, RetryPolicy(stop_on=(OSError,)), ConnectionError())) == 1


async def test_a_step_may_raise_NonRetryable_no_more_attempts(manager: WorkflowManager) -> None:
    assert len(await attempts_at(manager, RetryPolicy(), NonRetryable("no such card"))) == 1


async def test_a_step_may_raise_RetryAfter_the_error_dictates_the_delay(manager: WorkflowManager) -> None:
    policy = RetryPolicy(initial_backoff=1000)
    assert await attempts_at(manager, policy, RetryAfter(7)) == [0, 7, 14]


async def test_retry_False_is_one_attempt_at_most_once(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        return type(await caught(step.run_action(hang.with_options(retry=False), "once"))).__name__

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await lose_worker(tester)
        assert await handle.result() == "OutcomeUnknown"
    assert till.log.count("began once") == 1


async def test_without_retry_a_step_s_exception_is_final(manager: WorkflowManager, till: Till) -> None:
    await failure_of(manager, failing, "no such cart")
    assert till.log == ["fail"]


async def test_unless_retry_actions_by_default(managers: Managers) -> None:
    manager, tried = managers(retry_actions_by_default=True), list[int]()

    @manager.action
    async def broken() -> None:
        tried.append(current_step().attempt)
        raise ConnectionError

    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(broken)

    await failure_of(manager, flow)
    assert tried == [1, 2, 3]


async def test_a_query_whose_worker_died_runs_again(manager: WorkflowManager, till: Till) -> None:
    @manager.query
    async def look(tx: Transaction) -> str:
        till.log.append("look")
        if len(till.log) == 1:
            await till.go.wait()
        return "seen"

    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.run_query(look)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await lose_worker(tester)
        assert await handle.result() == "seen"


async def test_a_mutation_whose_worker_died_runs_again(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_mutation(add_and_hang, 5)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await lose_worker(tester)
        await handle.result()
        assert await stored(tester.manager, "total") == b"5"
    assert till.log == ["add", "add"]


async def test_an_action_whose_worker_died_becomes_OutcomeUnknown(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> bool:
        return isinstance(await caught(step.run_action(hang, "a")), OutcomeUnknown)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await lose_worker(tester)
        assert await handle.result()
    assert till.log.count("began a") == 1


# ------------------------------------------------------------- 2. Options: with_options on whatever is being run


async def test_with_options_returns_a_copy(manager: WorkflowManager) -> None:
    labelled = notify.with_options(name="mail")
    assert labelled is not notify
    assert (labelled.options.label, notify.options.label) == ("mail", "")


async def test_it_wins_over_the_definition(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        return (await caught(step.run_action(flaky.with_options(retry=False), 9))).attempts

    assert await run(manager, flow) == 1


async def test_it_chains_the_later_wins(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(notify.with_options(name="first", run_after=60).with_options(name="second"), "x")

    (view,) = await steps_of(manager, flow)
    assert (view.name, view.due) == ("second", START + timedelta(seconds=60))


async def test_bind_is_a_call_that_is_not_made_yet(manager: WorkflowManager, till: Till) -> None:
    bound = notify.bind("hello")
    assert (bound.definition, till.log) == (notify, [])


@pytest.mark.parametrize(
    "bind",
    [
        lambda: load_cart.bind(5),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: reserve.bind("c-1"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: charge.bind(CART),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        lambda: checkout.bind(5),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
    ids=["query", "mutation", "action", "workflow"],
)
def test_its_arguments_are_checked_now(bind: Callable[[], object]) -> None:
    with pytest.raises(InvalidArguments):
        bind()


async def test_it_stands_in_wait_for(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> Cart:
        return assert_type(await step.wait_for(load_cart.with_options(name="look").bind("c-1")), Cart)

    assert [view.name for view in await steps_of(manager, flow)] == ["look"]


async def test_it_stands_in_start_many(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        await tester.manager.start_many(echo.with_options(id=f"o-{n}").bind(str(n)) for n in range(3))
        assert await tester.handle("o-2").result() == "2"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("enqueue_many", marks=pytest.mark.xfail(strict=True, reason="comes with workpools")),
        pytest.param("schedule", marks=pytest.mark.xfail(strict=True, reason="comes with schedules")),
    ],
)
def test_it_stands_in_enqueue_many_and_schedule(name: str) -> None:
    assert hasattr(Workpool if name == "enqueue_many" else WorkflowManager, name)


async def test_name_is_the_step_s_label_in_steps_and_the_journal_what_runs_stays_the_registered_definition(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(notify.with_options(name="mail"), "hello")

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await handle.result()
        assert [view.name for view in await handle.steps()] == ["mail"]
        assert {entry.name for entry in await handle.history() if entry.seq} == {"mail"}
    assert till.log == ["hello"]


async def test_name_is_the_step_s_label_in_restart(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        for name in ("one", "two", "three"):
            await step.run_action(notify.with_options(name=name), name)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await handle.result()
        await handle.restart(from_step="two")
        await handle.result()
    assert till.log == ["one", "two", "three", "two", "three"]


async def test_retry_of_a_call(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        return await step.run_action(flaky.with_options(retry=RetryPolicy(max_attempts=9)), 8)

    assert await run(manager, flow) == 9


async def test_run_at_of_a_step(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> datetime:
        await step.run_action(notify.with_options(run_at=START + DAY), "x")
        return step.now()

    assert await run(manager, flow) == START + DAY


async def test_run_after_of_a_step(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> datetime:
        await step.run_mutation(add.with_options(run_after=DAY), 1)
        return step.now()

    assert await run(manager, flow) == START + DAY


async def queued_on(manager: WorkflowManager, *queues: str) -> str:
    """Return the state of a step of the queue gpu, where workers serve some queues besides the default one."""

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(notify.with_options(queue="gpu"), "x")

    async with WorkflowTester(manager, queues=queues) as tester:
        (view,) = await (await started(tester, flow)).steps()
        return view.state


async def test_the_queue_says_which_workers_may_run_it(managers: Managers) -> None:
    assert await queued_on(stocked(managers())) == "queued"
    assert await queued_on(stocked(managers()), "gpu") == "completed"


async def test_the_queue_is_default_by_default(manager: WorkflowManager) -> None:
    assert {step.options.queue for step in manager._steps.values()} == {"default"}
    async with manager.worker(queues=("default",)):
        assert await (await manager.start(echo, "x")).result() == "x"


async def test_timeout_is_of_one_attempt(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[str, int]:
        patient = hang.with_options(timeout=60, retry=RetryPolicy(max_attempts=3, initial_backoff=0))
        error = await caught(step.run_action(patient, "x"))
        return type(error).__name__, round((step.now() - START).total_seconds())

    assert await run(manager, flow) == ("StepTimedOut", 180)


async def test_schedule_timeout_is_of_waiting_for_a_worker(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[bool, datetime]:
        error = await caught(step.run_action(notify.with_options(queue="nobody", schedule_timeout=60), "x"))
        return isinstance(error, StepTimedOut), step.now()

    assert await run(manager, flow) == (True, START + timedelta(seconds=60))


async def test_a_step_that_is_begun_in_time_is_not_bound_by_its_schedule_timeout(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> float:
        return await step.run_action(slow.with_options(schedule_timeout=1), 60)

    assert await run(manager, flow) == 60


async def test_heartbeat_timeout(manager: WorkflowManager) -> None:
    @manager.action(heartbeat_timeout=60)
    async def copy(beats: int) -> None:
        for _ in range(beats):
            await asyncio.sleep(50)
            await current_step().heartbeat()
        await asyncio.sleep(3600)

    @manager.workflow
    async def flow(step: Step) -> tuple[str, float]:
        error = await caught(step.run_action(copy, 3))
        return error.error_type, (step.now() - START).total_seconds()

    error_type, seconds = await run(manager, flow)
    assert error_type == "HeartbeatTimeout"
    assert 210 <= seconds <= 215


async def test_pool_of_a_step(runner: asyncio.Runner) -> None:
    manager = WorkflowManager("memory://unused")
    Workpool(manager, "cards", max_parallelism=1)

    @manager.action
    async def pay() -> None:
        await asyncio.sleep(60)

    @manager.workflow
    async def flow(step: Step) -> float:
        await asyncio.gather(*(step.run_action(pay.with_options(pool="cards")) for _ in range(3)))
        return (step.now() - START).total_seconds()

    assert 180 <= await run(manager, flow) <= 185


async def test_priority_of_a_step(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        busy = step.run_action(slow, 60)
        await asyncio.gather(busy, *(step.run_action(notify.with_options(priority=p), str(p)) for p in (3, 0, 9, 5)))

    async with WorkflowTester(manager, concurrency=1) as tester:
        await (await tester.start(flow)).result()
    assert till.log == ["9", "5", "3", "0"]


async def test_unstable_args_of_a_step(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        till.log.append("turn")
        first = await step.run_action(same_set.with_options(unstable_args=True), {str(len(till.log))})
        await step.sleep(1)
        return first.pop()

    assert await rerun(manager, flow) == "1"
    assert till.log.count("turn") > 1


@pytest.mark.parametrize("query", [True, False], ids=["query", "mutation"])
async def test_inline_of_a_query_and_mutation_is_in_the_turn_without_a_queue(
    manager: WorkflowManager, query: bool
) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        if query:
            return await step.run_query(total.with_options(inline=True, queue="nobody"))
        return await step.run_mutation(add.with_options(inline=True, queue="nobody"), 5)

    assert await run(manager, flow) == (0 if query else 5)


def test_an_action_is_never_inline() -> None:
    with pytest.raises(InvalidOption, match="inline"):
        charge.with_options(inline=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def test_the_same_id_is_the_same_instance_started_once(manager: WorkflowManager, till: Till) -> None:
    async with WorkflowTester(manager) as tester:
        first, again = [await tester.start(echo.with_options(id="o-1"), text) for text in ("first", "again")]
        assert [await first.result(), await again.result()] == ["first", "first"]
    assert till.log == ["first"]


async def test_on_complete_with_its_context(manager: WorkflowManager, till: Till) -> None:
    @manager.action
    async def report(workflow_id: str, result: Result[str], context: dict[str, int]) -> None:
        till.log.append(f"{workflow_id} {result.type} {context}")

    async with WorkflowTester(manager) as tester:
        await (await tester.start(nap.with_options(id="n-1", on_complete=report, context={"user": 3}), 5)).result()
        await tester.settle()
    assert till.log == ["n-1 completed {'user': 3}"]


def test_the_context_is_typed_by_the_handler_s_third_parameter(manager: WorkflowManager) -> None:
    @manager.action
    async def report(workflow_id: str, result: Result[str], context: int) -> None: ...

    with pytest.raises(InvalidArguments):
        nap.with_options(on_complete=report, context="x")  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def test_run_at_of_a_workflow(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap.with_options(run_at=START + DAY), 0)
        assert (await handle.status()).type == "scheduled"
        assert await handle.result() == "rested"
        assert tester.now == START + DAY


async def test_run_after_of_a_workflow(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        await (await tester.start(nap.with_options(run_after=DAY), 0)).result()
        assert tester.now == START + DAY


async def test_timeout_of_a_workflow(manager: WorkflowManager) -> None:
    assert "timeout" in (await failure_of(manager, nap.with_options(timeout=60), 61)).message
    assert await run(manager, nap.with_options(timeout=62), 61) == "rested"


async def test_tags_of_a_workflow(manager: WorkflowManager) -> None:
    await manager.start(nap.with_options(id="n-1", tags={"team": "web"}), 0)
    await manager.start(nap.with_options(id="n-2"), 0)
    assert [(item.id, item.tags) for item in (await manager.list(tags={"team": "web"})).items] == [
        ("n-1", {"team": "web"})
    ]


async def test_version_of_a_workflow(manager: WorkflowManager) -> None:
    async def flow(step: Step) -> str:
        return step.version

    first, second = [manager.workflow(name="flow", version=version)(flow) for version in ("1", "2")]
    assert await run(manager, second) == "2"
    assert await run(manager, second.with_options(version="1")) == await run(manager, first) == "1"


async def test_retention_of_a_workflow(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap.with_options(retention=60), 0)
        await handle.result()
        await tester.advance(timedelta(minutes=5))
        with pytest.raises(WorkflowNotFound):
            await handle.status()


async def test_priority_of_a_workflow(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def one(step: Step, name: str) -> None:
        await step.run_action(notify, name)

    @manager.workflow
    async def flow(step: Step) -> None:
        busy = step.run_action(slow, 60)
        await asyncio.gather(busy, *(step.run_workflow(one.with_options(priority=p), str(p)) for p in (3, 0, 9, 5)))

    async with WorkflowTester(manager, concurrency=1) as tester:
        await (await tester.start(flow)).result()
    assert till.log == ["9", "5", "3", "0"]


async def test_detached_is_a_child_that_is_not_canceled_with_its_parent(manager: WorkflowManager) -> None:
    @manager.workflow
    async def parent(step: Step) -> None:
        for name, detached in (("bound", False), ("free", True)):
            _ = step.run_workflow(nap.with_options(id=name, detached=detached), 60)
        await step.sleep(30)

    async with WorkflowTester(manager) as tester:
        await (await started(tester, parent)).cancel()
        await tester.advance(120)
        assert [(await tester.handle(name).status()).type for name in ("bound", "free")] == ["canceled", "completed"]


async def test_detached_is_a_child_that_is_not_cleaned_up_with_its_parent(manager: WorkflowManager) -> None:
    @manager.workflow
    async def parent(step: Step) -> None:
        await step.run_workflow(nap.with_options(id="bound"), 0)
        await step.run_workflow(nap.with_options(id="free", detached=True), 0)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(parent)
        await handle.result()
        await handle.cleanup()
        await tester.settle()
        assert (await tester.handle("free").status()).type == "completed"
        with pytest.raises(WorkflowNotFound):
            await tester.handle("bound").status()


async def test_options_of_step_itself_are_defaults_for_what_is_run_through_the_copy(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        till.log.append("turn")
        once = step.with_options(retry=False, unstable_args=True)
        attempts = [(await caught(through.run_action(flaky, 9))).attempts for through in (once, step)]
        await once.run_action(same_set, {str(len(till.log))})
        attempts += [(await caught(once.run_action(flaky.with_options(retry=RetryPolicy(max_attempts=2)), 9))).attempts]
        return attempts

    assert await rerun(manager, flow) == [1, 3, 2]
    assert till.log.count("turn") > 1


# -------------------------------------------------------------------------------------- 3. Inside a workflow: step


async def test_run_query_run_mutation_run_action_and_run_workflow_give_an_awaitable_future(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[object]:
        looked = assert_type(step.run_query(load_cart, "c-2"), StepFuture[Cart])
        reserved = assert_type(step.run_mutation(reserve, CART), StepFuture[str])
        charged = assert_type(step.run_action(charge, CART, cents=5), StepFuture[Receipt])
        echoed = assert_type(step.run_workflow(echo, "hello"), StepFuture[str])
        assert all(asyncio.isfuture(future) for future in (looked, reserved, charged, echoed))
        return [(await looked).id, await reserved, (await charged).cents, await echoed]

    assert await run(manager, flow) == ["c-2", "r-c-1", 5, "hello"]


async def test_the_step_is_asked_for_at_the_call_so_two_calls_and_then_two_awaits_run_in_parallel(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> float:
        first, second = step.run_action(slow, 60), step.run_action(slow, 60)
        await first
        await second
        return (step.now() - START).total_seconds()

    assert await run(manager, flow) == 60


async def test_sleep_is_durable(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await started(tester, nap, 3600)
        await lose_worker(tester)
        await tester.advance(1800)
        await lose_worker(tester)
        assert await handle.result() == "rested"
        assert tester.now == START + timedelta(hours=1)


async def test_sleep_until_a_time(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> datetime:
        await step.sleep_until(START + DAY)
        return step.now()

    assert await run(manager, flow) == START + DAY


async def test_asyncio_sleep_is_the_same(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await asyncio.sleep(60)
        await step.sleep(60)

    assert [(view.kind, view.arguments) for view in await steps_of(manager, flow)] == [("sleep", ((60.0,), {}))] * 2


async def test_await_event_returns_the_event_s_value(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await started(tester, approval, "approved")
        await handle.send_event("approved", Approval(by="ann"))
        assert await handle.result() == Approval(by="ann")


async def test_its_type_is_a_class_or_a_generic_such_as_a_list_of_models(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[Approval]:
        one = assert_type(await step.await_event("one", type=Approval), Approval)
        more = assert_type(await step.await_event("more", type=list[Approval]), list[Approval])
        return [one, *more]

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await handle.send_event("one", {"by": "ann"})
        await handle.send_event("more", [{"by": "bob"}])
        assert await handle.result() == [Approval(by="ann"), Approval(by="bob")]


async def test_manager_event_in_place_of_the_name_types_both_ends(manager: WorkflowManager) -> None:
    approved = manager.event("approved", Approval)

    @manager.workflow
    async def flow(step: Step) -> str:
        return assert_type(await step.await_event(approved), Approval).by

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        with pytest.raises(InvalidArguments):
            await handle.send_event(approved, "ann")  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]
        await handle.send_event(approved, Approval(by="ann"))
        assert await handle.result() == "ann"


async def test_an_event_sent_earlier_waits_in_order(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        await step.sleep(60)
        return [await step.await_event("n", int) for _ in range(3)]

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        for number in (3, 1, 2):
            await handle.send_event("n", number)
        assert await handle.result() == [3, 1, 2]


async def test_each_event_is_taken_by_one_wait(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        return list(await asyncio.gather(step.await_event("n", int), step.await_event("n", int)))

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await handle.send_event("n", 1)
        await tester.settle()
        assert (await handle.status()).type == "in_progress"
        await handle.send_event("n", 2)
        assert await handle.result() == [1, 2]


async def test_its_timeout_raises_TimeoutError(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> datetime:
        with pytest.raises(TimeoutError):
            await step.await_event("approved", timeout=timedelta(hours=1))
        return step.now()

    assert await run(manager, flow) == START + timedelta(hours=1)


async def test_an_event_sent_with_an_error_raises_it(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        with pytest.raises(EventFailed) as refused:
            await step.await_event("approved", Approval)
        return refused.value.message

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await handle.send_event("approved", error="too much")
        assert await handle.result() == "too much"


async def test_wait_for_runs_the_query_until_its_value_is_truthy_and_returns_the_value(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[int, datetime]:
        _ = step.run_mutation(add.with_options(run_after=95), 7)
        return await step.wait_for(total.bind(), interval=timedelta(seconds=10)), step.now()

    assert await run(manager, flow) == (7, START + timedelta(seconds=100))


async def test_wait_for_takes_a_timeout(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> datetime:
        with pytest.raises(TimeoutError):
            await step.wait_for(total.bind(), interval=10, timeout=60)
        return step.now()

    assert await run(manager, flow) == START + timedelta(seconds=60)


ENVIRONMENT: dict[str, Callable[[Step], object]] = {
    "step.now": lambda step: step.now(),
    "step.random": lambda step: [step.random.random(), step.random.choice("abcdefgh"), step.random.getrandbits(64)],
    "step.uuid4": lambda step: step.uuid4(),
    "time.time": lambda step: time.time(),
    "random.random": lambda step: [random.random(), random.choice("abcdefgh"), random.getrandbits(64)],
    "random.shuffle": lambda step: random.sample(range(100), 100),
    "uuid.uuid4": lambda step: uuid.uuid4(),
}


@pytest.mark.parametrize("draw", ENVIRONMENT.values(), ids=list(ENVIRONMENT))
async def test_now_random_uuid4_time_and_the_modules_random_and_uuid_are_the_same_on_every_replay(
    manager: WorkflowManager, draw: Callable[[Step], object]
) -> None:
    drawn: list[str] = []

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        drawn.append(f"{draw(step)}")
        await step.sleep(60)
        drawn.append(f"{draw(step)}")
        await step.sleep(60)

    await rerun(manager, flow)
    assert len(drawn) == 5, "one draw more each turn, of three"
    assert len(set(drawn)) == 2
    await run(manager, flow)
    assert len(set(drawn[5:])) == 2


async def test_random_and_uuid4_differ_between_instances(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[float, UUID, UUID]:
        return step.random.random(), step.uuid4(), uuid.uuid4()

    async with WorkflowTester(manager) as tester:
        first, second = [await (await tester.start(flow)).result() for _ in range(2)]
    assert not set(first) & set(second)


async def _reads_the_wall_clock(step: Step) -> None:
    datetime.now(UTC)


async def _blocks(step: Step) -> None:
    time.sleep(1)  # noqa: ASYNC251 - that is the mistake


async def _opens_a_file(step: Step) -> None:
    open("orders.txt")  # noqa: ASYNC230, PTH123, SIM115 - that is the mistake


@pytest.mark.parametrize(
    ("code", "instead"),
    [(_reads_the_wall_clock, "step.now"), (_blocks, "step.sleep"), (_opens_a_file, "action")],
    ids=["datetime.now", "time.sleep", "I/O"],
)
def test_datetime_now_time_sleep_and_io_are_errors_at_definition_where_the_code_shows_it_with_what_to_use_instead(
    manager: WorkflowManager, code: Callable[[Step], Any], instead: str
) -> None:
    with pytest.raises(DeterminismViolation, match=instead):
        manager.workflow(code)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (doze, "step.sleep"),
        (partial(open, __file__), "action"),
        (partial(subprocess.run, ["true"], check=False), "action"),
        (partial(socket.create_connection, ("127.0.0.1", 1)), "action"),
    ],
    ids=["time.sleep", "a file", "a process", "a connection"],
)
async def test_else_they_are_errors_when_called_with_what_to_use_instead(
    manager: WorkflowManager, call: Callable[[], object], instead: str
) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        with pytest.raises(DeterminismViolation, match=instead):
            call()

    async with manager.worker():
        await (await manager.start(flow)).result()


async def test_datetime_now_in_a_helper_of_another_module_is_an_error_by_the_tester(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        stamp()

    error = await failure_of(manager, flow)
    assert error.error_type == "DeterminismViolation"
    assert "step.now()" in error.message


async def test_datetime_now_in_a_helper_of_another_module_is_an_error_by_a_replay(
    manager: WorkflowManager, tmp_path: Path
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        stamp()

    async with WorkflowTester(manager, strict=False) as tester:
        handle = await tester.start(flow)
        await handle.result()
        await tester.export(handle, tmp_path / "history.json")
    with pytest.raises(DeterminismViolation, match=r"step\.now\(\)"):
        replay_history(manager, tmp_path / "history.json")


STAMPING = """
from actors import Step, WorkflowManager
from tests.api.shop import stamp

manager = WorkflowManager("memory://")

@manager.workflow(name="stamping")
async def stamping(step: Step) -> None:
    stamp()
"""


def test_datetime_now_in_a_helper_of_another_module_is_an_error_by_headrace_replay(
    manager: WorkflowManager, tmp_path: Path
) -> None:
    @manager.workflow(name="stamping")
    async def stamping(step: Step) -> None: ...

    async def record(tester: WorkflowTester) -> None:
        handle = await tester.start(stamping)
        await handle.result()
        await tester.export(handle, tmp_path / "history.json")

    WorkflowTester(manager).play(record)
    (tmp_path / "stamps.py").write_text(STAMPING)
    done = subprocess.run(
        [sys.executable, "-m", "actors.cli", "replay", "stamps:manager", "history.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "step.now()" in done.stdout


async def test_log_is_a_structlog_logger_bound_to_the_instance_and_silent_on_replay(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        step.log.info("before", cart="c-1")
        await step.sleep(60)
        logging.getLogger("shop").info("between")
        await step.sleep(60)
        step.log.info("after")

    with capture_logs() as entries:
        async with WorkflowTester(manager, replay="always") as tester:
            await (await tester.start(flow.with_options(id="o-1"))).result()
    mine = [entry for entry in entries if entry.get("workflow_id") == "o-1"]
    assert [entry["event"] for entry in mine] == ["before", "after"]
    assert mine[0]["cart"] == "c-1"


async def test_set_value_publishes_a_value_handle_value_and_watchers_see_it(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        for percent in (10, 50):
            step.set_value("percent", percent)
            await step.sleep(60)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        assert await handle.value("percent") == 10
        seen_by_watcher = [snapshot.values["percent"] async for snapshot in handle.watch()]
        assert (seen_by_watcher[0], seen_by_watcher[-1]) == (10, 50)
        assert await handle.value("percent") == 50


async def test_a_saga_runs_on_an_error_the_undos_registered_so_far_in_reverse_order(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(notify, "undo the first")
            saga.undo(release, "r-2")
            await step.run_action(fail, "full")
            saga.undo(notify, "never")

    assert [view.name for view in await steps_of(manager, flow)] == ["fail", "release", "notify"]
    assert till.log == ["fail", "release r-2", "undo the first"]


async def test_a_saga_runs_them_on_cancellation(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(notify, "undo")
            await step.sleep(60)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await handle.cancel(cleanup=True)
        await handle.ended()
    assert till.log == ["undo"]


async def test_each_undo_is_durable(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(add_and_hang, 5)
            await step.run_action(notify, "tried")
            raise LookupError

    async with WorkflowTester(manager) as tester:
        till.log.clear()
        handle = await started(tester, flow)
        await lose_worker(tester)
        await handle.ended()
        assert await stored(tester.manager, "total") == b"5"


async def test_a_saga_without_an_error_undoes_nothing(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(notify, "undo")

    await run(manager, flow)
    assert till.log == []


async def test_registered_before_its_step_an_undo_also_covers_an_unknown_outcome(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(notify, "undo")
            await step.run_action(hang, "booking")

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await lose_worker(tester)
        with pytest.raises(WorkflowFailed, match=r"OutcomeUnknown|at most once"):
            await handle.result()
    assert till.log[-1] == "undo"


class Basket:
    """A workflow with update handlers."""

    def __init__(self, manager: WorkflowManager, *, late: bool = False) -> None:
        @manager.workflow(name="basket")
        async def basket(step: Step) -> list[str]:
            items: list[str] = []
            closed = asyncio.Event()
            if late:
                await step.sleep(60)

            @step.update_handler
            async def put(item: str, times: int = 1) -> int:
                if item == "brick":
                    raise ValueError("too heavy")
                await step.run_action(notify, item)
                items.extend([item] * times)
                return len(items)

            @step.update_handler
            def close() -> None:
                closed.set()

            await closed.wait()
            return items

        self.flow = basket


async def test_update_calls_a_function_in_the_running_instance_and_returns_its_value_as_a_closure_it_sees_variables(
    manager: WorkflowManager, till: Till
) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(Basket(manager).flow)
        assert assert_type(await handle.update("put", "pen", 2, type=int), int) == 2
        assert await handle.update("put", "ink", type=int) == 3
        await handle.update("close")
        assert await handle.result() == ["pen", "pen", "ink"]
    assert till.log == ["pen", "ink"]


async def test_an_update_s_arguments_are_validated_a_rejected_one_reaches_no_workflow_code(
    manager: WorkflowManager, till: Till
) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(Basket(manager).flow)
        with pytest.raises(InvalidArguments, match="times"):
            await handle.update("put", "pen", "many", type=int)
        assert await handle.update("put", "ink", type=int) == 1
    assert till.log == ["ink"]


async def test_what_is_sent_before_the_handler_is_registered_waits(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(Basket(manager, late=True).flow)
        assert await handle.update("put", "pen", type=int) == 1
        assert tester.now == START + timedelta(seconds=60)


async def test_patched_is_True_for_instances_that_pass_here_the_first_time_under_the_new_code(
    managers: Managers,
) -> None:
    old, new = stocked(managers()), stocked(managers())

    @old.workflow(name="greet")
    async def greet(step: Step, second: bool) -> str:
        said = await step.run_action(notify, "hello")
        await step.await_event("go")
        return said

    @new.workflow(name="greet")
    async def greet_anew(step: Step, second: bool) -> str:
        said = await step.run_action(notify, "dear" if step.patched("polite") else "hello")
        await step.await_event("go")
        return f"{said} again" if step.patched("more") else said

    async with old.worker():
        before = await old.start(greet, False)
        await seen(before, in_state("go", "waiting"))
    async with new.worker():
        after = await new.start(greet_anew, False)
        for handle in (before, after):
            await handle.send_event("go")
        assert [await before.result(), await after.result()] == ["hello again", "dear again"]


async def test_continue_as_new_is_a_method_of_the_definition_that_never_returns(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step, rounds: int) -> str:
        if rounds:
            flow.continue_as_new(rounds - 1)
            till.log.append("returned")
        return "done"

    assert await run(manager, flow, 3) == "done"
    assert till.log == []


async def test_it_ends_this_instance_s_journal_and_begins_again_under_the_same_id_unconsumed_events_come_along(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step, taken: list[int]) -> list[int]:
        await step.run_action(notify, step.workflow_id)
        taken.append(await step.await_event("n", int))
        return taken if len(taken) == 3 else flow.continue_as_new(taken)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow.with_options(id="f-1"), [])
        for number in (1, 2, 3):
            await handle.send_event("n", number)
        assert await handle.result() == [1, 2, 3]
        assert len(await handle.steps()) == 2, "of the last generation"
    assert till.log == ["f-1"] * 3


async def test_step_has_workflow_id_and_version(manager: WorkflowManager) -> None:
    @manager.workflow(version="7")
    async def flow(step: Step) -> tuple[str, str]:
        return step.workflow_id, step.version

    assert await run(manager, flow.with_options(id="f-1")) == ("f-1", "7")


async def test_step_has_attempt(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        return step.attempt

    assert await run(manager, flow) == 1


async def by_gather(step: Step) -> object:
    return await asyncio.gather(step.run_action(slow, 3), step.run_action(slow, 1))


async def by_task_group(step: Step) -> object:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(step.run_action(slow, seconds)) for seconds in (3, 1)]
    return [task.result() for task in tasks]


async def by_wait(step: Step) -> object:
    done, _ = await asyncio.wait([step.run_action(slow, 3), step.run_action(slow, 1)])
    return sorted((future.result() for future in done), reverse=True)


async def by_as_completed(step: Step) -> object:
    futures = [step.run_action(slow, 3), step.run_action(slow, 1)]
    return [await future for future in asyncio.as_completed(futures)][::-1]


async def by_timeout(step: Step) -> object:
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            await step.run_action(slow, 3)
    return [3.0, 1.0] if (step.now() - START).total_seconds() == 2 else None


async def by_wait_for(step: Step) -> object:
    with suppress(TimeoutError):
        await asyncio.wait_for(step.run_action(slow, 3), 2)
    return [3.0, 1.0] if (step.now() - START).total_seconds() == 2 else None


async def by_event(step: Step) -> object:
    event, found = asyncio.Event(), list[float]()

    async def waits() -> None:
        await event.wait()
        found.append(1)

    task = asyncio.create_task(waits())
    found.append(await step.run_action(slow, 3))
    event.set()
    await task
    return found


async def by_lock(step: Step) -> object:
    lock, found = asyncio.Lock(), list[float]()

    async def holds(seconds: float) -> None:
        async with lock:
            found.append(await step.run_action(slow, seconds))

    await asyncio.gather(holds(3), holds(1))
    return found


async def by_queue(step: Step) -> object:
    queue: asyncio.Queue[float] = asyncio.Queue()

    async def puts() -> None:
        for seconds in (3, 1):
            await queue.put(await step.run_action(slow, seconds))

    task = asyncio.create_task(puts())
    found = [await queue.get(), await queue.get()]
    await task
    return found


async def by_semaphore(step: Step) -> object:
    semaphore, found = asyncio.Semaphore(1), list[float]()

    async def holds(seconds: float) -> None:
        async with semaphore:
            found.append(await step.run_action(slow, seconds))

    await asyncio.gather(holds(3), holds(1))
    return found


@pytest.mark.parametrize(
    "way",
    [
        by_gather,
        by_task_group,
        by_wait,
        by_as_completed,
        by_timeout,
        by_wait_for,
        by_event,
        by_lock,
        by_queue,
        by_semaphore,
    ],
)
async def test_asyncio_works(manager: WorkflowManager, way: Callable[[Step], Any]) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[float]:
        return await way(step)  # type: ignore[no-any-return]

    assert await run(manager, flow) == [3, 1]
    assert await rerun(manager, flow) == [3, 1]


async def test_the_workflow_goes_on_at_every_completion_so_the_first_of_a_race_wins_at_once(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[int, float]:
        racing: list[asyncio.Future[Any]] = [step.run_action(slow, 3600), step.sleep(60), step.run_action(slow, 30)]
        done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        return racing.index(done.pop()), (step.now() - START).total_seconds()

    assert await run(manager, flow) == (2, 30)


async def test_a_step_s_future_may_be_passed_to_a_task_group_s_create_task(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> float:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(step.run_action(slow, 1))
        return task.result()

    assert await run(manager, flow) == 1


async def test_as_completed_takes_futures_and_tasks_not_bare_coroutines(manager: WorkflowManager) -> None:
    async def one(step: Step) -> float:
        return await step.run_action(slow, 1)

    @manager.workflow
    async def flow(step: Step) -> list[float]:
        bare = [one(step)]
        with pytest.raises(DeterminismViolation, match=r"asyncio\.create_task"):
            list(asyncio.as_completed(bare))
        bare[0].close()
        return [await task for task in asyncio.as_completed([asyncio.create_task(one(step))])]

    assert await run(manager, flow) == [1]


async def _to_thread(step: Step) -> None:
    await asyncio.to_thread(len, "x")


async def _run_in_executor(step: Step) -> None:
    await asyncio.get_running_loop().run_in_executor(None, len, "x")


async def _asyncio_run(step: Step) -> None:
    asyncio.run(asyncio.sleep(0))


async def _connection(step: Step) -> None:
    await asyncio.open_connection("127.0.0.1", 1)


@pytest.mark.parametrize("code", [_to_thread, _run_in_executor, _asyncio_run, _connection])
async def test_to_thread_run_in_executor_asyncio_run_and_connections_raise(
    manager: WorkflowManager, code: Callable[[Step], Any]
) -> None:
    async def flow(step: Step) -> None:
        with pytest.raises(DeterminismViolation, match=r"action|await the coroutine instead"):
            await code(step)

    await run(manager, manager.workflow(name="flow")(flow))


SETS = """
from actors import Step, WorkflowManager

manager = WorkflowManager()

@manager.workflow(name="sets")
async def sets(step: Step) -> list[str]:
    return list({"anna", "bert", "cleo", "dora", "emil", "fred", "gina", "hans"})
"""


@pytest.mark.server
async def test_iterating_a_set_of_strings_has_a_fixed_order_under_headrace_worker(
    managers: Managers, server_url: str, tmp_path: Path
) -> None:
    (tmp_path / "flows.py").write_text(SETS)
    manager = managers(server_url)

    @manager.workflow(name="sets")
    async def sets(step: Step) -> list[str]:
        raise NotImplementedError

    handle = await manager.start(sets)
    seed = (await manager.store()).space.seed  # of the namespace: all its workers take it, whatever theirs was
    environment = {"HEADRACE_URL": server_url, "PYTHONPATH": str(Path(__file__).parents[2])}
    worker = subprocess.Popen(  # noqa: ASYNC220 - it takes a moment, and nothing else runs
        [sys.executable, "-m", "actors.cli", "worker", "flows:manager"],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONHASHSEED": str(seed ^ 1)},
        stderr=subprocess.DEVNULL,
    )
    try:
        order = await handle.result()
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait, 10)
    plain = subprocess.check_output(  # noqa: ASYNC221 - as above
        [sys.executable, "-c", "print(*{" + SETS.rpartition("{")[2].strip().rstrip("})") + "})"],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        text=True,
    )
    assert order == plain.split()


async def test_a_worker_may_drop_a_half_run_instance_synchronous_code_in_its_finally_then_runs_steps_there_do_nothing(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        try:
            await step.sleep(60)
        finally:
            till.log.append("finally")
            await step.run_action(notify, "asked for in finally")

    async with WorkflowTester(manager, replay="always") as tester:
        handle = await started(tester, flow)
        assert till.log == ["finally"]
        assert [view.kind for view in await handle.steps()] == ["sleep"]
        await handle.result()
    assert till.log.count("asked for in finally") == 1


async def test_when_a_workflow_function_returns_tasks_it_left_are_dropped_and_their_unfinished_steps_cancelled(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        async def left() -> None:
            await step.run_action(hang, "left")
            till.log.append("went on")

        task = asyncio.create_task(left())
        await step.sleep(60)
        return str(task.done())

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        assert await handle.result() == "False"
        await tester.settle()
        assert [view.state for view in await handle.steps()] == ["completed", "canceled"]
    assert till.log == ["began left", "cancelled left"]


async def test_an_exception_of_a_step_arrives_as_StepFailed_with_error_type_message_traceback_and_attempts(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> tuple[str, str, int, bool, bool]:
        error = await caught(step.run_action(flaky, 9))
        assert type(error) is StepFailed
        remote = "in flaky" in error.traceback and "raise ConnectionError" in error.traceback
        return error.error_type, error.message, error.attempts, remote, error.traceback in str(error.__cause__) + "\n"

    assert await run(manager, flow) == ("ConnectionError", "attempt 3", 3, True, True)


async def test_StepTimedOut_is_a_subclass(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> bool:
        return type(await caught(step.run_action(slow.with_options(timeout=1), 9))) is StepTimedOut

    assert await run(manager, flow)
    assert issubclass(StepTimedOut, StepFailed)


async def test_StepCanceled_is_a_subclass(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> bool:
        return type(await caught(step.run_workflow(nap.with_options(id="n-1"), 60))) is StepCanceled

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await tester.handle("n-1").cancel()
        assert await handle.result()


async def test_WorkerDied_is_a_subclass_its_worker_died_three_times(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> bool:
        return type(await caught(step.run_action(hang.with_options(retry=True), "poison"))) is WorkerDied

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        for _ in range(3):
            assert (await handle.status()).type == "in_progress"
            await lose_worker(tester)
        assert await handle.result()
    assert till.log.count("began poison") == 3


@pytest.mark.server
async def test_MutationBroken_is_a_subclass_Redis_refused_one_of_its_writes_after_others_were_applied(
    managers: Managers, server_url: str
) -> None:
    manager = managers(server_url)

    @manager.mutation
    async def forbidden(tx: Transaction) -> None:
        tx.set("before", 1)
        tx.lpush("list", 1)

    @manager.workflow
    async def flow(step: Step) -> str:
        return type(await caught(step.run_mutation(forbidden))).__name__

    async with manager.worker():
        store = await manager.store()
        await store.space.send("x", "ACL", "SETUSER", "default", "-lpush")
        try:
            assert await (await manager.start(flow)).result() == MutationBroken.__name__
        finally:
            await store.space.send("x", "ACL", "SETUSER", "default", "+lpush")
        assert await stored(manager, "before") == b"1"


# --------------------------------------------------------------------------------------------- 4. Inside a step


async def test_current_step_gives_workflow_id_seq_and_attempt(manager: WorkflowManager) -> None:
    @manager.action(retry=RetryPolicy(initial_backoff=0))
    async def look() -> tuple[str, int, int]:
        if current_step().attempt == 1:
            raise ConnectionError
        return current_step().workflow_id, current_step().seq, current_step().attempt

    @manager.workflow
    async def flow(step: Step) -> tuple[str, int, int]:
        await step.sleep(1)
        return await step.run_action(look)

    assert await run(manager, flow.with_options(id="f-1")) == ("f-1", 2, 2)


async def test_its_idempotency_key_is_stable_over_attempts(manager: WorkflowManager) -> None:
    keys: list[str] = []

    @manager.action(retry=RetryPolicy(initial_backoff=0))
    async def pay() -> None:
        keys.append(current_step().idempotency_key)
        raise ConnectionError

    @manager.workflow
    async def flow(step: Step) -> None:
        await caught(step.run_action(pay))
        await caught(step.run_action(pay))

    await run(manager, flow)
    assert len(keys) == 6
    assert (len(set(keys[:3])), len(set(keys[3:])), len(set(keys))) == (1, 1, 2)


async def test_its_deadline(manager: WorkflowManager) -> None:
    @manager.action
    async def look() -> datetime | None:
        return current_step().deadline

    @manager.workflow
    async def flow(step: Step) -> list[datetime | None]:
        return [await step.run_action(look.with_options(timeout=60)), await step.run_action(look)]

    assert await run(manager, flow) == [START + timedelta(seconds=60), None]


async def test_the_details_of_its_heartbeat_reach_the_next_attempt(manager: WorkflowManager) -> None:
    @manager.action(retry=RetryPolicy(initial_backoff=0))
    async def copy() -> list[object]:
        details = current_step().details
        if current_step().attempt == 1:
            await current_step().heartbeat({"page": 7})
            raise ConnectionError
        return [details]

    @manager.workflow
    async def flow(step: Step) -> list[object]:
        return await step.run_action(copy)

    assert await run(manager, flow) == [{"page": 7}]


async def test_its_log(manager: WorkflowManager) -> None:
    @manager.action
    async def pay() -> None:
        current_step().log.info("paying", cents=5)

    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(pay)

    with capture_logs() as entries:
        await run(manager, flow.with_options(id="f-1"))
    (entry,) = [entry for entry in entries if entry["event"] == "paying"]
    assert (entry["workflow_id"], entry["seq"], entry["cents"]) == ("f-1", 1, 5)


async def test_canceled_an_async_step_is_cancelled(manager: WorkflowManager, till: Till) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await started(tester, hanging, "x")
        await handle.cancel()
        await tester.settle()
    assert till.log == ["began x", "cancelled x"]


async def test_canceled_a_thread_sees_the_flag(manager: WorkflowManager) -> None:
    up, saw = threading.Event(), threading.Event()

    @manager.action
    def patient() -> None:
        up.set()
        for _ in range(2_000):  # a thread that nobody tells must end all the same
            if current_step().canceled:
                saw.set()
                return
            time.sleep(0.002)

    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(patient)

    async with manager.worker():
        handle = await manager.start(flow)
        await asyncio.to_thread(up.wait, 10)
        assert not saw.is_set()
        await handle.cancel()
        assert await asyncio.to_thread(saw.wait, 10)


def test_outside_a_step_there_is_no_current_step() -> None:
    with pytest.raises(CallNotAllowed, match="outside a step"):
        current_step()


async def test_reads_of_a_transaction_are_awaited_and_answer_at_once_in_bytes_as_redis_py(
    manager: WorkflowManager,
) -> None:
    @manager.query
    async def look(tx: Transaction) -> tuple[bytes | None, dict[bytes, bytes]]:
        return await tx.get("text"), await tx.hgetall("hash")

    @manager.mutation
    async def fill(tx: Transaction) -> None:
        tx.set("text", "seven")
        tx.hset("hash", mapping={"a": 1})

    @manager.workflow
    async def flow(step: Step) -> tuple[bytes | None, dict[bytes, bytes]]:
        await step.run_mutation(fill)
        return await step.run_query(look)

    assert await run(manager, flow) == (b"seven", {b"a": b"1"})


def test_writes_are_plain_calls_that_return_None_and_are_buffered() -> None:
    tx = transaction()
    calls: list[Callable[..., object]] = [tx.set, tx.append, tx.lpush, tx.sadd]
    assert [call("key", "1") for call in calls] == [None] * 4
    assert [write[0] for write in tx.writes] == [b"SET", b"APPEND", b"LPUSH", b"SADD"]


async def test_writes_are_committed_with_the_step(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_mutation(add_and_hang, 5)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        assert till.log == ["add"]
        assert await stored(tester.manager, "total") is None
        await lose_worker(tester)
        await handle.result()
        assert await stored(tester.manager, "total") == b"5"


async def test_a_mutation_that_raises_writes_nothing(manager: WorkflowManager) -> None:
    @manager.mutation
    async def broken(tx: Transaction) -> None:
        tx.set("total", 7)
        raise LookupError

    @manager.workflow
    async def flow(step: Step) -> int:
        await caught(step.run_mutation(broken))
        return await step.run_query(total)

    assert await run(manager, flow) == 0


async def test_reading_a_key_that_the_same_step_has_written_raises() -> None:
    tx = transaction()
    tx.set("total", 7)
    assert await tx.get("other") is None
    with pytest.raises(ReadAfterWrite, match="total"):
        await tx.get("total")


def test_in_a_query_writes_raise_ReadOnly() -> None:
    with pytest.raises(ReadOnly, match="mutation"):
        transaction(read_only=True).set("total", 7)


async def test_tx_key_names_a_key_in_the_instance_s_own_slot(managers: Managers) -> None:
    manager = managers(namespace="shop")

    @manager.mutation
    async def fill(tx: Transaction) -> str:
        tx.set(tx.key("totals"), 7)
        return tx.key("totals")

    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.run_mutation(fill)

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(flow)).result() == "{shop:0}:app:totals"
        assert await stored(tester.manager, "{shop:0}:app:totals") == b"7"


def test_which_is_what_a_mutation_can_use_on_Cluster() -> None:
    tx = transaction(same_slot=True)
    tx.set(tx.key("totals"), 7)
    assert [write[1] for write in tx.writes] == [b"{default:0}:app:totals"]


async def test_other_keys_work_everywhere_else(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        await step.run_mutation(add, 7)
        return await step.run_query(total)

    assert await run(manager, flow) == 7


def test_other_keys_raise_on_Cluster_an_error_that_says_so() -> None:
    with pytest.raises(WrongSlot, match=r"on Redis Cluster.*tx\.key"):
        transaction(same_slot=True).set("totals", 7)


# ---------------------------------------------------------------------------------------- 5. From any service


async def test_start_with_id_on_complete_and_context_returns_a_handle(manager: WorkflowManager, till: Till) -> None:
    @manager.action
    async def report(workflow_id: str, result: Result[Receipt], context: dict[str, int]) -> None:
        till.log.append(f"{workflow_id} {context['user']}")

    async with WorkflowTester(manager) as tester:
        start = tester.manager.start
        flow = checkout.with_options(id="order-7", on_complete=report, context={"user": 3})
        handle = assert_type(await start(flow, "cart-7"), WorkflowHandle[Receipt])
        assert await handle.result() == Receipt(cart="cart-7", cents=5)
        await tester.settle()
    assert till.log == ["cart-7", "order-7 3"]


async def test_start_many_starts_an_instance_for_each_call(manager: WorkflowManager) -> None:
    carts = ["a", "b", "c"]
    handles = await manager.start_many(checkout.with_options(id=f"order-{c}").bind(c) for c in carts)
    assert [handle.id for handle in assert_type(handles, list[WorkflowHandle[Receipt]])] == [
        f"order-{c}" for c in carts
    ]
    assert {item.id for item in (await manager.list()).items} == {f"order-{c}" for c in carts}


async def test_a_handle_without_the_workflow_has_results_that_are_Any(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        await (await tester.start(checkout.with_options(id="order-7"), "c-1")).result()
        typed, plain = tester.manager.handle("order-7", checkout), tester.manager.handle("order-7")
        assert assert_type(await typed.result(), Receipt) == Receipt(cart="c-1", cents=5)
        assert assert_type(await plain.result(), Any) == {"cart": "c-1", "cents": 5}


HANDLE_METHODS = [
    *("status", "result", "watch", "steps", "history", "cancel", "restart", "resume", "cleanup", "send_event"),
    *("value", "update"),
]


@pytest.mark.parametrize("name", HANDLE_METHODS)
def test_a_handle_has_the_method(manager: WorkflowManager, name: str) -> None:
    assert callable(getattr(manager.handle("order-7"), name))


@pytest.mark.parametrize("name", HANDLE_METHODS)
def test_each_handle_method_is_also_a_method_of_the_manager_by_id(manager: WorkflowManager, name: str) -> None:
    assert "workflow_id" in inspect.signature(getattr(manager, name)).parameters


async def test_status_InProgress_names_what_is_running(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        status = await (await started(tester, hanging, "x")).status()
        assert isinstance(status, InProgress)
        assert [(step.seq, step.name, step.attempt) for step in status.running] == [(1, "hang", 1)]


async def test_status_Completed_has_the_result(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(echo, "hello")
        await handle.result()
        assert await handle.status() == Completed("hello")


async def test_status_Failed_has_the_error(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(failing, "no such cart")
        await handle.ended()
        status = await handle.status()
        assert isinstance(status, Failed)
        assert "no such cart" in status.error.message


async def test_status_Canceled(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await started(tester, nap, 60)
        await handle.cancel()
        assert await handle.status() == Canceled()


async def test_status_Scheduled_says_at_what_time(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap.with_options(run_at=START + DAY), 0)
        assert await handle.status() == Scheduled(START + DAY)


async def stopped(managers: Managers) -> tuple[WorkflowManager, WorkflowHandle[str]]:
    """Stop an instance by other code; return a manager whose code fits again, and goes on otherwise."""
    old, new, mended = [stocked(managers()) for _ in range(3)]

    @old.workflow(name="changed")
    async def as_it_was(step: Step) -> str:
        await step.run_action(notify, "x")
        return await step.await_event("go", str)

    @new.workflow(name="changed")
    async def changed(step: Step) -> str:
        return await step.run_action(same_text, "x")

    @mended.workflow(name="changed")
    async def as_it_should_be(step: Step) -> str:
        await step.run_action(notify, "x")
        return f"went on: {await step.await_event('go', str)}"

    async with old.worker():
        handle = await old.start(as_it_was)
        await seen(handle, in_state("go", "waiting"))
    async with new.worker():
        await handle.send_event("go", "go")
        await seen(handle, lambda snapshot: snapshot.status.type == "stopped")
    return mended, mended.handle(handle.id, as_it_should_be)


async def test_status_Stopped_has_the_error_the_code_no_longer_fits_its_journal(managers: Managers) -> None:
    _, handle = await stopped(managers)
    status = await handle.status()
    assert isinstance(status, Stopped)
    assert "the journal has: step notify('x')" in status.error.message
    assert "the code asks for: step same_text('x')" in status.error.message


async def test_a_stopped_one_goes_on_with_mended_code(managers: Managers) -> None:
    mended, handle = await stopped(managers)
    async with mended.worker():
        assert await handle.result() == "went on: go"


async def test_resume_lets_a_stopped_instance_try_again(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        turns.append(step.workflow_id)
        await step.run_action(notify, "other" if len(turns) == 2 else "as ever")
        return "went on"

    turns: list[str] = []
    async with WorkflowTester(manager, replay="always") as tester:
        handle = await started(tester, flow)
        assert (await handle.status()).type == "stopped"
        assert await handle.resume()
        assert await handle.result() == "went on"
        assert not await handle.resume()


async def test_status_Stopped_or_its_turn_kills_workers(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        till.log.append("turn")
        assert tester._workforce is not None
        assert tester._workforce._life is not None
        tester._workforce._life.end()
        await step.run_action(notify, "x")

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await tester.advance(60)
        status = await handle.status()
        assert isinstance(status, Stopped)
        assert status.error.error_type == "PoisonTurn"
    assert till.log.count("turn") == 3


def test_a_status_is_one_discriminated_union_on_type() -> None:
    adapter: TypeAdapter[Status[int]] = TypeAdapter(Annotated[Status[int], Field(discriminator="type")])
    for status in (InProgress(), Completed(7), Canceled(), Scheduled(START)):
        assert adapter.validate_json(adapter.dump_json(status)) == status


async def test_an_unknown_id_is_WorkflowNotFound(manager: WorkflowManager) -> None:
    with pytest.raises(WorkflowNotFound, match="nobody"):
        await manager.handle("nobody").status()


async def test_result_is_the_value(manager: WorkflowManager) -> None:
    assert await run(manager, echo, "hello") == "hello"


async def test_result_raises_WorkflowFailed(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        raise LookupError("no such cart")

    error = await failure_of(manager, flow)
    assert (error.error_type, error.message) == ("LookupError", "no such cart")
    assert 'raise LookupError("no such cart")' in error.traceback


async def test_result_raises_WorkflowCanceled(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await started(tester, nap, 60)
        await handle.cancel()
        with pytest.raises(WorkflowCanceled):
            await handle.result()


async def test_result_raises_TimeoutError(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap, 60)
        with pytest.raises(TimeoutError):
            await handle.result(timeout=59)
        assert await handle.result(timeout=timedelta(seconds=2)) == "rested"


async def test_watch_gives_a_snapshot_now_and_after_every_change_with_each_step_s_state_and_result(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await step.run_action(notify, "hello")
        await step.run_action(slow, 60)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        states = [
            [(step.name, step.state, step.result) for step in snapshot.steps] async for snapshot in handle.watch()
        ]
    assert states[0] == []
    assert [("notify", "completed", "hello"), ("slow", "running", None)] in states
    assert states[-1] == [("notify", "completed", "hello"), ("slow", "completed", 60.0)]


async def test_watch_ends_with_the_workflow(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(echo, "hello")
        snapshots = [snapshot async for snapshot in handle.watch()]
    assert [snapshot.status.type for snapshot in snapshots][-1] == "completed"
    assert {snapshot.status.type for snapshot in snapshots[:-1]} == {"in_progress"}


async def test_there_may_be_many_watchers(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap, 60)

        async def last() -> str:
            return [snapshot.status.type async for snapshot in handle.watch()][-1]

        assert await asyncio.gather(*(last() for _ in range(50))) == ["completed"] * 50


@pytest.mark.server
async def test_watching_survives_lost_connections(managers: Managers, server_url: str, till: Till) -> None:
    manager = stocked(managers(server_url))
    async with manager.worker():
        handle = await manager.start(hanging, "x")
        snapshots = handle.watch()
        async with aclosing(snapshots):
            await anext(snapshots)
            await till.began.wait()
            assert await (await manager.store()).space.send("x", "CLIENT", "KILL", "TYPE", "pubsub")
            till.go.set()
            assert [snapshot.status.type async for snapshot in snapshots][-1] == "completed"


async def test_watching_does_not_poll(manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    snapshot = WorkflowHandle[Any]._snapshot

    async def counting(handle: WorkflowHandle[Any], store: Any) -> Any:  # noqa: ANN401
        reads.append(handle.id)
        return await snapshot(handle, store)

    monkeypatch.setattr(WorkflowHandle, "_snapshot", counting)
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap, 365 * 86_400)
        assert [snapshot.status.type async for snapshot in handle.watch()][-1] == "completed"
    assert len(reads) < 10


async def test_steps_give_of_each_step_seq_name_kind_arguments_state_result_and_times(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await step.sleep(10)
        await step.run_action(slow.with_options(run_after=20), 30)

    _, view = await steps_of(manager, flow)
    assert (view.seq, view.name, view.kind, view.arguments) == (2, "slow", "action", ((30.0,), {}))
    assert (view.state, view.result, view.error) == ("completed", 30.0, None)
    assert (view.queued, view.started, view.finished) == tuple(START + timedelta(seconds=s) for s in (10, 30, 60))
    assert view.worker


async def test_steps_give_of_each_step_its_error_and_attempts_with_their_errors(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        await caught(step.run_action(flaky, 9))

    (view,) = await steps_of(manager, flow)
    assert (view.state, view.attempt, view.error and view.error.message) == ("failed", 3, "attempt 3")
    assert [(tried.attempt, tried.error.message) for tried in view.attempts] == [(1, "attempt 1"), (2, "attempt 2")]


async def test_history_gives_everything_in_the_order_recorded(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(echo, "hello")
        await handle.result()
        entries = await handle.history()
    assert [(entry.kind, entry.seq, entry.name, entry.value) for entry in entries] == [
        ("started", 0, "", None),
        ("asked", 1, "notify", None),
        ("completed", 1, "notify", "hello"),
        ("ended", 0, "completed", "hello"),
    ]


async def test_cancel_at_once_nothing_new_runs(manager: WorkflowManager, till: Till) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        try:
            await step.sleep(60)
        finally:
            await step.run_action(notify, "finally")

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        assert await handle.cancel()
        await tester.advance(120)
        assert [view.state for view in await handle.steps()] == ["canceled"]
    assert till.log == []


async def test_cancel_drops_the_results_of_running_steps_and_cancels_running_async_steps(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.action
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await till.go.wait()
        till.log.append("ended")
        return "result"

    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.run_action(stubborn)

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await handle.cancel()
        await tester.settle()
        assert [(view.state, view.result) for view in await handle.steps()] == [("canceled", None)]
    assert till.log == ["ended"]


async def test_cancel_cancels_children_too(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.run_workflow(nap.with_options(id="n-1"), 60)

    async with WorkflowTester(manager) as tester:
        await (await started(tester, flow)).cancel()
        await tester.settle()
        assert await tester.handle("n-1").status() == Canceled()


async def test_on_complete_gets_Canceled(manager: WorkflowManager, till: Till) -> None:
    @manager.action
    async def report(workflow_id: str, result: Result[str], context: None) -> None:
        till.log.append(str(result))

    async with WorkflowTester(manager) as tester:
        await (await started(tester, nap.with_options(on_complete=report, context=None), 60)).cancel()
        await tester.settle()
    assert till.log == [str(Canceled())]


async def test_cancel_with_cleanup_raises_CancelledError_at_the_workflow_s_await_so_finally_and_sagas_run_first(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(notify, "undo")
            try:
                await step.sleep(60)
            except asyncio.CancelledError:
                till.log.append("cancelled")
                raise
            finally:
                await step.run_action(notify, "finally")

    async with WorkflowTester(manager) as tester:
        handle = await started(tester, flow)
        await handle.cancel(cleanup=True)
        with pytest.raises(WorkflowCanceled):
            await handle.result()
        assert tester.now == START
    assert till.log == ["cancelled", "finally", "undo"]


class Shaky:
    """A workflow of three steps, the second of which fails as long as the till is shut."""

    def __init__(self, manager: WorkflowManager, till: Till) -> None:
        @manager.action(name="second")
        async def second() -> None:
            till.log.append("second")
            if not till.go.is_set():
                raise LookupError

        @manager.workflow(name="shaky")
        async def shaky(step: Step) -> str:
            await step.run_action(notify.with_options(name="first"), "first")
            await step.run_action(second)
            return await step.run_action(notify.with_options(name="third"), "third")

        self.flow = shaky


async def test_restart_a_finished_instance_runs_again_without_a_step_from_the_first_failed_or_unfinished_one(
    manager: WorkflowManager, till: Till
) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(Shaky(manager, till).flow)
        await handle.ended()
        till.go.set()
        await handle.restart()
        assert await handle.result() == "third"
    assert till.log == ["first", "second", "second", "third"]


@pytest.mark.parametrize("from_step", [3, "third"], ids=["number", "name"])
async def test_restart_from_a_step_number_or_name(manager: WorkflowManager, till: Till, from_step: int | str) -> None:
    till.go.set()
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(Shaky(manager, till).flow)
        await handle.result()
        await handle.restart(from_step=from_step)
        assert await handle.result() == "third"
    assert till.log == ["first", "second", "third", "third"]


async def test_cleanup_True_everything_of_a_finished_instance_children_included_is_deleted(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.run_workflow(nap.with_options(id="n-1"), 0)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow.with_options(id="f-1"))
        await handle.result()
        assert await handle.cleanup() is True
        await tester.advance(1)
        for workflow_id in ("f-1", "n-1"):
            with pytest.raises(WorkflowNotFound):
                await tester.handle(workflow_id).status()


async def test_cleanup_False_unknown_or_still_running(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        assert await tester.handle("nobody").cleanup() is False
        handle = await started(tester, nap, 60)
        assert await handle.cleanup() is False
        assert await handle.result() == "rested"


async def test_an_id_makes_send_event_idempotent(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        return [await step.await_event("n", int) for _ in range(2)]

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        for event_id, number in (("click-1", 1), ("click-1", 1), ("click-2", 2)):
            await handle.send_event("n", number, id=event_id)
        assert await handle.result() == [1, 2]


async def test_create_event_gives_an_event_id_to_hand_out_that_one_await_event_waits_for(
    manager: WorkflowManager,
) -> None:
    first, second = manager.create_event(), manager.create_event()
    assert first != second
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(approval, first)
        await handle.send_event(second, Approval(by="bob"))
        await handle.send_event(first, Approval(by="ann"))
        assert await handle.result() == Approval(by="ann")


async def test_value_is_what_set_value_published(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        step.set_value("progress", {"percent": 10})

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        await handle.result()
        assert await handle.value("progress") == {"percent": 10}
        assert await handle.value("other") is None
    with pytest.raises(WorkflowNotFound):
        await manager.handle("nobody").value("progress")


async def test_update_raises_its_error(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(Basket(manager).flow)
        with pytest.raises(UpdateFailed, match="too heavy"):
            await handle.update("put", "brick")
        assert await handle.update("put", "pen", type=int) == 1


async def test_list_filters_by_workflow_status_tags_and_start_pages_and_orders(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        for name in ("a", "b", "c"):
            await tester.start(nap.with_options(id=name, tags={"name": name}), 0 if name == "b" else 3600)
            await tester.advance(60)
        await tester.start(echo.with_options(id="d"), "x")
        await tester.settle()

        async def ids(**selection: Any) -> str:  # noqa: ANN401 - of several types
            return "".join(item.id for item in (await tester.manager.list(**selection)).items)

        assert await ids() == "dcba"
        assert await ids(order="asc") == "abcd"
        assert await ids(workflow=nap) == await ids(workflow="nap") == "cba"
        assert await ids(status="completed") == "db"
        assert await ids(tags={"name": "b"}) == "b"
        assert await ids(started_after=START + timedelta(seconds=60)) == "dcb"
        assert await ids(started_before=START + timedelta(seconds=60)) == "a"
        assert await ids(limit=3) == "dcb"
        cursor = (await tester.manager.list(limit=3)).cursor
        assert await ids(limit=3, cursor=cursor) == "a"


async def test_list_gives_100_a_page_by_default(manager: WorkflowManager) -> None:
    await manager.start_many(nap.with_options(id=f"n-{n}").bind(0) for n in range(101))
    page = await manager.list()
    assert (len(page.items), page.cursor is None) == (100, False)
    assert len((await manager.list(cursor=page.cursor)).items) == 1


async def test_the_same_filter_serves_cancel_many_restart_many_and_cleanup_many(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        for name in ("a", "b", "c"):
            await tester.start(nap.with_options(id=name, tags={"team": name[:1].replace("c", "a")}), 60)
        await tester.settle()
        many = tester.manager
        assert await many.cancel_many(workflow=nap, tags={"team": "a"}) == 2
        await tester.settle()
        assert await many.restart_many(tags={"team": "a"}) == 2
        assert await tester.handle("a").result() == "rested"
        await tester.advance(60)
        assert await many.cleanup_many(workflow="nap", status="completed", tags={"team": "a"}) == 2
        assert [item.id for item in (await many.list()).items] == ["b"]


async def test_on_complete_is_a_mutation_or_action(manager: WorkflowManager, till: Till) -> None:
    @manager.action
    async def act(workflow_id: str, result: Result[str], context: str) -> None:
        till.log.append(f"{workflow_id} {context}")

    @manager.mutation
    async def write(tx: Transaction, workflow_id: str, result: Result[str], context: str) -> None:
        tx.set("told", f"{workflow_id} {context}")

    async with WorkflowTester(manager) as tester:
        await tester.start(nap.with_options(id="n-1", on_complete=act, context="x"), 0)
        await tester.start(nap.with_options(id="n-2", on_complete=write, context="y"), 0)
        await tester.settle()
        assert await stored(tester.manager, "told") == b"n-2 y"
    assert till.log == ["n-1 x"]


def test_a_query_or_workflow_cannot_be_on_complete() -> None:
    with pytest.raises(InvalidOption, match="mutation or an action"):
        nap.with_options(on_complete=load_cart, context=None)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def test_on_complete_is_called_with_a_Result_Completed_Failed_or_Canceled(
    manager: WorkflowManager, till: Till
) -> None:
    results: list[Result[None]] = []

    @manager.action
    async def report(workflow_id: str, result: Result[None], context: None) -> None:
        results.append(result)

    @manager.workflow
    async def flow(step: Step, how: str) -> None:
        if how == "fails":
            raise LookupError("no such cart")
        await step.sleep(60 if how == "waits" else 0)

    async with WorkflowTester(manager) as tester:
        for how in ("returns", "fails", "waits"):
            handle = await started(tester, flow.with_options(on_complete=report, context=None), how)
            await handle.cancel()
            await tester.settle()
    assert [type(result) for result in results] == [Completed, Failed, Canceled]
    assert isinstance(results[1], Failed)
    assert results[1].error.message == "no such cart"


async def test_on_complete_runs_as_a_durable_actor_of_its_own_with_its_own_retries(
    manager: WorkflowManager, till: Till
) -> None:
    @manager.action(retry=RetryPolicy(max_attempts=3, initial_backoff=60, jitter=False))
    async def report(workflow_id: str, result: Result[str], context: None) -> None:
        till.log.append(f"attempt {current_step().attempt}")
        if current_step().attempt < 3:
            raise ConnectionError

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap.with_options(on_complete=report, context=None), 0)
        await handle.result()
        await tester.settle()
        await lose_worker(tester)
        assert (await handle.status()).type == "completed"
        await tester.advance(300)
        assert (await handle.steps())[-1].state == "completed"
    assert till.log == ["attempt 1", "attempt 2", "attempt 3"]


async def test_its_failure_is_visible_in_the_instance_s_steps(manager: WorkflowManager) -> None:
    @manager.action
    async def report(workflow_id: str, result: Result[str], context: None) -> None:
        raise LookupError("nobody listens")

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(nap.with_options(on_complete=report, context=None), 0)
        await handle.result()
        await tester.settle()
        view = (await handle.steps())[-1]
        assert (view.name, view.kind, view.state) == (report.name, "on_complete", "failed")
        assert view.error
        assert view.error.message == "nobody listens"


async def publish(manager: WorkflowManager, **fields: str) -> None:
    """Send a message as a client in any language does."""
    words = [word for pair in fields.items() for word in pair]
    assert await (await manager.store()).space.send("default:gateway", "XADD", "default:gateway", "*", *words)


async def test_a_start_without_this_library_is_one_command(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        await publish(tester.manager, type="start", workflow="checkout", id="order-7", args='{"cart_id": "cart-7"}')
        await tester.advance(1)
        assert await tester.handle("order-7", checkout).result() == Receipt(cart="cart-7", cents=5)


async def test_an_event_without_this_library_is_one_command(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(approval.with_options(id="order-7"), "approved")
        await publish(tester.manager, type="event", id="order-7", name="approved", value='{"by": "ann"}')
        await tester.advance(1)
        assert await handle.result() == Approval(by="ann")


async def test_a_cancel_without_this_library_is_one_command(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(approval.with_options(id="order-7"), "approved")
        await publish(tester.manager, type="cancel", id="order-7")
        await tester.advance(1)
        assert await handle.status() == Canceled()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"type": "start", "workflow": "nothing", "id": "o-1", "args": "{}"}, "nothing"),
        ({"type": "start", "workflow": "checkout", "id": "o-1", "args": '{"cart_id": 5}'}, "cart_id"),
        ({"type": "start", "workflow": "checkout", "id": "o-1", "args": "{"}, "JSON"),
        ({"type": "event", "id": "nobody", "name": "approved"}, "nobody"),
        ({"type": "dance"}, "dance"),
    ],
    ids=["unknown workflow", "wrong arguments", "no JSON", "unknown id", "unknown type"],
)
async def test_bad_messages_go_to_default_dead_with_the_reason(
    manager: WorkflowManager, message: dict[str, str], reason: str
) -> None:
    async with WorkflowTester(manager) as tester:
        await publish(tester.manager, **message)
        await tester.advance(timedelta(minutes=5))
        space = (await tester.manager.store()).space
        assert reason in str(await space.send("default:dead", "XRANGE", "default:dead", "-", "+"))
        assert await space.send("default:gateway", "XLEN", "default:gateway") == 0


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_and_a_message_delivered_twice_starts_once(
    manager: WorkflowManager, till: Till, seed: int
) -> None:
    @manager.mutation
    async def count(tx: Transaction) -> None:
        tx.incr("count")

    @manager.workflow(name="counts")
    async def counts(step: Step) -> None:
        await step.run_mutation(count)

    async with WorkflowTester(manager, crash_seed=seed) as tester:
        for _ in range(2):
            await publish(tester.manager, type="start", workflow="counts", id="order-7", args="{}")
        await publish(tester.manager, type="start", workflow="counts", args="{}")
        await tester.advance(timedelta(minutes=5))
        assert await stored(tester.manager, "count") == b"2"
