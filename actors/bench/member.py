"""Member: what every child process of the benchmark does first and last. Started by ``processes``, by nobody else."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import structlog

from actors.manager import WorkflowManager

if TYPE_CHECKING:
    from actors.bench.job import Job


def make_manager(job: Job) -> WorkflowManager:
    """Return a manager as any service would make it."""
    return WorkflowManager(job.url, namespace=job.namespace, partitions=job.partitions)


def log_to_stderr() -> None:
    """Leave stdout to the answers; say only what is wrong."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def say(line: str) -> None:
    """Write one line for the parent."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def hear() -> str:
    """Wait for a line from the parent; empty when it has left or died."""
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()
