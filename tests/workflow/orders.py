"""Prints what workflows ask for whose order asyncio leaves to sets, and a digest of random programs.

Run by ``test_orders.py`` under other hash seeds and heaps, and on every Python version: the text must never differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import sys
from typing import TYPE_CHECKING, Any

from actors.errors import StepFailed
from actors.registry import Registry
from tests.workflow.host import Host, work
from tests.workflow.programs import Choices, draw_program, go_on, start

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from actors.workflow import Step

PROGRAMS = 150


async def wait_returns_sets(step: Step) -> None:
    """Both sets of ``asyncio.wait`` are walked; the futures are of all kinds."""

    async def one(name: str) -> str:
        return await step.run_action(work, name)

    pending: set[asyncio.Future[Any]] = {
        *(asyncio.create_task(one(f"task {number}")) for number in range(6)),
        *(step.run_action(work, f"step {number}") for number in range(6)),
        *(asyncio.gather(one(f"gathered {number}")) for number in range(6)),
    }
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for number, _ in enumerate(done):
            await step.run_action(work, f"after {number}")
        if len(pending) < 12:
            for future in pending:
                future.cancel("enough")
            break


async def a_task_group_cancels_in_the_order_of_a_set(step: Step) -> None:
    async def one(name: str) -> None:
        try:
            await step.run_action(work, name)
        except asyncio.CancelledError:
            await step.run_action(work, f"undo {name}")
            raise

    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for number in range(9):
                group.create_task(one(f"{number}"))


async def gathers_are_put_into_sets(step: Step) -> None:
    async def one(name: str) -> None:
        try:
            await step.run_action(work, name)
        except asyncio.CancelledError:
            await step.run_action(work, f"undo {name}")
            raise

    gathered = [asyncio.gather(one(f"{number}")) for number in range(12)]
    _, pending = await asyncio.wait(gathered, return_when=asyncio.FIRST_COMPLETED)
    for future in pending:
        future.cancel()
    await asyncio.wait(gathered)


async def all_tasks_is_a_set(step: Step) -> None:
    async def one(name: str) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await step.run_action(work, name)
        await step.run_action(work, f"undo {name}")

    held = [asyncio.create_task(one(f"{number}")) for number in range(9)]
    await step.run_action(work, "begin")
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
    await asyncio.gather(*held)


async def as_completed_starts_from_a_set(step: Step) -> None:
    steps = [step.run_action(work, f"{number}") for number in range(9)]
    for one in asyncio.as_completed(steps):
        with contextlib.suppress(StepFailed):
            await step.run_action(work, f"after {await one}")


async def wait_for_awaits_in_place(step: Step) -> None:
    async def one(name: str) -> None:
        await step.run_action(work, name)

    waiting = asyncio.create_task(asyncio.wait_for(one("B"), 5))
    beside = asyncio.create_task(one("A"))
    await asyncio.wait([waiting], timeout=1)
    waiting.cancel()
    await asyncio.gather(waiting, beside, return_exceptions=True)


async def arguments_may_be_sets(step: Step) -> None:
    await step.run_action(take, {"a", "b", "c", "d", "e"}, {"x": frozenset({1, 2, 3}), "y": frozenset({"p", "q"})})


registry = Registry()


@registry.action
async def take(some: set[str], more: dict[str, frozenset[Any]]) -> None: ...


def drive(code: Callable[[Step], Coroutine[Any, Any, None]]) -> str:
    """Answer everything, the newest first; return what was asked for and withdrawn."""
    host = Host(registry.workflow(code))
    while host.instance.end is None:
        seq = host.seq("begin") if "begin" in host.open else list(host.instance.open)[-1]
        command = host.instance.commands[seq - 1]
        if command.kind == "timer":
            host.fire(seq)
        elif host.asked[seq - 1] == "7":
            host.fail(seq, ValueError("no"))
        else:
            host.answer(seq, host.asked[seq - 1] if command.target == "work" else None)
    shown = [f"{command.at}:{text}" for command, text in zip(host.instance.commands, host.asked, strict=True)]
    arguments = hashlib.sha256(b"|".join(command.arguments for command in host.instance.commands)).hexdigest()
    return f"{code.__name__}: {shown} canceled {host.instance.canceled} {host.instance.end.status} {arguments[:16]}"


def digest_of_random_programs() -> str:
    """Return a digest of what ``PROGRAMS`` random programs ask for and how they end."""
    digest = hashlib.sha256()
    for seed in range(PROGRAMS):
        numbers = random.Random(seed)
        host = start(draw_program(Choices(int(numbers.random() * 240) for _ in range(120))))
        choices = Choices([int(numbers.random() * 240) for _ in range(160)])
        while go_on(host, choices):
            pass
        instance = host.instance
        text = repr((host.asked, [command.at for command in instance.commands], instance.canceled, instance.answered))
        # A failure's traceback names lines and frames, which differ between versions.
        end = instance.end and (instance.end.status, instance.end.payload if instance.end.status != "failed" else b"")
        digest.update(f"{text} {end}".encode())
        instance.dispose()
    return digest.hexdigest()[:32]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # orphans' errors
    heap = [object() for _ in range(int(sys.argv[1]))]  # moves what comes after to other addresses
    sys.stdout.write(
        "\n".join(
            [
                *(
                    drive(code)
                    for code in (
                        wait_returns_sets,
                        a_task_group_cancels_in_the_order_of_a_set,
                        gathers_are_put_into_sets,
                        all_tasks_is_a_set,
                        as_completed_starts_from_a_set,
                        wait_for_awaits_in_place,
                        arguments_may_be_sets,
                    )
                ),
                f"random programs: {digest_of_random_programs()}",
                "",
            ]
        )
    )
