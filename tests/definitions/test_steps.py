from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, cast

import pytest

from actors.calls import active_step
from actors.definitions import Action, AsyncAction, BoundAction, Mutation, Query, ThreadAction, Workflow
from actors.errors import CallNotAllowed, InvalidArguments, InvalidDefinition, InvalidOption
from actors.policy import RetryPolicy
from actors.registry import Registry
from actors.transaction import Transaction
from actors.workflow.step import Step
from kernel import Command

P = ParamSpec("P")
R = TypeVar("R")

registry = Registry(default_retry=RetryPolicy(max_attempts=4))


@registry.query
async def load(tx: Transaction, cart: str) -> str:
    return f"{tx}:{cart}"


@registry.mutation
async def reserve(tx: Transaction, cart: str) -> str:
    return f"{tx}:{cart}"


@registry.action
async def charge(cents: int) -> int:
    return cents


@registry.action
def render(page: int) -> str:
    return f"page {page}"


@registry.workflow
async def checkout(step: Step, cart: str) -> str:
    return f"{step}:{cart}"


class FakeStep:
    def __init__(self) -> None:
        self.asked: list[tuple[Action[..., Any], tuple[object, ...], dict[str, object]]] = []

    def run_action(self, action: Action[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        self.asked.append((action, args, kwargs))
        return asyncio.sleep(0, result=cast("R", 99))


@pytest.fixture
def inside_a_workflow() -> Iterator[FakeStep]:
    step = FakeStep()
    token = active_step.set(cast("Any", step))
    yield step
    active_step.reset(token)


def test_outside_a_workflow_definitions_are_what_they_decorate() -> None:
    assert asyncio.run(cast("Any", load)("tx", "c")) == "tx:c"
    assert asyncio.run(cast("Any", reserve)("tx", cart="c")) == "tx:c"
    assert asyncio.run(charge(5)) == 5
    assert render(2) == "page 2"
    assert vars(charge)["__name__"] == "charge"


def test_inside_a_workflow_calling_an_async_action_asks_for_a_step(inside_a_workflow: FakeStep) -> None:
    async def workflow_code() -> int:
        return await charge(cents=5)

    assert asyncio.run(workflow_code()) == 99
    assert inside_a_workflow.asked == [(charge, (), {"cents": 5})]


def test_inside_a_workflow_options_of_a_called_copy_count(inside_a_workflow: FakeStep) -> None:
    copy = charge.with_options(name="twice")

    async def workflow_code() -> None:
        await copy(5)

    asyncio.run(workflow_code())
    assert inside_a_workflow.asked[0][0] is copy


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: render(1), "await step.run_action(render, …)"),
        (lambda: cast("Any", load)("tx", "c"), "await step.run_query(load, …)"),
        (lambda: cast("Any", reserve)("tx", "c"), "await step.run_mutation(reserve, …)"),
    ],
)
def test_inside_a_workflow_other_direct_calls_are_refused_with_the_line_to_write(
    call: Callable[[], object], line: str, inside_a_workflow: FakeStep
) -> None:
    with pytest.raises(CallNotAllowed) as raised:
        call()

    assert line in str(raised.value)


def test_calling_a_workflow_with_a_step_runs_its_code_inline(inside_a_workflow: FakeStep) -> None:
    assert asyncio.run(cast("Any", checkout)("s", "c-1")) == "s:c-1"


def test_decorating_sorts_actions_by_how_they_are_written() -> None:
    assert type(charge) is AsyncAction
    assert type(render) is ThreadAction
    assert type(load) is Query
    assert type(reserve) is Mutation
    assert type(checkout) is Workflow
    assert [d.kind for d in (charge, render, load, reserve, checkout)] == [
        "action",
        "action",
        "query",
        "mutation",
        "workflow",
    ]


def test_a_command_of_a_plain_step() -> None:
    assert charge.command((5,), {}, at=3, now_ms=1000) == Command(
        kind="step",
        target="charge",
        label="charge",
        arguments=charge.encode_arguments((5,), {}),
        at=3,
        queue="default",
        at_most_once=True,
    )


def test_a_command_carries_every_option() -> None:
    policy = RetryPolicy(max_attempts=2)
    copy = charge.with_options(name="the fee", retry=policy, run_after=2, queue="gpu", timeout=9)

    command = copy.command((5,), {}, at=3, now_ms=1000)

    assert (command.target, command.label, command.queue) == ("charge", "the fee", "gpu")
    assert (command.due_ms, command.timeout_ms, command.at_most_once) == (3000, 9000, False)
    assert RetryPolicy.decode(command.options) == policy


def test_run_at_is_an_absolute_time_in_the_command() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)

    assert charge.with_options(run_at=at).command((5,), {}, at=1, now_ms=7).due_ms == at.timestamp() * 1000


def test_wrong_arguments_make_no_command() -> None:
    with pytest.raises(InvalidArguments):
        charge.command(("x",), {}, at=1, now_ms=1)


@pytest.mark.parametrize(
    ("retry", "by_default", "attempts", "at_most_once"),
    [
        (None, False, None, True),
        (None, True, 4, False),
        (False, True, None, True),
        (True, False, 4, False),
        (RetryPolicy(max_attempts=1), False, 1, True),
        (RetryPolicy(max_attempts=2), False, 2, False),
    ],
)
def test_what_retry_means_for_an_action(
    retry: RetryPolicy | bool | None, by_default: bool, attempts: int | None, at_most_once: bool
) -> None:
    manager = Registry(default_retry=RetryPolicy(max_attempts=4), retry_actions_by_default=by_default)
    step = manager.action(charge.function)
    step = step if retry is None else step.with_options(retry=retry)

    assert (step.policy.max_attempts if step.policy else None) == attempts
    assert step.at_most_once is at_most_once
    assert step.command((5,), {}, at=1, now_ms=1).at_most_once is at_most_once


def test_queries_and_mutations_are_not_retried_by_default_but_may_be_started_again() -> None:
    for step in (load, reserve, load.with_options(retry=False)):
        assert step.policy is None
        assert not step.at_most_once


def test_a_bound_call_has_checked_its_arguments() -> None:
    call = charge.bind(cents=5)

    assert type(call) is BoundAction
    assert call.definition is charge
    assert charge.decode_arguments(call.arguments) == ((5,), {})
    with pytest.raises(InvalidArguments):
        charge.bind("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def not_async(one: object) -> None:
    assert one


@pytest.mark.parametrize(
    ("decorator", "function", "told"),
    [
        ("query", not_async, "is a query: write it with async def"),
        ("workflow", not_async, "is a workflow: write it with async def"),
        ("action", 5, "5 is no function"),
        ("action", charge, "is a definition already"),
        ("action", print, "is no function"),
    ],
)
def test_what_cannot_be_a_definition_is_refused(decorator: str, function: object, told: str) -> None:
    with pytest.raises(InvalidDefinition) as raised:
        getattr(registry, decorator)(function)

    assert told in str(raised.value)


class Shop:
    """Has methods, which no definition can be; a static one is a function."""

    def thread(self) -> None: ...
    async def action(self, number: int) -> None: ...
    async def query(self, tx: Transaction) -> None: ...
    async def workflow(self, step: Step) -> None: ...
    @staticmethod
    async def static(number: int) -> int:
        return number


@pytest.mark.parametrize(
    ("decorator", "method"),
    [("action", Shop.thread), ("action", Shop.action), ("query", Shop.query), ("workflow", Shop.workflow)],
)
def test_a_method_is_refused_where_it_is_decorated(decorator: str, method: object) -> None:
    with pytest.raises(InvalidDefinition, match=r"Shop.\w+\(\) at .* is a method, .* move it out of the class"):
        getattr(Registry(), decorator)(method)


def test_a_static_method_and_a_function_whose_first_parameter_is_called_self_are_none() -> None:
    async def work(self: int) -> int:
        return self

    assert Registry().action(Shop.static).name == "Shop.static"
    assert Registry().action(work).bind(1).definition.kind == "action"


def test_a_plain_def_has_no_heartbeats_to_wait_for() -> None:
    manager = Registry()
    said = r"heartbeat_timeout of \w+\(\) at .*a plain def runs in a thread.*async def"
    with pytest.raises(InvalidOption, match=said):

        @manager.action(heartbeat_timeout=3)
        def never() -> None: ...

    @manager.action(heartbeat_timeout=None)
    def fine() -> None: ...

    with pytest.raises(InvalidOption, match=said):
        fine.with_options(heartbeat_timeout=3)
    assert fine.with_defaults(below={"heartbeat_timeout": 3}, above={"heartbeat_timeout": 4}).options == fine.options


def test_generators_and_missing_first_parameters_are_refused() -> None:
    async def numbers(step: Step) -> AsyncIterator[int]:
        yield 1

    async def nothing() -> None:
        pass

    async def keyword_only(*, tx: Transaction) -> None:
        pass

    manager = cast("Any", registry)
    with pytest.raises(InvalidDefinition, match="is a generator"):
        manager.workflow(numbers)
    with pytest.raises(InvalidDefinition, match="give it a first parameter, step"):
        manager.workflow(nothing)
    with pytest.raises(InvalidDefinition, match="give it a first parameter, tx"):
        manager.query(keyword_only)
