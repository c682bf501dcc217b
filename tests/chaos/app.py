"""App: the workflows of a chaos run. Each has a result that follows from its arguments, whatever dies meanwhile.

Mutations count themselves in Redis by (instance, label); actions leave marks in a file outside Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import time
from pathlib import Path
from typing import Any, Final, cast

from actors import (
    OutcomeUnknown,
    RetryPolicy,
    Step,
    StepFailed,
    StepTimedOut,
    Transaction,
    WorkerDied,
    WorkflowManager,
    current_step,
)
from actors.definitions import Action, Mutation, Workflow
from tests.chaos.trace import Trace

AGAIN: Final = RetryPolicy(max_attempts=5, initial_backoff=0.1, max_backoff=1.0)
FINAL: Final = RetryPolicy(stop_on=(Exception,))
"""The first error counts; an attempt that dies with its worker is made again all the same."""
NAP_S: Final = 0.3
LIMIT_S: Final = 0.4
"""Timeout of a step that ignores its cancellation."""
STUBBORN_S: Final = 1.0
HOLD_S: Final = 600.0
"""How long the first attempt of a step waits for its worker to be killed."""
CHUNK_BYTES: Final = 2**28
NAMESPACE: Final = "CHAOS_NAMESPACE"
TIMEOUT: Final = "CHAOS_WORKER_TIMEOUT"
TRACE: Final = "CHAOS_TRACE"
"""Environment variables of the worker processes."""
COMMITTED: Final = "committed"
"""Hash below ``K:app:``: ``<workflow id> <label>`` to how often that mutation was committed."""
TOTAL: Final = "total"
"""Number below ``K:app:``, read and written by every mutation of the partition: it loses what does not conflict."""


class App:
    """The definitions, of one manager."""

    def __init__(self, manager: WorkflowManager, trace: Trace) -> None:
        """Define everything."""
        self.manager = manager
        self._trace = trace
        self._commit = self._define_commit()
        self._add, self._flaky = self._define_actions()
        self.flows: dict[str, Workflow[[int], Any]] = {}
        """By their names; all take one number."""
        self._define_plain()
        self._define_told()
        self._define_families()
        self._define_once()
        self._define_toxic()
        self._define_hold()

    def _keep(self, function: Any) -> None:  # noqa: ANN401 - what it returns differs
        name = function.__name__.rstrip("_")
        self.flows[name] = cast("Workflow[[int], Any]", self.manager.workflow(name=f"{name} flow")(function))

    def _define_commit(self) -> Mutation[[str], None]:
        @self.manager.mutation(name="commit")
        async def commit(tx: Transaction, label: str) -> None:
            total = int(await tx.get(tx.key(TOTAL)) or 0)
            tx.set(tx.key(TOTAL), total + 1)
            tx.hincrby(tx.key(COMMITTED), f"{current_step().workflow_id} {label}", 1)

        return commit

    def _define_actions(self) -> tuple[Action[[int], int], Action[[int], int]]:
        @self.manager.action(name="add", retry=AGAIN)
        async def add(n: int) -> int:
            self._trace.mark("begun", "add")
            await asyncio.sleep(NAP_S / 10)
            self._trace.mark("ended", "add")
            return n + 1

        @self.manager.action(name="flaky", retry=AGAIN)
        async def flaky(good: int) -> int:
            self._trace.mark("begun", "flaky")
            attempt = current_step().attempt
            self._trace.mark("ended", "flaky")
            if attempt < good:
                raise ConnectionError(f"attempt {attempt} of {good}")
            return attempt

        return add, flaky

    def _define_plain(self) -> None:
        @self.manager.action(name="nap", retry=AGAIN)
        async def nap(n: int) -> int:
            self._trace.mark("begun", "nap")
            await asyncio.sleep(NAP_S * n)
            self._trace.mark("ended", "nap")
            return n

        @self._keep
        async def count(step: Step, n: int) -> int:
            total = 0
            for i in range(n):
                total = await step.run_action(self._add, total)
                await step.run_mutation(self._commit, f"c{i}")
            return total

        @self._keep
        async def flaky(step: Step, n: int) -> int:
            attempts, _ = await asyncio.gather(
                step.run_action(self._flaky, n), step.run_mutation(self._commit, "beside")
            )
            return attempts

        @self._keep
        async def sleeper(step: Step, n: int) -> int:
            for i in range(n):
                await step.sleep(NAP_S)
                await step.run_mutation(self._commit, f"c{i}")
            return n

        @self._keep
        async def napper(step: Step, n: int) -> int:
            napped = await step.run_action(nap, n)
            await step.run_mutation(self._commit, "napped")
            return napped

    def _define_told(self) -> None:
        @self._keep
        async def event(step: Step, n: int) -> int:
            total = 0
            for _ in range(n):
                total += await step.await_event("tell", int)
            await step.run_mutation(self._commit, "told")
            return total

        @self._keep
        async def update(step: Step, n: int) -> int:
            total = 0

            @step.update_handler
            async def add(x: int) -> int:
                nonlocal total
                total += x
                return total

            await step.await_event("close")
            await step.run_mutation(self._commit, f"closed {n}")
            return total

        @self._keep
        async def canceled(step: Step, n: int) -> int:
            await step.run_mutation(self._commit, "before")
            await step.sleep(3600)
            return n

    def _define_families(self) -> None:
        @self.manager.workflow(name="child")
        async def child(step: Step, n: int) -> int:
            await step.run_mutation(self._commit, "child")
            return await step.run_action(self._add, n)

        @self._keep
        async def family(step: Step, n: int) -> int:
            named = [child.with_options(id=f"{step.workflow_id}/{i}") for i in range(n)]
            return sum(await asyncio.gather(*(step.run_workflow(one, i) for i, one in enumerate(named))))

        @self._keep
        async def saga(step: Step, n: int) -> str:
            try:
                async with step.saga() as saga:
                    for i in range(n):
                        saga.undo(self._commit, f"undo {i}")
                        await step.run_mutation(self._commit, f"do {i}")
                    raise ValueError("as planned")
            except ValueError:
                return "undone"

    def _define_once(self) -> None:
        @self.manager.action(name="once")
        async def once() -> None:
            self._trace.mark("begun", "once")
            await asyncio.sleep(NAP_S)
            self._trace.mark("ended", "once")

        @self._keep
        async def once_(step: Step, n: int) -> str:
            try:
                await step.run_action(once)
            except OutcomeUnknown:
                await step.run_action(self._add, n)
                return "unknown"
            return "done"

        @self.manager.action(name="stubborn", retry=FINAL)
        async def stubborn() -> None:
            self._trace.mark("begun", "stubborn")
            until = time.monotonic() + STUBBORN_S
            while (left_s := until - time.monotonic()) > 0:
                try:
                    await asyncio.sleep(left_s)
                except asyncio.CancelledError:  # the very mistake that must do no harm
                    continue
            self._trace.mark("ended", "stubborn")

        @self._keep
        async def stubborn_(step: Step, n: int) -> int:
            try:
                await step.run_action(stubborn.with_options(timeout=LIMIT_S))
            except StepTimedOut:
                await step.run_mutation(self._commit, "timed out")
            return n

    def _define_toxic(self) -> None:
        @self.manager.action(name="exit", retry=AGAIN)
        async def exit_() -> None:
            self._trace.mark("begun", "exit")
            os._exit(7)

        @self.manager.action(name="swell", retry=AGAIN)
        async def swell() -> None:
            self._trace.mark("begun", "swell")
            fill_memory()
            # What the kernel does to a process that has used up the machine's memory.
            os.kill(os.getpid(), signal.SIGKILL)

        @self.manager.action(name="overdo", retry=FINAL)
        async def overdo() -> None:
            self._trace.mark("begun", "overdo")
            bytearray(2**46)  # more than the worker may have: MemoryError

        def flow(name: str, action: Action[[], None]) -> None:
            async def toxic(step: Step, n: int) -> str:
                try:
                    await step.run_action(action)
                except WorkerDied:
                    await step.run_mutation(self._commit, "died")
                    return f"WorkerDied {n}"
                except StepFailed as error:
                    return f"{error.error_type} {n}"
                return "lived"

            self.flows[name] = self.manager.workflow(name=f"{name} flow")(toxic)

        flow("exit", exit_)
        flow("swell", swell)
        flow("overdo", overdo)

    def _define_hold(self) -> None:
        @self.manager.action(name="hold", retry=AGAIN)
        async def hold() -> None:
            started = any(mark.workflow_id == current_step().workflow_id for mark in self._trace.read())
            self._trace.mark("begun", "hold")
            if not started:
                await asyncio.sleep(HOLD_S)

        @self._keep
        async def held(step: Step, n: int) -> int:
            await step.run_action(hold)
            return n


def fill_memory() -> None:
    """Take all address space that the process may have; pages that nobody writes to cost the machine nothing."""
    hoard: list[mmap.mmap] = []
    with contextlib.suppress(OSError):
        while len(hoard) * CHUNK_BYTES < 2**40:
            hoard.append(mmap.mmap(-1, CHUNK_BYTES))


def make_app(url: str, *, namespace: str, worker_timeout_s: float, trace: Path) -> App:
    """Define everything for one namespace."""
    return App(WorkflowManager(url, namespace=namespace, worker_timeout=worker_timeout_s), Trace(trace))
