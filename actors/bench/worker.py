"""The worker process of the benchmark: what ``headrace worker`` does, with the benchmark's workflows."""

from __future__ import annotations

import asyncio
import sys

from actors.bench.flows import define_flows
from actors.bench.job import Job
from actors.bench.member import hear, log_to_stderr, make_manager, say
from actors.servers.heap import freeze_loaded


async def work(job: Job) -> None:
    """Run a worker until the parent closes its end."""
    manager = make_manager(job)
    define_flows(manager)
    freeze_loaded()
    async with manager, manager.worker(cache_instances=job.cache_instances, grace=0):
        say("{}")
        await hear()


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(work(Job.decode(sys.argv[1])))
