"""What the simulation runs: workflows with something of everything, and what must come of each, known in advance.

A mutation leaves a line ``<label>`` in the list of its account, so that one that counted twice, or not at all, is seen.
How often a step's code began is counted outside of Redis, in the ``Ledger`` of the run.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from actors import OutcomeUnknown, RetryPolicy, Step, StepFailed, Transaction, WorkflowManager

PATIENT = RetryPolicy(max_attempts=60, initial_backoff=0.2, max_backoff=1, jitter=True)
TWICE = RetryPolicy(max_attempts=2, initial_backoff=0.2, jitter=False)
MANY = 206
LARGE = 90_000
FAR = ("a", "b", "c")


class Ledger:
    """How often the code of each labelled step began."""

    def __init__(self) -> None:
        self.began: Counter[str] = Counter()


ledger = Ledger()
"""Of the run under way; one at a time in a process."""


def begin() -> Ledger:
    """Begin a run's ledger."""
    global ledger  # noqa: PLW0603 - steps are functions of a module
    ledger = Ledger()
    return ledger


manager = WorkflowManager("memory://unused", retention=36_000)
old = WorkflowManager("memory://unused", retention=36_000)
"""What older workers know: not every step and workflow, and another version of one."""


async def book(tx: Transaction, label: str, account: str) -> int:
    """Leave a line; return how many there were."""
    ledger.began[label] += 1
    count = int(await tx.get(tx.key(f"count-{account}")) or 0)
    tx.set(tx.key(f"count-{account}"), count + 1)
    tx.rpush(tx.key(f"lines-{account}"), label)
    return count


async def blind(tx: Transaction, label: str) -> None:
    """Leave a line without reading."""
    ledger.began[label] += 1
    tx.rpush(tx.key("lines-blind"), label)


async def look(tx: Transaction, account: str) -> int:
    return int(await tx.get(tx.key(f"count-{account}")) or 0)


async def work(label: str, seconds: float = 0.0) -> str:
    ledger.began[label] += 1
    if seconds:
        await asyncio.sleep(seconds)
    return label


async def flaky(label: str, failures: int) -> str:
    """Fail so many times, as far as Redis knows of them, then succeed."""
    ledger.began[label] += 1
    if ledger.began[label] <= failures:
        raise ConnectionError(label)
    return label


async def hopeless(label: str) -> None:
    ledger.began[label] += 1
    raise ValueError(label)


async def once(label: str) -> str:
    ledger.began[label] += 1
    await asyncio.sleep(0.3)
    return "done"


async def measure(text: str) -> int:
    return len(text)


async def large(label: str) -> str:
    ledger.began[label] += 1
    return "x" * LARGE


do_book = manager.mutation(name="book")(book)
do_work = manager.action(name="work", retry=PATIENT)(work)
do_flaky = manager.action(name="flaky", retry=PATIENT)(flaky)
do_look = manager.query(name="look")(look)
old.mutation(name="book")(book)
old.action(name="work", retry=PATIENT)(work)
old.query(name="look")(look)
do_blind = manager.mutation(name="blind")(blind)
do_hopeless = manager.action(name="hopeless", retry=TWICE)(hopeless)
do_once = manager.action(name="once", retry=False)(once)
do_measure = manager.action(name="measure", retry=PATIENT)(measure)
do_large = manager.action(name="large", retry=PATIENT)(large)


@manager.workflow(name="chain")
async def chain(step: Step, me: str) -> int:
    for number in range(3):
        await step.run_mutation(do_book, f"{me}-{number}", "shared")
    await step.run_mutation(do_blind, f"{me}-blind")
    return await step.run_query(do_look, "shared")


@manager.workflow(name="fan")
async def fan(step: Step, me: str) -> int:
    works = [step.run_action(do_work, f"{me}-{n}", 0.2 * n) for n in range(3)]
    books = [step.run_mutation(do_book, f"{me}-b{n}", "shared") for n in range(3)]
    return len(await asyncio.gather(*works)) + len(await asyncio.gather(*books))


@manager.workflow(name="failing")
async def failing(step: Step, me: str) -> str:
    tried = await step.run_action(do_flaky, f"{me}-flaky", 2)
    try:
        await step.run_action(do_hopeless, f"{me}-hopeless")
    except StepFailed as error:
        await step.run_mutation(do_book, f"{me}-after", "own")
        return f"{error.error_type} after {tried == f'{me}-flaky'}"
    return "never"


@manager.workflow(name="single")
async def single(step: Step, me: str) -> str:
    try:
        return await step.run_action(do_once, f"{me}-once")
    except OutcomeUnknown:
        return "unknown"


@manager.workflow(name="sleeper")
async def sleeper(step: Step, me: str) -> str:
    await step.sleep(2)
    await step.run_mutation(do_book, f"{me}-woken", "own")
    await step.sleep(400)
    return await step.run_action(do_work, f"{me}-late")


@manager.workflow(name="race")
async def race(step: Step, me: str, timeout: float) -> str:
    try:
        said = await step.await_event("go", str, timeout=timeout)
    except TimeoutError:
        said = "nobody"
    await step.run_mutation(do_book, f"{me}-{said}", "own")
    return said


@manager.workflow(name="leaf")
async def leaf(step: Step, me: str) -> str:
    await step.run_mutation(do_book, f"{me}-leaf", "shared")
    return me


@manager.workflow(name="parent")
async def parent(step: Step, me: str) -> list[str]:
    _ = step.run_workflow(leaf.with_options(detached=True), f"{me}-left")
    first = await step.run_workflow(leaf, f"{me}-1")
    return [first, *await asyncio.gather(*(step.run_workflow(leaf, f"{me}-{n}") for n in (2, 3)))]


@manager.workflow(name="far")
async def far(step: Step, me: str) -> list[str]:
    """Its children have ids of their own, and so partitions of their own."""
    children = [leaf.with_options(id=f"{n}-of-{me}") for n in FAR]
    first = await step.run_workflow(children[0], f"{me}-{FAR[0]}")
    others = zip(children[1:], FAR[1:], strict=True)
    return [first, *await asyncio.gather(*(step.run_workflow(child, f"{me}-{n}") for child, n in others))]


@manager.workflow(name="asked")
async def asked(step: Step, me: str) -> int:
    total = 0
    closed = asyncio.Event()

    @step.update_handler
    async def add(amount: int) -> int:
        nonlocal total
        await step.run_mutation(do_book, f"{me}-add{amount}", "own")
        total += amount
        return total

    @step.update_handler
    async def close() -> None:
        closed.set()

    await closed.wait()
    return total


@manager.workflow(name="undone")
async def undone(step: Step, me: str) -> str:
    try:
        await step.run_mutation(do_book, f"{me}-done", "own")
        await step.sleep(1_000)
    finally:
        await step.run_mutation(do_book, f"{me}-undone", "own")
    return "slept"


@manager.workflow(name="again")
async def again(step: Step, me: str) -> str:
    """Fail at the last step, also when that is tried again by a restart."""
    await step.run_mutation(do_book, f"{me}-first", "own")
    await step.run_action(do_work, f"{me}-gate")
    await step.run_action(do_hopeless.with_options(retry=False), f"{me}-fails")
    return "never"


@manager.workflow(name="anew")
async def anew(step: Step, me: str, generation: int = 0) -> int:
    await step.run_mutation(do_book, f"{me}-{generation}", "own")
    if generation < 2:
        anew.continue_as_new(me, generation + 1)
    return generation


@manager.workflow(name="many")
async def many(step: Step, me: str) -> str:
    naps = [asyncio.ensure_future(step.sleep(5_000 + n)) for n in range(MANY)]
    worked = await step.run_action(do_work, f"{me}-work")
    for nap in naps:
        nap.cancel()
    return worked


@manager.workflow(name="bulky")
async def bulky(step: Step, me: str) -> int:
    text = await step.run_action(do_large, f"{me}-large")
    return await step.run_action(do_measure, text) + len(await step.run_action(do_large, f"{me}-larger"))


@manager.workflow(name="told")
async def told(step: Step, me: str) -> str:
    said = await step.await_event("word")
    await step.run_mutation(do_book, f"{me}-told", "own")
    return str(said)


@manager.workflow(name="versioned", version="2")
async def versioned(step: Step, me: str) -> str:
    return await step.run_action(do_work, f"{me}-new")


old.workflow(name="chain")(chain.function)


@old.workflow(name="versioned", version="1")
async def versioned_before(step: Step, me: str) -> str:
    return await step.run_action(do_work, f"{me}-old")
