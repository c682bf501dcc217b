"""Fetch pages in parallel, each from whichever mirror answers first, and take what is there when time is up."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from datetime import timedelta

from actors import RetryPolicy, Step, StepFailed, WorkflowManager

manager = WorkflowManager()  # HEADRACE_URL; without it, a Redis server of this folder's own

MIRRORS = ("north", "south", "west")
LIMIT = timedelta(seconds=10)


@manager.action(retry=RetryPolicy(max_attempts=4, initial_backoff=0.2), timeout=5)
async def fetch(mirror: str, page: str) -> str:
    """Ask a mirror for a page. Here it only takes as long as that would."""
    await asyncio.sleep(zlib.crc32(f"{mirror}/{page}".encode()) % 200 / 1000)
    return f"{page} from {mirror}"


async def first_answer(step: Step, page: str) -> str:
    """Return the first answer of any mirror; the others are canceled."""
    asked = [step.run_action(fetch, mirror, page) for mirror in MIRRORS]
    try:
        for answer in asyncio.as_completed(asked):
            with suppress(StepFailed):
                return await answer
    finally:
        for one in asked:
            one.cancel()
    raise LookupError(f"no mirror has {page}")


@manager.workflow
async def collect(step: Step, pages: list[str], limit: timedelta = LIMIT) -> dict[str, str | None]:
    """Return each page as it was found; None for what nobody had in time."""
    tasks = [asyncio.create_task(first_answer(step, page)) for page in pages]
    done, _late = await asyncio.wait(tasks, timeout=limit.total_seconds())
    return {
        page: task.result() if task in done and task.exception() is None else None
        for page, task in zip(pages, tasks, strict=True)
    }


async def main() -> None:
    """Collect three pages, with a worker in this process."""
    async with manager, manager.worker():
        handle = await manager.start(collect, ["index", "news", "about"])
        for page, found in (await handle.result()).items():
            print(f"{page}: {found}")


if __name__ == "__main__":
    asyncio.run(main())
