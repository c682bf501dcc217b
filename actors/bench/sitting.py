"""Sitting: carries out a plan: a server, then for each workload its processes, and engine and floor in turn."""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from actors.bench.job import BenchError, Job, Sample
from actors.bench.processes import Child, private_server
from actors.bench.report import Facts, Line
from actors.bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from actors.bench.job import Plan
    from actors.bench.workload import Workload

CLIENT, WORKER = "actors.bench.client", "actors.bench.worker"


class Server(NamedTuple):
    """Where to measure."""

    url: str
    pid: int | None
    """None: it is not ours, and may run elsewhere."""
    partitions: int | None


def run_benchmark(plan: Plan, progress: Callable[[str], None]) -> Generator[tuple[Line, Facts]]:
    """Measure each workload of the plan; yield it as soon as it is done. ``progress`` is told what is under way.

    Everything that was started ends with the iterator, also when it is closed early.

    Raises:
        BenchError, KernelError: with what to do.
    """
    with _server(plan) as server:
        for name in plan.workloads:
            yield _measure(plan, WORKLOADS[name], server, progress)


@contextlib.contextmanager
def _server(plan: Plan) -> Generator[Server]:
    if plan.url is not None:
        if plan.url.startswith("memory://"):
            raise BenchError(f"{plan.url} cannot be measured: it is in one process only; give a server's URL, or none")
        yield Server(plan.url, None, None)
        return
    with private_server() as private:
        # One partition, as an embedded server's namespace has.
        yield Server(private.url, private.pid, 1)


def _measure(plan: Plan, workload: Workload, server: Server, progress: Callable[[str], None]) -> tuple[Line, Facts]:
    workers = plan.workers if workload.has_workers else 0
    job = Job(
        workload=workload.name,
        url=server.url,
        namespace=f"bench-{secrets.token_hex(4)}",
        partitions=server.partitions,
        count=(plan.count or workload.count) if workload.count else 0,
        seconds=plan.seconds,
        cache_instances=workload.cache_instances,
        processes=plan.workers,
        server_pid=server.pid,
    )
    samples: list[Sample] = []
    floors: list[Sample] = []
    with _crew(job, workers=workers, shares_floor=workload.shares_floor) as (clients, redis):
        if workload.count:
            progress(f"{workload.name}: warming up")
            _ask(clients[:1], "warm")
        runs = plan.runs or workload.runs
        for run in range(1, runs + 1):
            progress(f"{workload.name}: run {run} of {runs}")
            samples += _ask(clients[:1], "engine")
            if workload.has_floor:
                floors.append(_together(_ask(clients, "floor")))
        progress(f"{workload.name}: clearing up")
    line = Line.of(
        workload=workload.name, workers=workers, count=job.count, unit=workload.unit, samples=samples, floors=floors
    )
    return line, Facts.of(redis)


@contextlib.contextmanager
def _crew(job: Job, *, workers: int, shares_floor: bool) -> Generator[tuple[list[Child], dict[str, str]]]:
    """Run a workload's processes; give the measuring one first, and the server's facts. Clears up at the end."""
    with contextlib.ExitStack() as stack:
        # The workers' namespace is founded by the first process, before the others come.
        sweeper = stack.enter_context(Child(CLIENT, job))
        redis: dict[str, str] = json.loads(sweeper.answer())
        redis.pop("process_id", None)
        stack.callback(_sweep, sweeper)
        hands = [stack.enter_context(Child(WORKER, job)) for _ in range(workers)]
        for hand in hands:
            hand.answer()
        told = replace(job, worker_pids=tuple(hand.pid for hand in hands))
        clients = [stack.enter_context(Child(CLIENT, told)) for _ in range(job.processes if shares_floor else 1)]
        for client in clients:
            client.answer()
        yield clients, redis


def _sweep(client: Child) -> None:
    """Delete the namespace, once its workers have ended."""
    client.ask("sweep")
    client.answer()


def _ask(clients: Sequence[Child], word: str) -> list[Sample]:
    """Have processes measure at the same time."""
    for client in clients:
        client.ask(word)
    return [Sample.decode(client.answer()) for client in clients]


def _together(samples: Sequence[Sample]) -> Sample:
    """Add up the rates of processes that shared a floor; one by itself is what it is."""
    return samples[0] if len(samples) == 1 else Sample(sum(sample.value for sample in samples))
