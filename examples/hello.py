"""Count the words of some texts in parallel, and add them to a total in Redis exactly once."""

from __future__ import annotations

import asyncio

from actors import RetryPolicy, Step, Transaction, WorkflowManager

manager = WorkflowManager()  # HEADRACE_URL; without it, a Redis server of this folder's own


@manager.action(retry=RetryPolicy(max_attempts=5))
async def count_words(text: str) -> int:
    """Do anything here: call a service, read a file. It is tried again if it fails."""
    return len(text.split())


@manager.mutation
async def add_to_total(tx: Transaction, words: int) -> None:
    """Write to Redis, exactly once."""
    tx.incrby("total_words", words)


@manager.workflow
async def measure(step: Step, texts: list[str]) -> int:
    """Survive the death of any worker at any moment."""
    counts = await asyncio.gather(*(step.run_action(count_words, text) for text in texts))
    await step.sleep(0.1)
    await step.run_mutation(add_to_total, sum(counts))
    return sum(counts)


async def main() -> None:
    """Start one instance, with a worker in this process."""
    async with manager, manager.worker():
        handle = await manager.start(measure, ["to be or", "not to be"])
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
