"""Random workflow programs and random orders of outcomes, both read from one row of numbers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.errors import StepFailed
from actors.registry import Registry
from tests.workflow.host import Host, work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from actors.workflow import Step

DEPTH_MAX = 4
EVENTS_MAX = 40


class Choices:
    """Numbers, read one after another; 0 when they are used up."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers: Iterator[int] = iter(numbers)

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit`` - 1."""
        return next(self._numbers, 0) % limit


@dataclass(frozen=True)
class Node:
    """One construct of a program, with the constructs inside it."""

    kind: str
    amount: int = 0
    parts: tuple[Node, ...] = ()


LEAVES = ("step", "step", "step", "sleep", "yield", "event", "raise", "queue")
BRANCHES = (
    "sequence",
    "gather",
    "gather_errors",
    "first",
    "first_left_running",
    "timeout",
    "wait_for",
    "catch",
    "finally",
    "cancel",
    "group",
    "group",
    "shield",
    "as_completed",
    "aside",
    "generator",
    "lock",
)


def draw_program(choices: Choices, depth: int = 0) -> Node:
    """Return a random program."""
    if not depth:
        # Broad enough that most go on for many events.
        return Node("gather_errors", 0, tuple(draw_program(choices, 1) for _ in range(4)))
    if depth >= DEPTH_MAX or choices.below(4) == 0:
        return Node(LEAVES[choices.below(len(LEAVES))], choices.below(5))
    kind = BRANCHES[choices.below(len(BRANCHES))]
    parts = tuple(draw_program(choices, depth + 1) for _ in range(1 + choices.below(3)))
    return Node(kind, choices.below(5), parts)


@dataclass
class Run:
    """One execution of a program."""

    step: Step
    names: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    queue: asyncio.Queue[int] = field(default_factory=asyncio.Queue[int])
    left: list[asyncio.Task[Any]] = field(default_factory=list[asyncio.Task[Any]])

    async def do(self, node: Node) -> object:
        """Execute ``node``; its value shows the order in which things came."""
        return await getattr(self, f"do_{node.kind}")(node)

    def task(self, node: Node) -> asyncio.Task[Any]:
        return asyncio.create_task(self.do(node))

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    async def do_step(self, node: Node) -> object:
        return await self.step.run_action(work, self.name("s"))

    async def do_sleep(self, node: Node) -> str:
        await (asyncio.sleep(node.amount) if node.amount % 2 else self.step.sleep(node.amount))
        return "slept"

    async def do_yield(self, node: Node) -> None:
        for _ in range(node.amount):
            await asyncio.sleep(0)

    async def do_event(self, node: Node) -> object:
        with contextlib.suppress(TimeoutError):
            return await self.step.await_event(f"e{node.amount % 2}", timeout=node.amount or None)
        return "no event"

    async def do_raise(self, node: Node) -> None:
        raise ValueError(self.name("error"))

    async def do_queue(self, node: Node) -> object:
        if node.amount % 2:
            self.queue.put_nowait(node.amount)
            return "queued"
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.queue.get(), 1 + node.amount)
        return "nothing queued"

    async def do_sequence(self, node: Node) -> list[Any]:
        return [await self.do(part) for part in node.parts]

    async def do_gather(self, node: Node) -> list[Any]:
        return await asyncio.gather(*(self.do(part) for part in node.parts))

    async def do_gather_errors(self, node: Node) -> list[str]:
        values = await asyncio.gather(*(self.do(part) for part in node.parts), return_exceptions=True)
        return [repr(value) for value in values]

    async def do_first(self, node: Node) -> list[str]:
        tasks = [self.task(part) for part in node.parts]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return [_outcome(task) for task in done]

    async def do_first_left_running(self, node: Node) -> list[str]:
        tasks = [self.task(part) for part in node.parts]
        self.left += tasks
        done, _ = await asyncio.wait(tasks, timeout=node.amount + 1, return_when=asyncio.FIRST_EXCEPTION)
        return [_outcome(task) for task in done]

    async def do_timeout(self, node: Node) -> object:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(node.amount):
                return await self.do_sequence(node)
        return "timed out"

    async def do_wait_for(self, node: Node) -> object:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.do_sequence(node), node.amount)
        return "timed out"

    async def do_catch(self, node: Node) -> object:
        try:
            return await self.do(node.parts[0])
        except (ValueError, StepFailed) as error:
            return [str(error), await self.do_sequence(Node("sequence", 0, node.parts[1:]))]

    async def do_finally(self, node: Node) -> object:
        try:
            return await self.do(node.parts[0])
        finally:
            await self.do_sequence(Node("sequence", 0, node.parts[1:]))

    async def do_cancel(self, node: Node) -> str:
        task = self.task(node.parts[0])
        await self.do_sequence(Node("sequence", 0, node.parts[1:]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return _outcome(task)

    async def do_group(self, node: Node) -> list[str]:
        tasks: list[asyncio.Task[Any]] = []
        with contextlib.suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(self.do(part)) for part in node.parts]
        return [_outcome(task) for task in tasks]

    async def do_shield(self, node: Node) -> object:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1 + node.amount):
                return await asyncio.shield(self.task(node.parts[0]))
        return "shielded"

    async def do_as_completed(self, node: Node) -> list[str]:
        seen: list[str] = []
        for one in asyncio.as_completed([self.task(part) for part in node.parts]):
            try:
                seen.append(repr(await one))
            except (ValueError, StepFailed) as error:
                seen.append(repr(error))
        return seen

    async def do_aside(self, node: Node) -> None:
        self.left += [self.task(part) for part in node.parts]

    async def do_generator(self, node: Node) -> list[Any]:
        async def values() -> AsyncIterator[object]:
            try:
                for part in node.parts:
                    yield await self.do(part)
            finally:
                await self.step.run_action(work, self.name("close"))

        seen: list[object] = []
        async for value in values():
            seen.append(value)
            if node.amount == 4:
                break
        return seen

    async def do_lock(self, node: Node) -> list[Any]:
        async with self.lock:
            return await self.do_sequence(Node("sequence", 0, tuple(part for part in node.parts if not _locks(part))))


def _locks(node: Node) -> bool:
    return node.kind == "lock" or any(_locks(part) for part in node.parts)


def _outcome(task: asyncio.Task[Any]) -> str:
    if not task.done():
        return "pending"
    if task.cancelled():
        return "canceled"
    return repr(task.exception() or task.result())


def start(program: Node) -> Host:
    """Start ``program`` as a workflow."""

    async def flow(step: Step) -> str:
        return repr(await Run(step).do(program))

    return Host(Registry().workflow(name="program")(flow))


def go_on(host: Host, choices: Choices) -> bool:
    """Let one random thing happen to the instance; False when it has ended or has had enough events."""
    if host.instance.end is not None or len(host.events) >= EVENTS_MAX:
        return False
    happening = choices.below(16)
    if happening == 0:
        host.cancel()
    elif happening == 1 and host.instance.canceled:
        # An outcome that was under way when its command was withdrawn.
        late = host.instance.canceled
        host.answer(late[choices.below(len(late))], "late")
    elif happening == 2:
        host.send(f"e{choices.below(2)}", f"event {len(host.events)}")
    else:
        open_ = list(host.instance.open)
        seq = open_[choices.below(len(open_))]
        _answer(host, seq, fails=choices.below(4) == 0)
    return True


def _answer(host: Host, seq: int, *, fails: bool) -> None:
    command = host.instance.commands[seq - 1]
    if command.kind == "timer":
        host.fire(seq)
    elif command.kind == "wait":
        host.send(command.target, f"event {len(host.events)}")
    elif fails:
        host.fail(seq, ValueError(f"step {seq}"))
    else:
        host.answer(seq, f"value {len(host.events)}")
