"""Remind somebody after a month, unless it is done before: a workflow that mostly sleeps, and costs nothing then."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from actors import RetryPolicy, Step, WorkflowManager

manager = WorkflowManager()  # HEADRACE_URL; without it, a Redis server of this folder's own

MONTH = timedelta(days=30)
WEEK = timedelta(days=7)
TIMES_MAX = 3


@manager.action(retry=RetryPolicy(max_attempts=10, initial_backoff=60))
async def send_mail(to: str, text: str) -> None:
    """Send a mail, here to the screen."""
    print(f"to {to}: {text}")


@manager.workflow
async def remind(step: Step, who: str, what: str, first: timedelta = MONTH, then: timedelta = WEEK) -> int:
    """Remind after ``first``, then every ``then``, until the event "done"; return how often that was."""
    wait = first
    for number in range(1, TIMES_MAX + 1):
        try:
            await step.await_event("done", timeout=wait)
        except TimeoutError:
            await step.run_action(send_mail, who, f"Please {what} ({number} of {TIMES_MAX})")
            wait = then
        else:
            return number - 1
    return TIMES_MAX


async def main() -> None:
    """Remind after less than a month, with a worker in this process."""
    soon = timedelta(seconds=0.2)
    async with manager, manager.worker():
        handle = await manager.start(remind, "ann", "water the plants", soon, soon)
        print("reminders:", await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
