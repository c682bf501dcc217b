"""The engine's reading of a program: one workflow that interprets it, on virtual time in memory, by the public API."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from actors import (
    IdInUse,
    NonRetryable,
    NoSuchStep,
    RemoteFailure,
    RetryAfter,
    RetryPolicy,
    Step,
    Transaction,
    UpdateFailed,
    WorkflowEnded,
    WorkflowManager,
    WorkflowNotFound,
    WorkflowRunning,
)
from actors.testing import WorkflowTester
from tests.model.observed import Observed
from tests.model.programs import GENERATIONS_MAX, Body, Happening, Program, Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from actors import WorkflowHandle
    from actors.history import HistoryEntry

RAISED: Final = {"ValueError": ValueError, "IndexError": IndexError, "OSError": OSError}
FOR_EVER_S: Final = 10_000_000
RETENTION_S: Final = 10_000_000


def told(text: str) -> str:
    """Return a text if it is of the program; of a group's, what the program's errors in it say, in whatever order."""
    if "unhandled errors" in text:
        return " ".join(sorted(re.findall(r"told \w+", text)))
    return text if "told" in text else ""


def described(error: BaseException) -> list[Any]:
    """Return what a program can tell of an error."""
    if isinstance(error, RemoteFailure):
        return [type(error).__name__, error.error_type, told(error.message), error.attempts]
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return ["group", *sorted((described(one) for one in inner), key=str)]
    return [type(error).__name__, told(str(error))]


class Stage:
    """The definitions of one run, and what its steps have done."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.alive = 0
        """Steps whose code runs now."""
        self.manager = manager = WorkflowManager("memory://unused", retention=RETENTION_S)

        @manager.query(name="query")
        async def query(tx: Transaction, it: Statement) -> str:
            return await self.perform(it)

        @manager.mutation(name="mutation")
        async def mutation(tx: Transaction, it: Statement) -> str:
            value = await self.perform(it)
            tx.incrby(tx.key(f"m:{it['label']}"), 1)
            return value

        @manager.action(name="action")
        async def action(it: Statement) -> str:
            return await self.perform(it)

        @manager.workflow(name="program")
        async def program(step: Step, body: Body, generation: int = 0) -> list[Any]:
            player = Player(self, step, body, generation)

            @step.update_handler
            def count(value: int) -> int:
                player.counted += value
                return player.counted

            @step.update_handler
            async def work(value: int) -> str:
                return await step.run_action(action.with_options(name="w"), {"label": "w", "ms": 777})

            await player.body(body)
            return player.trace

        self.query, self.mutation, self.action, self.program = query, mutation, action, program

    async def perform(self, it: Statement) -> str:
        """Do what a step does: take its time, and fail the first few runs."""
        self.runs[it["label"]] += 1
        run = self.runs[it["label"]]
        self.alive += 1
        try:
            await asyncio.sleep(FOR_EVER_S if it.get("hang") else it["ms"] / 1000)
        finally:
            self.alive -= 1
        if run <= it.get("fail", 0):
            text = f"told {it['label']}"
            match it["error"]:
                case "NonRetryable":
                    raise NonRetryable(text)
                case "RetryAfter":
                    raise RetryAfter(it["again_ms"] / 1000, text)
                case error:
                    raise RAISED[error](text)
        return f"{it['label']}#{run}"


def options(it: Statement) -> dict[str, Any]:
    """Return the options of a step."""
    found: dict[str, Any] = {"name": it["label"]}
    policy = it.get("policy")
    if policy == "once":
        found["retry"] = False
    elif policy:
        kinds = {
            key: tuple(f"builtins.{name}" for name in policy[key]) for key in ("stop_on", "retry_on") if key in policy
        }
        found["retry"] = RetryPolicy(
            max_attempts=policy["max"],
            initial_backoff=policy["initial_ms"] / 1000,
            base=policy["base"],
            max_backoff=policy["max_ms"] / 1000,
            jitter=False,
            **kinds,
        )
    if "limit_ms" in it:
        found["timeout"] = it["limit_ms"] / 1000
    if "unserved_ms" in it:
        found |= {"queue": "nobody", "schedule_timeout": it["unserved_ms"] / 1000}
    if "after_ms" in it:
        found["run_after"] = it["after_ms"] / 1000
    if it.get("inline"):
        found["inline"] = True
    return found


class Player:
    """Plays a program as an instance's code."""

    def __init__(self, stage: Stage, step: Step, whole: Body, generation: int) -> None:
        self.stage, self.step, self.whole, self.generation = stage, step, whole, generation
        self.trace: list[Any] = []
        self.counted = 0

    async def body(self, body: Body) -> None:
        """Play statements one after another."""
        for statement in body:
            await getattr(self, f"_{statement['do']}")(statement)

    def ask(self, it: Statement) -> Awaitable[str]:
        """Ask for a step."""
        definition: Any = getattr(self.stage, it["kind"])
        run: Any = getattr(self.step, f"run_{it['kind']}")
        return cast("Awaitable[str]", run(definition.with_options(**options(it)), it))

    async def _step(self, it: Statement) -> None:
        self.trace.append(await self.ask(it))

    async def _sleep(self, it: Statement) -> None:
        await self.step.sleep(it["ms"] / 1000)
        self.trace.append(it["label"])

    async def _event(self, it: Statement) -> None:
        limit_s = it["limit_ms"] / 1000 if it["limit_ms"] else None
        self.trace.append([it["label"], await self.step.await_event(it["name"], int, timeout=limit_s)])

    async def _set(self, it: Statement) -> None:
        self.step.set_value(it["name"], it["label"])

    async def _raise(self, it: Statement) -> None:
        raise RAISED[it["error"]](f"told {it['label']}")

    async def _anew(self, it: Statement) -> None:
        if self.generation < GENERATIONS_MAX:
            self.stage.program.continue_as_new(self.whole, self.generation + 1)

    async def _gather(self, it: Statement) -> None:
        found: list[Any] = await asyncio.gather(
            *(self.body(body) for body in it["bodies"]), return_exceptions=it["whole"]
        )
        said = [described(one) if isinstance(one, BaseException) else "" for one in found]
        self.trace.append([it["label"], *said])

    async def _group(self, it: Statement) -> None:
        async with asyncio.TaskGroup() as group:
            for body in it["bodies"]:
                group.create_task(self.body(body))

    async def _race(self, it: Statement) -> None:
        tasks = [asyncio.create_task(self.body(body)) for body in it["bodies"]]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        late = [task for task in tasks if task not in done]
        for task in late:
            task.cancel()
        if it["waits"]:
            await asyncio.gather(*late, return_exceptions=True)
        self.trace.append([it["label"], *(n for n, task in enumerate(tasks) if task in done)])
        for task in tasks:
            if task in done:
                await task

    async def _timeout(self, it: Statement) -> None:
        async with asyncio.timeout(it["ms"] / 1000):
            await self.body(it["body"])

    async def _child(self, it: Statement) -> None:
        chosen: dict[str, Any] = {"detached": it["mode"] == "detached"}
        if it["id"]:
            chosen["id"] = f"{self.step.workflow_id}/{it['label']}"
        if "after_ms" in it:
            chosen["run_after"] = it["after_ms"] / 1000
        if "limit_ms" in it:
            chosen["timeout"] = it["limit_ms"] / 1000
        future = self.step.run_workflow(self.stage.program.with_options(**chosen), it["body"])
        if it["mode"] == "await":
            self.trace.append([it["label"], await future])

    async def _try(self, it: Statement) -> None:
        try:
            await self.body(it["body"])
        except Exception as error:
            if "handler" not in it:
                raise
            self.trace.append([it["label"], described(error)])
            await self.body(it["handler"])
        finally:
            if "final" in it:
                await self.body(it["final"])

    async def _saga(self, it: Statement) -> None:
        saga = self.step.saga()
        try:
            async with saga:
                for statement, undo in zip(it["body"], it["undos"], strict=True):
                    definition: Any = getattr(self.stage, undo["kind"])
                    saga.undo(definition.with_options(**options(undo)), undo)
                    await self.body([statement])
        finally:
            self.trace += [f"{it['label']} undo failed"] * len(saga.failures)


class Performance:
    """One program on the engine, up to a time."""

    def __init__(self, program: Program) -> None:
        """Programs of odd seeds are replayed at every turn."""
        self.program = program
        self.stage = Stage()
        self.tester = self.make_tester(replay="always" if program.seed % 2 else "cached")
        self._handle: WorkflowHandle[list[Any]]
        self._updates: list[asyncio.Task[Any]] = []
        self._now_ms = 0

    def make_tester(self, *, replay: Literal["always", "cached"]) -> WorkflowTester:
        """Return what the program is run in."""
        return WorkflowTester(self.stage.manager, strict=False, seed=self.program.seed, replay=replay)

    def play(self, end_ms: int) -> Observed:
        """Return what is seen at the end."""

        async def scenario(_tester: WorkflowTester) -> Observed:
            await self.begin()
            for happening in self.program.script:
                await self.reach(happening.at_ms)
                await self.do(happening)
            await self.reach(end_ms)
            return await self.look()

        return self.tester.play(scenario)

    async def begin(self) -> None:
        """Start the root."""
        limit_ms = self.program.timeout_ms
        chosen = self.stage.program.with_options(id="main", timeout=limit_ms / 1000 if limit_ms else None)
        self._handle = await self.tester.start(chosen, self.program.body)

    async def reach(self, at_ms: int) -> None:
        """Let time pass up to a moment."""
        await self.tester.advance((at_ms - self._now_ms) / 1000)
        self._now_ms = at_ms

    async def do(self, it: Happening) -> None:
        """Do one thing from outside; what is refused since it comes too early or late, or its id is in use, is left."""
        handle = self._handle
        try:
            match it.do:
                case "event" if it.error:
                    await handle.send_event(it.name, error=f"told {it.value}", id=it.id or None)
                case "event":
                    await handle.send_event(it.name, it.value, id=it.id or None)
                case "update":
                    self._updates.append(asyncio.create_task(self._update(it)))
                case "cancel":
                    await handle.cancel(cleanup=it.how == "cleanup")
                case "restart":
                    await handle.restart(from_step=await self._place(it))
        except (WorkflowEnded, WorkflowNotFound, WorkflowRunning, NoSuchStep, IdInUse):
            pass

    async def _update(self, it: Happening) -> object:
        manager = self.tester.manager
        try:
            return await manager.handle("main").update(it.name, it.value)
        except UpdateFailed:
            return "failed"
        except WorkflowEnded:
            return "ended"
        except WorkflowNotFound:
            return "gone"

    async def _place(self, it: Happening) -> int | str | None:
        if it.how != "number":
            return it.name or None
        steps = await self._handle.steps()
        return next((step.seq for step in steps if step.name == it.name), 1_000_000)

    async def look(self) -> Observed:
        """Return what is seen now."""
        await self.tester.settle()
        status = await self._handle.status()
        result: Any = None
        if status.type == "completed":
            result = status.result
        elif status.type == "failed":
            result = [status.error.error_type, told(status.error.message)]
        values = {name: await self._handle.value(name) for name in "xy"}
        history = await self._handle.history()
        found = Observed(
            status=status.type,
            result=result,
            runs=dict(self.stage.runs),
            mutations=await self._mutations(),
            values={name: value for name, value in values.items() if value is not None},
            untaken=sorted(_value(one) for one in history if one.kind == "event" and not one.taken),
            replies=[task.result() if task.done() else "none" for task in self._updates],
        )
        for task in self._updates:
            task.cancel()
        return found

    async def _mutations(self) -> dict[str, int]:
        space = (await self.tester.manager.store()).space
        prefix = f"{space.keys.tags[0]}:app:m:"
        found: dict[str, int] = {}
        for key in cast("list[bytes]", await space.send(space.keys.tags[0], "KEYS", f"{prefix}*")):
            count = cast("bytes", await space.send(space.keys.tags[0], "GET", key))
            found[key.decode().removeprefix(prefix)] = int(count)
        return found


def _value(entry: HistoryEntry) -> int:
    return int(entry.value if entry.error is None else entry.error.message.removeprefix("told "))
