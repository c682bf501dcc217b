"""A worker as a process of its own, for tests that kill it: ``python -m tests.engine.app URL NAMESPACE TIMEOUT TRACE``.

Its steps leave lines ``<what> <id> <pid> <ms>`` in the trace file, so a test sees what ran where and when.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from actors import RetryPolicy, Step, Transaction, WorkflowManager, current_step
from actors.definitions import Action, Workflow

if TYPE_CHECKING:
    from kernel import Store

Rest: TypeAlias = Workflow[[float], str]
AGAIN = RetryPolicy(max_attempts=3, initial_backoff=0.05)


class App:
    """The workflows that workers of these tests know."""

    def __init__(self, manager: WorkflowManager, trace: Path) -> None:
        self.manager = manager
        self._trace = trace
        self.nap, self.block, self.thread = self._define_rests()
        self.count = self._define_count()

    def _mark(self, what: str) -> None:
        line = f"{what} {current_step().workflow_id} {os.getpid()} {time.time():.3f}\n"
        with self._trace.open("a", encoding="utf-8") as file:
            file.write(line)

    def _define_rests(self) -> tuple[Rest, Rest, Rest]:
        manager = self.manager

        @manager.action(name="nap", retry=AGAIN)
        async def nap(seconds: float) -> str:
            self._mark("begun")
            await asyncio.sleep(seconds)
            self._mark("ended")
            return "rested"

        @manager.action(name="block", retry=AGAIN)
        async def block(seconds: float) -> str:
            self._mark("begun")
            time.sleep(seconds)  # noqa: ASYNC251 - the very mistake that must do no harm
            self._mark("ended")
            return "rested"

        @manager.action(name="thread", retry=AGAIN)
        def thread(seconds: float) -> str:
            self._mark("begun")
            time.sleep(seconds)
            self._mark("ended")
            return "rested"

        def flow(action: Action[[float], str]) -> Rest:
            async def rest(step: Step, seconds: float) -> str:
                return await step.run_action(action, seconds)

            return manager.workflow(name=f"{action.name} flow")(rest)

        return flow(nap), flow(block), flow(thread)

    def _define_count(self) -> Workflow[[int], int]:
        manager = self.manager

        @manager.action(name="add", retry=AGAIN)
        async def add(a: int, b: int) -> int:
            return a + b

        @manager.mutation(name="record")
        async def record(tx: Transaction, what: str) -> None:
            tx.rpush(tx.key("recorded"), what)
            tx.incrby(tx.key("total"), 1)

        @manager.workflow(name="count flow")
        async def count(step: Step, rounds: int) -> int:
            total = 0
            for i in range(rounds):
                total = await step.run_action(add, total, 1)
                recorded = step.run_mutation(record, f"{step.workflow_id} {i}")
                await asyncio.gather(recorded, step.run_action(add, i, i), step.sleep(0.05))
            return total

        return count


class Mark(NamedTuple):
    """One line of a trace."""

    what: str
    workflow_id: str
    pid: int
    at_s: float


def read_trace(trace: Path) -> list[Mark]:
    """Return what was left so far."""
    if not trace.exists():
        return []
    lines = [line.split() for line in trace.read_text().splitlines()]
    return [Mark(what, workflow_id, int(pid), float(at)) for what, workflow_id, pid, at in lines]


def make(url: str, *, namespace: str, worker_timeout: float, trace: Path) -> App:
    """Define everything for one namespace."""
    return App(WorkflowManager(url, namespace=namespace, partitions=1, worker_timeout=worker_timeout), trace)


async def count_recorded(store: Store) -> Counter[str]:
    """Return how often each mutation has left its line."""
    tag = store.space.keys.tags[0]
    lines = cast("list[bytes]", await store.space.send(tag, "LRANGE", f"{tag}:app:recorded", 0, -1))
    return Counter(line.decode() for line in lines)


async def work(app: App) -> None:
    """Work until killed."""
    async with app.manager, app.manager.worker(concurrency=10):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    _, url, namespace, timeout, trace = sys.argv
    asyncio.run(work(make(url, namespace=namespace, worker_timeout=float(timeout), trace=Path(trace))))
