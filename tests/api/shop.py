"""A shop on workflows: what the walk through the author's interface buys and sells, and short ways to run it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel

from actors import (
    NonRetryable,
    RetryPolicy,
    Step,
    StepFailed,
    StepView,
    Transaction,
    WorkflowFailed,
    WorkflowManager,
    current_step,
)
from actors.definitions import Workflow
from actors.registry import Registry
from actors.testing import TestedHandle, WorkflowTester

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins."""
JSON = dict[str, list[int | str | None]]

shop = Registry()


class Cart(BaseModel):
    id: str
    total: int = 0


class Receipt(BaseModel):
    cart: str
    cents: int


class Approval(BaseModel):
    by: str


@dataclass
class Address:
    street: str
    number: int


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


CART = Cart(id="c-1", total=5)


class Till:
    """What steps tell the test, and what they wait for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.began = asyncio.Event()
        self.go = asyncio.Event()


till = Till()


def reset_till() -> Till:
    """Empty the till; return it."""
    till.__init__()  # type: ignore[misc]  # one object, which the steps know
    return till


@shop.query
async def load_cart(tx: Transaction, cart: str) -> Cart:
    return Cart(id=cart, total=int(await tx.get(tx.key(f"cart:{cart}")) or 5))


@shop.query
async def total(tx: Transaction) -> int:
    return int(await tx.get("total") or 0)


@shop.query
async def untidy(tx: Transaction) -> None:
    tx.set("total", 7)


@shop.mutation
async def reserve(tx: Transaction, cart: Cart) -> str:
    tx.set(tx.key(f"reserved:{cart.id}"), cart.total)
    return f"r-{cart.id}"


@shop.mutation
async def release(tx: Transaction, reservation: str) -> None:
    till.log.append(f"release {reservation}")
    tx.delete(tx.key(f"reserved:{reservation}"))


@shop.mutation
async def add(tx: Transaction, by: int) -> int:
    before = int(await tx.get("total") or 0)
    tx.incrby("total", by)
    return before + by


@shop.mutation
async def add_and_hang(tx: Transaction, by: int) -> None:
    tx.incrby("total", by)
    till.log.append("add")
    till.began.set()
    if len(till.log) == 1:
        await asyncio.Event().wait()


@shop.action(retry=RetryPolicy(max_attempts=5, initial_backoff=0.2, base=2, max_backoff=30))
async def charge(cart: Cart, *, cents: int) -> Receipt:
    if cents < 0:
        raise NonRetryable("declined")
    return Receipt(cart=cart.id, cents=cents)


@shop.action
async def notify(text: str) -> str:
    till.log.append(text)
    return text


@shop.action
def weigh(cart: Cart) -> int:
    return threading.get_ident()


@shop.action
async def fail(message: str) -> None:
    till.log.append("fail")
    raise LookupError(message)


@shop.action(retry=RetryPolicy(initial_backoff=60, jitter=False))
async def flaky(failures: int) -> int:
    if current_step().attempt <= failures:
        raise ConnectionError(f"attempt {current_step().attempt}")
    return current_step().attempt


@shop.action
async def slow(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@shop.action
async def hang(name: str) -> str:
    """Wait for the test; note how it ends."""
    till.log.append(f"began {name}")
    till.began.set()
    try:
        await till.go.wait()
    except asyncio.CancelledError:
        till.log.append(f"cancelled {name}")
        raise
    return name


@shop.workflow
async def checkout(step: Step, cart_id: str) -> Receipt:
    cart = await step.run_query(load_cart, cart_id)
    reservation = await step.run_mutation(reserve, cart)
    try:
        receipt, _ = await asyncio.gather(
            step.run_action(charge, cart, cents=cart.total if cart_id != "broke" else -1),
            step.run_action(notify.with_options(run_after=timedelta(minutes=5)), cart_id),
        )
    except StepFailed:
        await step.run_mutation(release, reservation)
        raise
    await step.sleep(timedelta(days=30))
    return receipt


@shop.workflow
async def echo(step: Step, text: str) -> str:
    return await step.run_action(notify, text)


@shop.workflow
async def nap(step: Step, seconds: float) -> str:
    await step.sleep(seconds)
    return "rested"


@shop.workflow
async def hanging(step: Step, name: str) -> str:
    return await step.run_action(hang, name)


@shop.workflow
async def failing(step: Step, message: str) -> None:
    await step.run_action(fail, message)


@shop.workflow
async def approval(step: Step, name: str) -> Approval:
    return await step.await_event(name, Approval)


@shop.action
async def same_text(value: str) -> str:
    return value


@shop.action
async def same_json(value: JSON) -> JSON:
    return value


@shop.action
async def same_model(value: Cart) -> Cart:
    return value


@shop.action
async def same_dataclass(value: Address) -> Address:
    return value


@shop.action
async def same_enum(value: Colour) -> Colour:
    return value


@shop.action
async def same_datetime(value: datetime) -> datetime:
    return value


@shop.action
async def same_uuid(value: UUID) -> UUID:
    return value


@shop.action
async def same_bytes(value: bytes) -> bytes:
    return value


@shop.action
async def same_set(value: set[str]) -> set[str]:
    return value


def stamp() -> datetime:
    """Read the clock, where no check of a workflow's module looks."""
    return datetime.now(UTC)


def doze() -> None:
    """Block, where no check of a workflow's module looks."""
    time.sleep(0.01)


def stocked(manager: WorkflowManager) -> WorkflowManager:
    """Register all of the shop with a manager; return it."""
    for step in shop._steps.values():
        manager._add(step)
    for workflow in shop.workflows:
        manager._add(workflow)
    return manager


async def run(manager: WorkflowManager, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a workflow on virtual time; return its result."""
    async with WorkflowTester(manager) as tester:
        return await (await tester.start(workflow, *args, **kwargs)).result()


async def rerun(manager: WorkflowManager, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the same, replaying it at every turn."""
    async with WorkflowTester(manager, replay="always") as tester:
        return await (await tester.start(workflow, *args, **kwargs)).result()


async def steps_of(
    manager: WorkflowManager, workflow: Workflow[P, Any], /, *args: P.args, **kwargs: P.kwargs
) -> list[StepView]:
    """Run a workflow on virtual time to its end, however it ends; return its steps."""
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(workflow, *args, **kwargs)
        await handle.ended()
        return await handle.steps()


async def failure_of(
    manager: WorkflowManager, workflow: Workflow[P, Any], /, *args: P.args, **kwargs: P.kwargs
) -> WorkflowFailed:
    """Run a workflow that must fail on virtual time; return what its result raised."""
    with pytest.raises(WorkflowFailed) as caught:
        await run(manager, workflow, *args, **kwargs)
    return caught.value


async def caught(work: Awaitable[object]) -> StepFailed:
    """Return the StepFailed that a step ends in."""
    try:
        await work
    except StepFailed as error:
        return error
    raise AssertionError("it did not fail")


async def started(
    tester: WorkflowTester, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> TestedHandle[R]:
    """Start a workflow and let it go as far as it can without time passing."""
    handle = await tester.start(workflow, *args, **kwargs)
    await tester.settle()
    return handle


async def lose_worker(tester: WorkflowTester) -> None:
    """Let the tester's worker die as by SIGKILL; another one takes over at once."""
    assert tester._workforce is not None
    assert tester._workforce._life is not None
    tester._workforce._life.end()
    await tester.settle()


async def stored(manager: WorkflowManager, key: str) -> bytes | None:
    """Return what the application's key holds."""
    found = await (await manager.store()).space.send(key, "GET", key)
    assert isinstance(found, bytes | None)
    return found


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """Return what the condition gives, once that is something."""
    while True:
        with suppress(LookupError):
            if found := await condition():
                return found
        await asyncio.sleep(0.002)


def transaction(*, holds: bytes | None = None, read_only: bool = False, same_slot: bool = False) -> Transaction:
    """Return a transaction without a Redis: every key holds the same."""

    async def read(_: tuple[bytes, ...]) -> object:
        return holds

    async def watch(_: Sequence[bytes]) -> None: ...

    return Transaction(
        read=read, watch=watch, tag="{default:0}", namespace="default", read_only=read_only, same_slot=same_slot
    )
