"""A shop's workflows, as a user would write them: both checkers, strict, must find nothing to say.

Checked twice: by the gate, as part of the tests, and by ``test_typing.py`` under the user's own (strict) settings.
Nothing in here runs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Generic, TypeVar, assert_never, assert_type
from uuid import UUID

from pydantic import BaseModel

from actors.definitions import (
    AsyncAction,
    BoundAction,
    BoundQuery,
    BoundWorkflow,
    Mutation,
    Query,
    ThreadAction,
    Workflow,
)
from actors.errors import NonRetryable, RetryAfter, StepFailed, StepTimedOut
from actors.handle import WorkflowHandle
from actors.history import HistoryEntry
from actors.listing import Selection
from actors.manager import WorkflowManager
from actors.policy import RetryPolicy
from actors.registry import Registry
from actors.results import Canceled, Completed, Failed, InProgress, Result, Scheduled, Status, Stopped
from actors.transaction import Transaction
from actors.views import Snapshot, StepView
from actors.workflow.step import Step
from actors.workpool import Workpool

T = TypeVar("T")

manager = Registry(default_retry=RetryPolicy(max_attempts=5), retry_actions_by_default=True)


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Cart(BaseModel):
    id: UUID
    total: int
    sizes: set[Size] = set()


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = None


@dataclass(frozen=True)
class Receipt:
    cents: int
    at: datetime


approved_event = manager.event("approved", Receipt)
sizes_event = manager.event("sizes", list[Size])
ping_event = manager.event("ping", None)


# ------------------------------------------------------------------------------------------------------ definitions


@manager.query
async def load_cart(tx: Transaction, cart: str) -> Cart:
    found = await tx.get(f"cart:{cart}")
    if found is None:
        raise NonRetryable(f"no cart {cart}")
    return Cart.model_validate_json(found)


@manager.query(name="shop.page", queue="reports", timeout=5)
async def load_page(tx: Transaction, *names: str, limit: int = 10) -> Page[Cart]:
    return Page(items=[])


@manager.mutation
async def reserve(tx: Transaction, cart: Cart) -> str:
    tx.set(f"reserved:{cart.id}", "1")
    return str(cart.id)


@manager.mutation(retry=True)
async def release(tx: Transaction, reservation: str, /, **flags: bool) -> None:
    tx.delete(f"reserved:{reservation}")


@manager.action(
    retry=RetryPolicy(
        max_attempts=5, initial_backoff=0.2, base=2, max_backoff=timedelta(seconds=30), stop_on=(KeyError,)
    )
)
async def charge(cart: Cart, *, cents: int) -> Receipt:
    if cents > 10_000:
        raise RetryAfter(timedelta(minutes=1))
    return Receipt(cents, datetime.now(UTC))


@manager.action
async def notify(cart: Cart, text: str = "thanks") -> None: ...


@manager.action
def render(cart: Cart, size: Size) -> bytes:
    return b""


@manager.action(name="render.large", retry=False, queue="gpu")
def render_large(cart: Cart) -> bytes:
    return b""


@manager.action
async def awkward(action: int, self: str, step: bool, name: str, options: int) -> float:
    return 1.0


@manager.workflow
async def checkout(step: Step, cart_id: str, *, gift: bool = False) -> Receipt:
    cart = await step.run_query(load_cart, cart_id)
    assert_type(cart, Cart)
    reservation = await step.run_mutation(reserve, cart)
    assert_type(reservation, str)
    try:
        receipt, _ = await asyncio.gather(
            step.run_action(charge, cart, cents=cart.total),
            step.run_action(notify.with_options(run_after=timedelta(minutes=5)), cart),
        )
    except StepTimedOut as error:
        step.log.info("too slow", error_type=error.error_type, attempts=error.attempts)
        raise
    except StepFailed:
        await step.run_mutation(release, reservation, hurried=True)
        raise
    assert_type(receipt, Receipt)
    await step.sleep(timedelta(days=30))
    await step.sleep(0.5)
    await step.sleep_until(datetime(2030, 1, 1, tzinfo=UTC))
    return receipt


@manager.workflow(version="2", timeout=timedelta(days=2))
async def bundle(step: Step, carts: list[str]) -> int:
    receipts = await asyncio.gather(*(step.run_workflow(checkout.with_options(id=f"c-{cart}"), cart) for cart in carts))
    assert_type(receipts, list[Receipt])
    inline = await checkout(step, carts[0], gift=True)
    assert_type(inline, Receipt)
    return sum(receipt.cents for receipt in receipts)


# ------------------------------------------------------------------------------------------------ inside a workflow


@manager.workflow(name="shop.everything", step_defaults={"retry": RetryPolicy(max_attempts=9), "inline": True})
async def everything(step: Step, cart: Cart) -> str:
    direct = await charge(cart, cents=5)
    assert_type(direct, Receipt)
    page = await step.run_query(load_page, "a", "b", limit=3)
    assert_type(page, Page[Cart])
    picture = await step.run_action(render, cart, Size.SMALL)
    assert_type(picture, bytes)
    number = await step.run_action(awkward, 1, self="s", step=True, name="n", options=2)
    assert_type(number, float)

    first, second = step.run_action(render_large, cart), step.run_action(render, cart, Size.LARGE)
    done, pending = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    for future in asyncio.as_completed([first]):
        assert_type(await future, bytes)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(step.run_action(charge, cart, cents=1))
    assert_type(task.result(), Receipt)
    async with asyncio.timeout(3):
        assert_type(await asyncio.wait_for(step.run_mutation(reserve, cart), 5), str)
    assert_type(await asyncio.shield(first), bytes)

    approved = await step.await_event("approved", Receipt, timeout=timedelta(days=1))
    assert_type(approved, Receipt)
    names = await step.await_event("names", list[str])
    assert_type(names, list[str])
    granted = await step.await_event(approved_event, timeout=3)
    assert_type(granted, Receipt)
    assert_type(await step.await_event(sizes_event), list[Size])
    assert_type(await step.await_event(ping_event), None)
    anything = await step.await_event("anything")
    assert_type(anything, Any)
    polled = await step.wait_for(load_cart.bind("c-1"), interval=timedelta(minutes=1), timeout=3600)
    assert_type(polled, Cart)
    async with step.saga() as saga:
        saga.undo(release, "r-1", hurried=True)
        saga.undo(notify, cart, text="sorry")
        saga.undo(checkout, "c-1", gift=False)
        await step.run_mutation(reserve, cart)
    step.set_value("progress", 0.5)
    assert_type(step.now(), datetime)
    assert_type(step.uuid4(), UUID)
    assert_type(step.random.random(), float)
    assert_type((step.workflow_id, step.attempt, step.version), tuple[str, int, str])
    return f"{step.workflow_id} {len(done)} {len(pending)}"


@manager.workflow
async def basket(step: Step) -> list[str]:
    items: list[str] = []
    closed = asyncio.Event()

    @step.update_handler
    async def add(item: str, *, times: int = 1) -> int:
        items.extend([item] * times)
        return len(items)

    @step.update_handler(name="close")
    def close_basket() -> None:
        closed.set()

    assert_type(await add("a", times=2), int)
    await closed.wait()
    return items


def handle_of(step: Step) -> WorkflowHandle[int]:
    raise NotImplementedError


async def sender(handle: WorkflowHandle[list[str]], receipt: Receipt) -> None:
    await handle.send_event(approved_event, receipt, id="once")
    await handle.send_event(approved_event, error="declined")
    await handle.send_event(sizes_event, [Size.SMALL])
    await handle.send_event(ping_event)
    await handle.send_event("anything", {"any": "thing"})
    await handle.send_event("anything", error=ValueError("no"))
    assert_type(await handle.update("add", "pen", type=int, timeout=timedelta(seconds=3)), int)
    assert_type(await handle.update("add", "pen", type=list[str]), list[str])
    assert_type(await handle.update("close", id="once"), Any)
    assert_type(await handle.history(), list[HistoryEntry])


# ------------------------------------------------------------------------------------------------------ completion


@manager.action
async def report(workflow_id: str, result: Result[Receipt], context: dict[str, int]) -> None: ...


@manager.mutation
async def archive(tx: Transaction, workflow_id: str, result: Result[object], context: Cart) -> str:
    return workflow_id


@manager.action
def tell_anybody(workflow_id: str, result: Result[Any], context: object) -> None: ...


def completions(cart: Cart) -> None:
    told: BoundWorkflow[..., Receipt] = checkout.with_options(on_complete=report, context={"user": 3}).bind("c-1")
    assert_type(told.workflow.name, str)
    checkout.with_options(on_complete=archive, context=cart).with_options(retention=timedelta(days=1))
    checkout.with_options(on_complete=report.with_options(queue="mail"), context={"user": 3})
    bundle.with_options(on_complete=tell_anybody, context=None, detached=True)


# ---------------------------------------------------------------------------------------------- options and binding


def options(cart: Cart) -> None:
    assert_type(charge.with_options(name="fee", retry=False).with_options(timeout=3)(cart, cents=5).close(), None)
    render.with_options(retry=RetryPolicy(jitter=False), run_at=datetime.now(UTC), queue="gpu", timeout=None)
    load_cart.with_options(name="x", inline=True)
    reserve.with_options(inline=True, priority=3)
    checkout.with_options(id="order-7", run_after=3, timeout=timedelta(days=1), tags={"customer": "7"})
    picture = render(cart, Size.LARGE)
    assert_type(picture, bytes)

    call: BoundAction[..., Receipt] = charge.bind(cart, cents=5)
    query: BoundQuery[..., object] = load_cart.bind("c-1")
    starts: list[BoundWorkflow[..., Receipt]] = [checkout.bind(name, gift=True) for name in ("a", "b")]
    assert_type(call.definition.decode_result(b""), Receipt)
    assert_type((query.arguments, starts[0].arguments), tuple[bytes, bytes])


def kinds() -> tuple[
    Query[[str], Cart],
    Mutation[[Cart], str],
    ThreadAction[[Cart, Size], bytes],
    AsyncAction[..., Receipt],
    Workflow[..., int],
]:
    return load_cart, reserve, render, charge, bundle


# ---------------------------------------------------------------------------------------------- long lives and many


@manager.workflow(name="counter", version="2", tags={"kind": "counter"}, retention=timedelta(days=1))
async def counter(step: Step, count: int) -> int:
    if step.patched("by-two") and count < 10:
        counter.continue_as_new(count + 2)
    return count


async def tend(manager: WorkflowManager, selection: Selection) -> int:
    page = await manager.list(workflow=counter, tags={"kind": "counter"}, started_before=datetime.now(UTC), limit=5)
    assert_type([item.tags for item in page.items], list[dict[str, str]])
    await manager.handle("c-1", counter).restart(from_step="by-two")
    canceled = await manager.cancel_many(cleanup=True, **selection)
    return canceled + await manager.restart_many(status="failed") + await manager.cleanup_many(workflow="counter")


async def by_id(manager: WorkflowManager, receipt: Receipt) -> None:
    assert_type(await manager.status("o-1"), Status[Any])
    assert_type(await manager.status("o-1", checkout), Status[Receipt])
    assert_type(await manager.result("o-1", timeout=5), Any)
    assert_type(await manager.result("o-1", checkout, timeout=timedelta(days=1)), Receipt)
    async for snapshot in manager.watch("o-1"):
        assert_type(snapshot, Snapshot)
    assert_type(await manager.steps("o-1"), list[StepView])
    assert_type(await manager.history("o-1"), list[HistoryEntry])
    assert_type(await manager.value("o-1", "progress"), Any)
    assert_type(await manager.value("o-1", "progress", type=Receipt), Receipt | None)
    assert_type(await manager.handle("o-1").value("progress", type=int), int | None)
    await manager.send_event("o-1", approved_event, receipt, id="once")
    await manager.send_event("o-1", approved_event, error="declined")
    await manager.send_event("o-1", ping_event)
    await manager.send_event("o-1", manager.create_event(), {"any": "thing"})
    assert_type(await manager.update("o-1", "add", "pen", type=int, timeout=3, id="once"), int)
    assert_type(await manager.update("o-1", "add", item="pen", times=2, type=int), int)
    assert_type(await manager.update("o-1", "close"), Any)
    assert_type(await manager.cancel("o-1", cleanup=True), bool)
    await manager.restart("o-1", from_step="charge")
    assert_type((await manager.resume("o-1"), await manager.cleanup("o-1")), tuple[bool, bool])


# --------------------------------------------------------------------------------------------------------- outcomes


def told(status: Status[Receipt]) -> str:
    match status:
        case InProgress(running):
            return ", ".join(step.name for step in running)
        case Completed(receipt):
            return str(receipt.cents)
        case Failed(error) | Stopped(error):
            return f"{error.error_type}: {error.message}"
        case Canceled():
            return "canceled"
        case Scheduled(at):
            return at.isoformat()
        case _:
            assert_never(status)


def narrowed(result: Result[Receipt]) -> int:
    if result.type == "completed":
        return result.result.cents
    if result.type == "failed":
        return result.error.attempts
    return 0


async def limited(manager: WorkflowManager, step: Step, cart: Cart) -> int | None:
    pool = Workpool(manager, "cards", max_parallelism=3)
    assert_type(await step.run_action(charge.with_options(pool="cards", priority=3), cart, cents=5), Receipt)
    await pool.set_max_parallelism(0)
    status = await pool.status()
    return assert_type(status.max_parallelism, int | None) or status.under_way + status.waiting
