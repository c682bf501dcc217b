"""Work for simulated workers while a guard is missing, and what must be true of it however it goes.

Each step notes that it runs. A step may run again only if something went wrong that excuses it; a mutation leaves a
line a time, never two of one step; an event is heard once, in the order in which it was sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, Final

from actors import (
    RetryPolicy,
    Step,
    StepFailed,
    Transaction,
    WorkflowBusy,
    WorkflowManager,
    WorkflowNotFound,
    WorkflowRunning,
    current_step,
)
from actors.errors import WorkflowFailed
from kernel import Refused
from tests.simulation.guards.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.handle import WorkflowHandle
    from actors.testing.simulation import Schedule, Simulation

EXCUSES: Final = ("crash-before", "crash-after", "pause", "cut", "rolled back", "timeout")
"""What excuses that a step runs again."""
RUNS_A_FAULT: Final = 3
"""So many times: who was taken for dead while it stood still begins steps until its next heartbeat tells it."""
EVENTS: Final = 6
AGAIN: Final = RetryPolicy(max_attempts=50, initial_backoff=0.2, max_backoff=2, jitter=False)


class Broken(AssertionError):
    """Something that is promised is not so."""


class Work:
    """Definitions, and what their runs left. Made anew for each run."""

    old = None

    def __init__(self, schedule: Schedule, plays: Sequence[str], *, people: int, retention: int = 7200) -> None:
        """``plays``: names of what is started. ``people``: how often somebody cancels, restarts or sends."""
        self.random = Random(schedule.seed)
        self.plays = plays
        self.people = people
        self.manager = WorkflowManager("memory://unused", namespace="g", partitions=1, retention=retention)
        self.began: Counter[str] = Counter()
        self.overrun = 0
        """Steps that went on long after they were canceled."""
        self.began_once: Counter[str] = Counter()
        self.started: list[tuple[str, WorkflowHandle[Any]]] = []
        self.simulation: Simulation
        self._define_steps()
        self._define_workflows()
        self._define_families()

    # ---------------------------------------------------------------------------------------------- definitions

    def _begin(self) -> str:
        step = current_step()
        key = f"{step.idempotency_key}:{step.attempt}"
        self.began[key] += 1
        return key

    def _define_steps(self) -> None:
        manager, random = self.manager, self.random

        @manager.action(name="act", retry=AGAIN)
        async def act(number: int) -> int:
            self._begin()
            await asyncio.sleep(random.choice((0, 0.01, 0.3, 2)))
            return number

        @manager.action(name="quick", retry=AGAIN)
        async def quick(number: int) -> int:
            self._begin()
            return number

        @manager.action(name="unwanted", retry=AGAIN)
        async def unwanted(number: int) -> int:
            await asyncio.sleep(8)
            self.overrun += 1
            return number

        @manager.action(name="long", retry=AGAIN)
        async def long(number: int) -> int:
            self._begin()
            await asyncio.sleep(9)
            return number

        @manager.action(name="flaky", retry=AGAIN)
        async def flaky(number: int) -> int:
            self._begin()
            await asyncio.sleep(random.choice((0, 0.02)))
            if current_step().attempt < 3:  # noqa: PLR2004 - the third time is lucky
                raise ValueError(number)
            return number

        @manager.action(name="once")
        async def once(number: int) -> int:
            self.began_once[self._begin()] += 1
            await asyncio.sleep(random.choice((0.1, 2, 6)))
            return number

        @manager.mutation(name="write")
        async def write(tx: Transaction) -> int:
            total = int(await tx.get(tx.key("total")) or 0) + 1
            await asyncio.sleep(random.choice((0, 0.05)))
            tx.set(tx.key("total"), str(total))
            tx.rpush(tx.key("lines"), current_step().idempotency_key)
            return total

        self.act, self.quick, self.unwanted, self.long, self.flaky, self.once, self.write = (
            act,
            quick,
            unwanted,
            long,
            flaky,
            once,
            write,
        )

    def _define_workflows(self) -> None:
        manager = self.manager

        @manager.workflow(name="chain")
        async def chain(step: Step, rounds: int) -> int:
            total = 0
            for number in range(rounds):
                total += await step.run_action(self.act, number)
            total += await step.run_action(self.flaky, 1)
            try:
                total += await step.run_action(self.once, 0)
            except StepFailed:
                pass
            await asyncio.gather(step.run_mutation(self.write), step.run_action(self.act, 5), step.sleep(1))
            return total

        @manager.workflow(name="lasting")
        async def lasting(step: Step) -> int:
            risky = [step.run_action(self.once, n) for n in range(3)]
            works = [step.run_action(self.long, n) for n in range(3)]
            both = await asyncio.gather(*works, step.run_action(self.flaky, 4))
            await asyncio.gather(*risky, return_exceptions=True)
            return sum(both) + await step.run_action(self.act, 0)

        @manager.workflow(name="waves")
        async def waves(step: Step, rounds: int) -> int:
            for number in range(rounds):
                await step.run_action(self.quick, number)
                tasks = [asyncio.create_task(_awaited(step.run_action(self.quick, n))) for n in range(7)]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
            return rounds

        @manager.workflow(name="impatient")
        async def impatient(step: Step, rounds: int) -> int:
            for number in range(rounds):
                try:
                    async with asyncio.timeout(0.4):
                        await step.run_action(self.unwanted, number)
                except TimeoutError:
                    pass
            await step.sleep(12)
            return rounds

        @manager.workflow(name="busy")
        async def busy(step: Step, rounds: int) -> int:
            async def row() -> int:
                return sum([await step.run_action(self.act, 1) for _ in range(rounds)])

            return sum(await asyncio.gather(*(row() for _ in range(8))))

        @manager.workflow(name="race")
        async def race(step: Step, wide: int) -> int:
            for _ in range(2):
                try:
                    async with asyncio.timeout(3):
                        await step.run_action(self.long, 1)
                except TimeoutError:
                    pass
            tasks = [asyncio.create_task(_awaited(step.run_action(self.act, n))) for n in range(wide)]
            done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in late:
                task.cancel()
            await step.run_action(self.act, 7)
            return len(done) > 0

        @manager.workflow(name="listen")
        async def listen(step: Step, heard: list[int], until: int) -> list[int]:
            for _ in range(2):
                heard = [*heard, await step.await_event("go", int)]
                if len(heard) == until:
                    return heard
            await step.run_action(self.act, 1)
            return listen.continue_as_new(heard, until)

        @manager.workflow(name="add")
        async def add(step: Step, times: int) -> int:
            await asyncio.gather(*(step.run_mutation(self.write) for _ in range(times)))
            return await step.run_mutation(self.write)

        self.busy, self.waves, self.impatient = busy, waves, impatient
        self.chain, self.lasting, self.race, self.listen, self.add = chain, lasting, race, listen, add

    def _define_families(self) -> None:
        manager = self.manager

        @manager.workflow(name="child")
        async def child(step: Step, number: int) -> int:
            await step.run_action(self.act, number)
            await step.sleep(1)
            return await step.run_action(self.act, number)

        @manager.workflow(name="leaf", retention=0)
        async def leaf(step: Step) -> int:
            return len(step.workflow_id)

        @manager.workflow(name="parent")
        async def parent(step: Step, name: str) -> int:
            total = await step.run_workflow(child, 1)
            kept = child.with_options(id=name) if name else child
            for seconds in (0.01, 0.5):
                try:
                    async with asyncio.timeout(seconds):
                        await step.run_workflow(child, 2)
                except TimeoutError:
                    pass
            total += await step.run_workflow(kept, 3)
            await step.run_workflow(leaf)
            await step.run_action(self.act, 1)
            return total

        self.parent = parent

    # --------------------------------------------------------------------------------------------------- the play

    async def play(self, simulation: Simulation) -> None:
        """Start all, let people interfere, and see that all is as promised."""
        self.simulation = simulation
        try:
            await self._play()
        except Exception:
            simulation.check()  # what was wrong first says more than what came of it
            raise

    async def _play(self) -> None:
        simulation = self.simulation
        witness = Witness(simulation.world, self.manager.worker_timeout_s, simulation._clock.now_ms)
        for play in self.plays:
            await self._start(play)
        sender = asyncio.create_task(self._send_all())
        for _ in range(self.people):
            await asyncio.sleep(self.random.choice((0.005, 0.1, 0.7, 2.5)))
            await self._interfere()
        await sender
        await self._settle()
        results = [await handle.result() for _, handle in self.started]  # notices that nothing goes on
        await simulation.finish()
        await self._judge(results, witness)
        await simulation.vanish()

    async def _start(self, play: str) -> None:
        simulation, number = self.simulation, len(self.started)
        match play:
            case "chain":
                handle: WorkflowHandle[Any] = await simulation.start(self.chain, 3)
            case "impatient":
                handle = await simulation.start(self.impatient, 6)
            case "waves":
                handle = await simulation.start(self.waves, 5)
            case "busy":
                handle = await simulation.start(self.busy, 3)
            case "lasting":
                handle = await simulation.start(self.lasting)
            case "race":
                handle = await simulation.start(self.race, 6)
            case "listen":
                handle = await simulation.start(self.listen, [], EVENTS)
            case "add":
                handle = await simulation.start(self.add, 3)
            case _:
                handle = await simulation.start(self.parent, f"chosen-{number}" if play == "named" else "")
        self.started.append((play, handle))

    async def _send_all(self) -> None:
        handles = [handle for play, handle in self.started if play == "listen"]
        store = await self.simulation.manager.store()
        key = store.space.keys.gateway
        for number in range(EVENTS):
            await asyncio.sleep(self.random.choice((0, 0.01, 0.2, 1.5)))
            for handle in handles:
                if number % 2:
                    await handle.send_event("go", number)
                else:
                    words = ("type", "event", "id", handle.id, "name", "go", "value", str(number))
                    await store.space.send(key, "XADD", key, "*", *words)

    async def _interfere(self) -> None:
        play, handle = self.random.choice(self.started)
        if play == "listen":
            return
        try:
            if self.random.random() < 0.6:  # noqa: PLR2004 - a coin
                await handle.cancel()
                await asyncio.sleep(self.random.choice((0, 0.01, 0.5)))
            await handle.restart(from_step=self.random.choice((None, 1, 2)))
        except (WorkflowNotFound, WorkflowRunning, WorkflowBusy, Refused, WorkflowFailed, LookupError):
            pass  # it is too late, or too early
        except Exception as error:
            if type(error).__name__ != "NoSuchStep":
                raise

    async def _settle(self) -> None:
        """Let whoever was canceled run again, so that there is a result."""
        for _, handle in self.started:
            if (await handle.status()).type == "canceled":
                while True:
                    try:
                        await handle.restart(from_step=1)
                    except WorkflowBusy:
                        await asyncio.sleep(1)
                    except (WorkflowRunning, WorkflowNotFound):
                        break
                    else:
                        break

    # --------------------------------------------------------------------------------------------------- judgement

    async def _judge(self, results: Sequence[object], witness: Witness) -> None:
        expected = {
            "chain": (4,),
            "lasting": (7,),
            "waves": (5,),
            "impatient": (6,),
            "busy": (24,),
            "race": (1,),
            "listen": (list(range(EVENTS)),),
            "add": None,
            "parent": (4,),
            "named": (4,),
        }
        for (play, _), result in zip(self.started, results, strict=True):
            wanted = expected[play]
            if wanted is not None and (sorted(result) if isinstance(result, list) else result) not in wanted:
                raise Broken(f"a workflow {play!r} returned {result!r}, not {wanted[0]!r}")
        excuses = RUNS_A_FAULT * sum(self.simulation.injected[kind] for kind in EXCUSES)
        for key, times in self.began.items():
            if times > 1 + excuses:
                raise Broken(f"an attempt of a step ran {times} times, {excuses} were excused: {key}")
        if max(self.began_once.values(), default=0) > 1 and not self.simulation.injected["rolled back"]:
            raise Broken("an action that may run once only ran twice")
        if self.overrun:
            raise Broken("a step ran to its end 7 s after it was canceled")
        if witness.said:
            raise Broken(witness.said[0])
        await self._judge_writes()

    async def _judge_writes(self) -> None:
        store = await self.simulation.manager.store()
        tag = store.space.keys.tags[0]
        lines: Any = await store.space.send(tag, "LRANGE", f"{tag}:app:lines", 0, -1)
        twice = [line for line, times in Counter(lines).items() if times > 1]
        if twice:
            raise Broken(f"a mutation wrote twice: {twice[0]!r}")
        total: Any = await store.space.send(tag, "GET", f"{tag}:app:total")
        if int(total or 0) != len(lines):
            raise Broken(f"an update was lost: {len(lines)} mutations, the total is {int(total or 0)}")


async def _awaited(future: Any) -> Any:  # noqa: ANN401 - of a step
    return await future
