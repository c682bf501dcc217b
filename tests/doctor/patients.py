"""What the tests of the doctor share: instances in a known state with no worker at work, and how to damage them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple, TypeVar, cast

from actors import Step, WorkflowHandle, WorkflowManager
from actors.definitions import Workflow
from actors.doctor import Finding, Report
from kernel import Store
from tests.api.watching import begin_for, in_state, seen

T = TypeVar("T")

QUEUE = "gpu"
"""Served by no worker until an instance is to run to its end."""


class Patient(NamedTuple):
    """An instance that no worker moves."""

    manager: WorkflowManager
    handle: WorkflowHandle[int]
    store: Store
    tag: str

    @property
    def record(self) -> str:
        return f"{self.tag}:wf:{self.handle.id}"

    def part(self, name: str) -> str:
        return f"{self.tag}:wf.{name}:{self.handle.id}"

    async def redis(self, *words: str | bytes | int) -> object:
        return await self.store.space.send(self.tag, *words)

    async def hurry(self) -> None:
        """Let an hour pass: what is delayed so long is due now."""
        members = await self.redis("ZRANGE", f"{self.tag}:delayed", 0, -1)
        for member in cast("list[bytes]", members):
            if member.startswith(b"timer"):
                await self.redis("ZADD", f"{self.tag}:delayed", "XX", 0, member.decode())


def define(manager: WorkflowManager, *, retry: bool = True) -> Workflow[[], int]:
    @manager.action(name="work", queue=QUEUE, retry=retry)
    async def work() -> int:
        return 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        await step.sleep(0.001)
        return 1 + await step.run_action(work)

    return flow


async def _patient(manager: WorkflowManager, handle: WorkflowHandle[int]) -> Patient:
    store = await manager.store()
    return Patient(manager, handle, store, store.space.keys.tag_of(handle.address))


async def ready(manager: WorkflowManager) -> Patient:
    """It was just started."""
    return await _patient(manager, await manager.start(define(manager).with_options(id="i")))


async def scheduled(manager: WorkflowManager) -> Patient:
    """It starts presently."""
    flow = define(manager).with_options(id="i", run_after=timedelta(seconds=0.05))
    return await _patient(manager, await manager.start(flow))


async def queued(manager: WorkflowManager, *, retry: bool = True) -> Patient:
    """Its step, number 2, is in a queue."""
    flow = define(manager, retry=retry)
    async with manager.worker():
        handle = await manager.start(flow.with_options(id="i"))
        await seen(handle, in_state("work", "queued"))
    return await _patient(manager, handle)


async def sleeping(manager: WorkflowManager) -> Patient:
    """Its timer, number 1, is due in an hour."""

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        await step.sleep(3600)
        return 2

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="i"))
        await seen(handle, lambda snapshot: snapshot.steps)
    return await _patient(manager, handle)


async def held(manager: WorkflowManager) -> Patient:
    """Its step is in the hands of a worker that has died since."""
    patient = await queued(manager)
    await begin_for(patient.store, QUEUE, worker="w")
    return patient


async def ended(manager: WorkflowManager) -> Patient:
    """It has completed."""
    flow = define(manager)
    async with manager.worker(queues=("default", QUEUE)):
        handle = await manager.start(flow.with_options(id="i"))
        await handle.result()
    return await _patient(manager, handle)


State = Callable[[WorkflowManager], Awaitable[Patient]]
Damage = Callable[[Patient], Awaitable[object]]


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """Return what the condition gives, once that is something; each time it asks the server."""
    while True:
        found = await condition()
        if found:
            return found


def of(report: Report, code: str) -> Finding:
    """Return the one finding of a code."""
    (found,) = [finding for finding in report.findings if finding.code == code]
    return found


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings if finding.severity == "problem"}
