"""What a courier does with messages about permits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.store.pools import Asking, Permit, Pools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kernel.store.outbox import Message


async def once(make: Callable[[], Awaitable[object]]) -> object:
    """Call, without anything that may go wrong."""
    return await make()


async def tell_of_permit(
    pools: Pools, message: Message, call: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]] = once
) -> None:
    """Deliver one message, each call by ``call``."""
    permit = Permit.in_message(message)
    if message.what == "acquire":
        await call(lambda: pools.acquire([Asking(permit, message.priority)]))
    elif message.what == "free" or not await call(lambda: pools.admit(permit)):
        await call(lambda: pools.free([permit]))
