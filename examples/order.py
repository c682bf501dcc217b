"""Take an order: set goods aside, charge the card, hand over to the carrier; undo all of it if a later part fails."""

from __future__ import annotations

import asyncio

from actors import NonRetryable, RetryPolicy, Step, StepFailed, Transaction, WorkflowManager, current_step

manager = WorkflowManager()  # HEADRACE_URL; without it, a Redis server of this folder's own

patient = RetryPolicy(max_attempts=5, initial_backoff=1, max_backoff=60)


@manager.mutation
async def put_in_stock(tx: Transaction, item: str, count: int) -> None:
    """Add to what there is."""
    tx.incrby(f"stock:{item}", count)


@manager.query
async def in_stock(tx: Transaction, item: str) -> int:
    """Return how many there are."""
    return int(await tx.get(f"stock:{item}") or 0)


@manager.mutation
async def set_aside(tx: Transaction, item: str, count: int) -> None:
    """Take goods out of the stock, exactly once. Two orders cannot take the same ones."""
    there = int(await tx.get(f"stock:{item}") or 0)
    if there < count:
        raise NonRetryable(f"only {there} of {item!r} left")
    tx.set(f"stock:{item}", there - count)


@manager.action(retry=patient)
async def charge(card: str, cents: int) -> str:
    """Call the payment service. Its key makes it charge once, however often it is called for this step."""
    key = current_step().idempotency_key
    await asyncio.sleep(0.05)  # the call
    return f"payment of {cents} from {card} ({key})"


@manager.action(retry=patient)
async def refund(payment: str) -> None:
    """Give the money back."""
    print("gave back:", payment)


@manager.action(retry=patient)
async def ship(item: str, count: int) -> str:
    """Hand over to the carrier; return the parcel's number."""
    await asyncio.sleep(0.05)
    return f"parcel with {count} of {item}"


@manager.workflow
async def take_order(step: Step, item: str, count: int, card: str) -> str:
    """Return the parcel's number. Whoever dies meanwhile: nothing is charged twice, and nothing stays set aside."""
    await step.run_mutation(set_aside, item, count)
    payment: str | None = None
    try:
        payment = await step.run_action(charge, card, cents=count * 1_000)
        return await step.run_action(ship, item, count)
    except StepFailed:
        if payment is not None:
            await step.run_action(refund, payment)
        await step.run_mutation(put_in_stock, item, count)
        raise


@manager.workflow
async def fill_stock(step: Step, item: str, count: int) -> int:
    """Add to the stock; return what there is then."""
    await step.run_mutation(put_in_stock, item, count)
    return await step.run_query(in_stock, item)


async def main() -> None:
    """Order twice, with a worker in this process."""
    async with manager, manager.worker():
        stocked = await manager.start(fill_stock, "lamp", 3)
        print("in stock:", await stocked.result())
        order = await manager.start(take_order, "lamp", 2, "4242")
        print(await order.result())


if __name__ == "__main__":
    asyncio.run(main())
