"""A worker as a process of its own, for tests that kill it: ``python -m tests.engine.app URL NAMESPACE TIMEOUT TRACE``.

Its steps leave lines ``<what> <id> <pid> <ms>`` in the trace file, so a test sees what ran where and when.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from actors import RetryPolicy, Step, Transaction, WorkflowManager, current_step
from actors.definitions import Workflow

AGAIN = RetryPolicy(max_attempts=3, initial_backoff=0.05)


class App(NamedTuple):
    """The workflows that workers of these tests know."""

    manager: WorkflowManager
    nap: Workflow[[float], str]
    block: Workflow[[float], str]
    thread: Workflow[[float], str]
    count: Workflow[[int], int]


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
    """Define everything."""
    manager = WorkflowManager(url, namespace=namespace, partitions=1, worker_timeout=worker_timeout)

    def mark(what: str) -> None:
        line = f"{what} {current_step().workflow_id} {os.getpid()} {time.time():.3f}\n"
        with trace.open("a", encoding="utf-8") as file:
            file.write(line)

    @manager.action(name="nap", retry=AGAIN)
    async def nap(seconds: float) -> str:
        mark("begun")
        await asyncio.sleep(seconds)
        mark("ended")
        return "rested"

    @manager.action(name="block", retry=AGAIN)
    async def block(seconds: float) -> str:
        mark("begun")
        time.sleep(seconds)  # noqa: ASYNC251 - the very mistake that must do no harm
        mark("ended")
        return "rested"

    @manager.action(name="thread", retry=AGAIN)
    def thread(seconds: float) -> str:
        mark("begun")
        time.sleep(seconds)
        mark("ended")
        return "rested"

    @manager.action(name="add", retry=AGAIN)
    async def add(a: int, b: int) -> int:
        return a + b

    @manager.mutation(name="record")
    async def record(tx: Transaction, what: str) -> None:
        tx.rpush(tx.key("recorded"), what)
        tx.incrby(tx.key("total"), 1)

    @manager.workflow(name="nap flow")
    async def nap_flow(step: Step, seconds: float) -> str:
        return await step.run_action(nap, seconds)

    @manager.workflow(name="block flow")
    async def block_flow(step: Step, seconds: float) -> str:
        return await step.run_action(block, seconds)

    @manager.workflow(name="thread flow")
    async def thread_flow(step: Step, seconds: float) -> str:
        return await step.run_action(thread, seconds)

    @manager.workflow(name="count flow")
    async def count_flow(step: Step, rounds: int) -> int:
        total = 0
        for i in range(rounds):
            total = await step.run_action(add, total, 1)
            await asyncio.gather(
                step.run_mutation(record, f"{step.workflow_id} {i}"), step.run_action(add, i, i), step.sleep(0.05)
            )
        return total

    return App(manager, nap_flow, block_flow, thread_flow, count_flow)


async def work(app: App) -> None:
    """Work until killed."""
    async with app.manager, app.manager.worker(concurrency=10):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    _, url, namespace, timeout, trace = sys.argv
    asyncio.run(work(make(url, namespace=namespace, worker_timeout=float(timeout), trace=Path(trace))))
