"""A workflow with something of everything, and what must be true after it, whoever died on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from actors import OutcomeUnknown, RetryPolicy, Step, Transaction, current_step
from kernel import Outcome, read_outcome
from tests.engine.process import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors import WorkflowManager
    from actors.definitions import AsyncAction, Mutation, Query, ThreadAction, Workflow
    from kernel import Store

STEPS = 28
ATTEMPTS = 3
RESULT = [4, [0, 2, 4, 6, 8], "third time", 3, "3", 14, 11, 2, 5, "end"]
AGAIN = RetryPolicy(max_attempts=ATTEMPTS, initial_backoff=0.002, jitter=False)


class Ran:
    """How often the code of each step began to run, over all processes."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, int, int]] = Counter()
        self.once = 0

    def note(self) -> int:
        """Note that the current attempt runs; return its number."""
        step = current_step()
        self.attempts[step.workflow_id, step.seq, step.attempt] += 1
        return step.attempt


class Steps(NamedTuple):
    """The steps that the journey asks for."""

    add: AsyncAction[[int, int], int]
    flaky: AsyncAction[[], str]
    threaded: ThreadAction[[int], int]
    once: AsyncAction[[], None]
    bump: Mutation[[int], int]
    push: Mutation[[str], None]
    look: Query[[], str]


def define_steps(manager: WorkflowManager, ran: Ran) -> Steps:
    """Define the steps."""

    @manager.action(name="add", retry=AGAIN)
    async def add(a: int, b: int) -> int:
        ran.note()
        return a + b

    @manager.action(name="flaky", retry=AGAIN)
    async def flaky() -> str:
        if ran.note() < ATTEMPTS:
            raise ValueError("not yet")
        return "third time"

    @manager.action(name="threaded", retry=AGAIN)
    def threaded(x: int) -> int:
        return 2 * x

    @manager.action(name="once", retry=False)
    async def once() -> None:
        ran.once += 1

    @manager.mutation(name="bump")
    async def bump(tx: Transaction, by: int) -> int:
        before = int(await tx.get(tx.key("total")) or 0)
        tx.incrby(tx.key("total"), by)
        return before + by

    @manager.mutation(name="push")
    async def push(tx: Transaction, what: str) -> None:
        tx.rpush(tx.key("list"), what)

    @manager.query(name="look")
    async def look(tx: Transaction) -> str:
        return (await tx.get(tx.key("total")) or b"").decode()

    return Steps(add, flaky, threaded, once, bump, push, look)


def define(manager: WorkflowManager, ran: Ran) -> Workflow[[], list[object]]:
    """Define the workflow and its steps."""
    do = define_steps(manager, ran)

    @manager.workflow(name="journey")
    async def journey(step: Step) -> list[object]:
        return [*await first_half(step, do), *await second_half(step, do), "end"]

    return journey


async def first_half(step: Step, do: Steps) -> list[object]:
    """One after another, side by side, a pause, another attempt, and each kind of step."""
    total = 0
    for _ in range(4):
        total = await step.run_action(do.add, total, 1)
    doubled = await asyncio.gather(*(step.run_action(do.add, i, i) for i in range(5)))
    await step.sleep(0.004)
    word = await step.run_action(do.flaky)
    bumped = await step.run_mutation(do.bump, 3)
    await step.run_mutation(do.push, "first")
    seen = await step.run_query(do.look)
    thread = await step.run_action(do.threaded, 7)
    with contextlib.suppress(OutcomeUnknown):
        await step.run_action(do.once)
    return [total, doubled, word, bumped, seen, thread]


async def second_half(step: Step, do: Steps) -> list[object]:
    """Timers that are taken back, nested tasks, and a race whose loser is taken back."""
    async with asyncio.timeout(600):
        late = await step.run_action(do.add, 5, 6)
    async with asyncio.TaskGroup() as group:
        pushed = group.create_task(_push_and_add(step, do))
        group.create_task(_nap(step, do))
    racing: list[asyncio.Future[Any]] = [step.run_action(do.add, 2, 3), step.sleep(900)]
    done, rest = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
    for one in rest:
        one.cancel()
    await step.run_mutation(do.push, "last")
    await asyncio.gather(step.sleep(0.002), step.run_action(do.add, 0, 0), step.run_action(do.add, 1, 0))
    return [late, pushed.result(), *(one.result() for one in done)]


async def _push_and_add(step: Step, do: Steps) -> int:
    await step.run_mutation(do.push, "second")
    return await step.run_action(do.add, 1, 1)


async def _nap(step: Step, do: Steps) -> None:
    await step.sleep(0.003)
    await step.run_mutation(do.bump, 1)


async def check(store: Store, workflow_id: str, ran: Ran, *, deaths: int) -> None:
    """Fail unless everything was done once and nothing is left over."""
    address = f"wf/{workflow_id}"
    tag = store.space.keys.tag_of(address)
    await until(lambda: _quiet(store, tag))
    assert await store.space.send(tag, "GET", f"{tag}:app:total") == b"4"
    assert await store.space.send(tag, "LRANGE", f"{tag}:app:list", 0, -1) == [b"first", b"second", b"last"]
    _check_journal(await store.instances.read(address, "journal"), ran, deaths)
    assert await store.instances.read(address, "open") == {}
    await check_nothing_left(store, tag)


def _check_journal(journal: Mapping[str, bytes], ran: Ran, deaths: int) -> None:
    outcomes = read_outcomes(journal)
    commands = [name for name in journal if name[0] == "c"]
    closed = {int(name[1:]) for name in journal if name[0] == "x"}
    assert len(commands) == STEPS, sorted(commands)
    assert outcomes.keys() | closed == set(range(1, STEPS + 1))
    numbers = [int(outcome.event.partition("-")[0]) for outcome in outcomes.values()]
    assert len(set(numbers)) == len(numbers), "an event's number was given twice"
    for seq, outcome in outcomes.items():
        command = journal[f"c{seq}"].partition(b"\n")[0]
        assert outcome.attempt == (ATTEMPTS if b"|flaky|" in command else 1), (seq, command, outcome)
        errors = [name for name in journal if name.startswith(f"a{seq}.")]
        assert len(errors) == outcome.attempt - 1
        assert outcome.status in {"ok", "fired"} or b"|once|" in command, (seq, outcome)
    # A death costs each attempt that was under way one more run, and nothing else is run twice.
    assert all(count <= 1 + deaths for count in ran.attempts.values()), ran.attempts
    assert ran.once <= 1


def read_outcomes(journal: Mapping[str, bytes]) -> dict[int, Outcome]:
    """Return the outcomes in a journal by number."""
    return {
        int(name[1:]): read_outcome(value) for name, value in journal.items() if name[0] == "r" and name != "result"
    }


async def _quiet(store: Store, tag: str) -> bool:
    """Tell whether the ready entry of the last turn is gone: its holder settles it after the end was announced."""
    return await store.space.send(tag, "XLEN", f"{tag}:ready") == 0


async def check_nothing_left(store: Store, tag: str) -> None:
    """Fail if anything of ended instances waits anywhere."""
    send = store.space.send
    for name in ("held", "delayed", "retries"):
        assert await send(tag, "ZRANGE", f"{tag}:{name}", 0, -1) == [], name
    for name, group in (("ready", "dispatchers"), ("q:default", "workers"), ("outbox", "couriers")):
        stream = f"{tag}:{name}"
        assert await send(tag, "XRANGE", stream, "-", "+") == [], name
        assert await send(tag, "XPENDING", stream, group, "-", "+", 10) == [], name
    keys = {key.decode() for key in await every_key(store)}
    shared = ("meta", "names", "ready", "q:default", "outbox", "expiry", "app:total", "app:list")
    expected = {
        *(f"{tag}:{name}" for name in shared),
        *(f"{tag}:wf:j", f"{tag}:wf.journal:j", f"{tag}:index:journey:completed"),
        *(store.space.keys.workers, f"{{{store.space.keys.workers}}}:about", store.space.keys.gateway),
    }
    assert keys == expected, (keys - expected, expected - keys)


async def every_key(store: Store) -> list[bytes]:
    """List every key of the store's namespace."""
    tag = store.space.keys.tags[0]
    return cast("list[bytes]", await store.space.send(tag, "KEYS", f"*{store.space.namespace}:*"))
