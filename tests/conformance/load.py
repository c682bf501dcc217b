"""Load: workflows one after another, each of which can be told to have run every mutation exactly once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from typing import Any, Self

from actors import Step, Transaction, WorkflowManager, WorkflowNotFound
from tests.conformance.here import until

STEPS = 3
CLIENTS = 8
FIGURES: list[str] = []
"""What was measured in this run; printed at its end."""


def report(figure: str) -> None:
    """Have a figure printed at the end of the run."""
    FIGURES.append(figure)


class Load:
    """Some clients, each of which starts an instance when its last one has ended."""

    def __init__(self, manager: WorkflowManager) -> None:
        self._manager = manager
        self._clients: list[asyncio.Task[None]] = []
        self._going_on = True
        self.done: list[tuple[float, str]] = []
        """When each instance ended, and its id."""
        self.lost = Counter[str]()
        """Instances whose start a failover has lost; started again under the same id."""

        @manager.action(name="act", retry=True)
        async def act(i: int) -> int:
            return i

        @manager.mutation(name="count")
        async def count(tx: Transaction, workflow_id: str) -> None:
            tx.incr(tx.key(f"count:{workflow_id}"))

        @manager.workflow(name="loaded")
        async def loaded(step: Step) -> int:
            for i in range(STEPS):
                await step.run_action(act, i)
                await step.run_mutation(count, step.workflow_id)
            return STEPS

        self._flow: Any = loaded

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._clients = [loop.create_task(self._client(n)) for n in range(CLIENTS)]
        await self.progress()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._going_on = False
        await asyncio.gather(*self._clients)

    async def _client(self, client: int) -> None:
        number = 0
        while self._going_on:
            name = f"{client}-{number}"
            handle = await self._manager.start(self._flow.with_options(id=name))
            try:
                assert await handle.result() == STEPS
            except WorkflowNotFound:
                self.lost[name] += 1
                continue
            self.done.append((time.monotonic(), name))
            number += 1

    async def progress(self, since: float | None = None) -> float:
        """Wait until every client has ended two instances since then (now); return the seconds to the first."""
        began = time.monotonic() if since is None else since

        async def moved() -> bool:
            return (
                min(Counter(name[0] for at, name in self.done if at > began).get(str(n), 0) for n in range(CLIENTS)) > 1
            )

        await until(moved)
        return min(at for at, _ in self.done if at > began) - began

    def longest_pause(self, since: float) -> float:
        """Return the longest time without an end, s, from then on."""
        times = [since, *(at for at, _ in self.done if at > since)]
        return max(after - before for before, after in pairwise(times))

    async def check_exactly_once(self) -> None:
        """Fail unless every mutation of every instance that ended was applied once."""
        space = (await self._manager.store()).space
        wrong: dict[str, object] = {}
        for _, name in self.done:
            tag = space.keys.tag_of(f"wf/{name}")
            count = await space.send(tag, "GET", f"{tag}:app:count:{name}")
            if count != str(STEPS).encode():
                wrong[name] = count
        assert wrong == {}
