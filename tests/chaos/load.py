"""Load: starts workflows at a bounded rate, tells them what they wait for, and notes what was acknowledged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from actors import WorkflowEnded, WorkflowNotFound
from actors.errors import HeadraceError
from kernel import KernelError, ServerRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors import WorkflowHandle
    from tests.chaos.app import App

MIX: Final = {
    "count": 6,
    "flaky": 3,
    "sleeper": 2,
    "napper": 3,
    "event": 2,
    "update": 2,
    "canceled": 1,
    "family": 2,
    "saga": 2,
    "once": 3,
    "stubborn": 1,
}
"""How often each workflow is started, in proportion."""
N_MAX: Final = 3
ORDERS_MAX: Final = 50_000
UNDER_WAY_MAX: Final = 400
"""Orders that are being started or told at once; with more, no further one is begun."""
AGAIN_S: Final = 0.2
ANSWER_S_MAX: Final = 30.0


@dataclass(slots=True)
class Order:
    """One instance that was asked for."""

    flow: str
    n: int
    id: str
    asked_s: float
    """Seconds since the epoch, as all times here."""
    acknowledged_s: float | None = None
    refused: str = ""
    """Why it was not started: the server's words."""
    told: dict[str, float] = field(default_factory=dict[str, float])
    """What it was told, and when that was acknowledged."""


class Load:
    """Orders, and the tasks that carry them out."""

    def __init__(self, app: App, *, seed: int) -> None:
        """Nothing is started yet."""
        self.orders: list[Order] = []
        self._app = app
        self._random = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, rate: float) -> None:
        """Start ``rate`` workflows a second until cancelled."""
        names, weights = list(MIX), list(MIX.values())
        while len(self.orders) < ORDERS_MAX:
            if len(self._tasks) < UNDER_WAY_MAX:
                self.submit(self._random.choices(names, weights)[0], self._random.randint(1, N_MAX))
            await asyncio.sleep(1 / rate)

    def submit(self, flow: str, n: int) -> Order:
        """Have one instance started, and told what it waits for."""
        order = Order(flow, n, f"{flow}-{len(self.orders)}", time.time())
        self.orders.append(order)
        task = asyncio.get_running_loop().create_task(self._carry_out(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return order

    async def finish(self) -> None:
        """Wait until all that was begun has been acknowledged or given up."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Break off what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, order: Order) -> None:
        handle = await self._start(order)
        if handle is not None:
            await self.tell(order, handle)

    async def _start(self, order: Order) -> WorkflowHandle[object] | None:
        flow = self._app.flows[order.flow].with_options(id=order.id)
        while True:
            try:
                handle = await self._app.manager.start(flow, order.n)
            except ServerRefused as error:
                order.refused = str(error)
                return None
            except KernelError:
                # It may have been started: the same id again tells.
                await asyncio.sleep(AGAIN_S)
                continue
            order.acknowledged_s = time.time()
            return handle

    async def tell(self, order: Order, handle: WorkflowHandle[object], *, again: bool = False) -> None:
        """Tell an instance what it waits for; ``again``: also what was acknowledged before."""
        if again:
            order.told.clear()
        if order.flow == "canceled" and not again:
            await asyncio.sleep(self._random.random())
        for what, call in messages(order, handle).items():
            await self._until_told(order, what, call)

    async def _until_told(self, order: Order, what: str, call: Callable[[], Awaitable[object]]) -> None:
        """Call until it is acknowledged: what is told again under its id is told once."""
        while what not in order.told:
            try:
                await call()
            except (WorkflowEnded, WorkflowNotFound):
                pass
            except (KernelError, HeadraceError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
                continue
            order.told[what] = time.time()


def messages(order: Order, handle: WorkflowHandle[object]) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return what an instance is told, by a name each, in this order. Told again under its id, it is told once."""
    numbers = range(order.n)
    match order.flow:
        case "event":
            return {f"tell {i}": partial(handle.send_event, "tell", i, id=f"e{i}") for i in numbers}
        case "update":
            adds = {f"add {i}": partial(handle.update, "add", 1, id=f"u{i}", timeout=ANSWER_S_MAX) for i in numbers}
            return {**adds, "close": partial(handle.send_event, "close", id="close")}
        case "canceled":
            return {"cancel": handle.cancel}
        case _:
            return {}
