"""The scenario: a few instances of some of the workflows, as the seed draws, and the judgement on what came of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import product
from random import Random
from typing import Any

import pytest

from actors import (
    Canceled,
    NoSuchStep,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowHandle,
    WorkflowNotFound,
    WorkflowRunning,
)
from actors.definitions import Workflow
from actors.testing import NothingHappens, TestedHandle
from actors.testing.simulation import Schedule, Simulation
from tests.simulation import flows

INSTANCES = 3
EXCUSED = frozenset(
    {
        "crash-before", "crash-after", "pause", "cut", "drop", "timeout", "late", "regroup", "twice",
    }
)  # fmt: skip
"""Faults that may make a step's code begin once more, beside ``FORGETTING``."""
FORGETTING = frozenset({"rolled back", "failed over"})
"""What makes a server forget: all attempts so far, if it comes to that."""


class Mixed:
    """One run. ``play`` raises AssertionError when something is not as it must be."""

    def __init__(self, schedule: Schedule, *, kinds: tuple[str, ...] = ()) -> None:
        self.manager, self.old = flows.manager, flows.old
        self.random = Random(schedule.seed)
        self.kinds = kinds or tuple(KINDS)
        self.lines: Counter[str] = Counter()
        """What the mutations must have left, each once."""
        self.maybe: set[str] = set()
        """What they may have left, once."""
        self.attempts: Counter[str] = Counter()
        """How often a step's code begins when nothing goes wrong, if not once."""
        self.judged: list[Callable[[], None]] = []

    async def play(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.ledger = flows.begin()
        chosen = [self.random.choice(self.kinds) for _ in range(INSTANCES)]
        await asyncio.gather(*(KINDS[kind](self, f"{kind}{n}") for n, kind in enumerate(chosen)))
        await self._check_lines()
        self._check_attempts()
        await simulation.vanish()

    # ------------------------------------------------------------------------------------------------ judgement

    async def _check_lines(self) -> None:
        """Wait until all is over, and compare what is there with what should be."""
        found, counts, forgotten = Counter[str](), dict[str, int](), -1
        while forgotten != self._forgotten:  # a failover may have undone ends while it was read
            forgotten = self._forgotten
            await self.simulation.finish()
            found, counts = await self._read_lines()
        assert not (wrong := {which: count for which, count in counts.items() if count}), (
            f"counted and not there: {wrong}"
        )
        assert found - Counter(self.maybe) == self.lines - Counter(), (
            f"lines: {found}, expected: {self.lines}, {self.maybe}"
        )
        assert max(found.values(), default=1) == 1, f"committed twice: {found}"

    async def _read_lines(self) -> tuple[Counter[str], dict[str, int]]:
        """Return the lines that there are, and by account how many more are counted."""
        store = await self.simulation.manager.store()
        found, counts = Counter[str](), dict[str, int]()
        for tag, account in product(store.space.keys.tags, ("shared", "own", "blind")):
            rows: Any = await store.space.send(tag, "LRANGE", f"{tag}:app:lines-{account}", 0, -1)
            found.update(row.decode() for row in rows)
            if account != "blind":
                count: Any = await store.space.send(tag, "GET", f"{tag}:app:count-{account}")
                counts[f"{tag} {account}"] = int(count or 0) - len(rows)
        return found, counts

    def _check_attempts(self) -> None:
        excuses = sum(count for kind, count in self.simulation.injected.items() if kind in EXCUSED)
        for label, count in self.ledger.began.items():
            usual = self.attempts.get(label, 1) * (1 + self._forgotten)
            assert count <= usual + excuses + self._conflicts(label), f"{label} began {count} times"
            if label.endswith("-once"):
                assert count <= 1 + self._forgotten, f"{label} began {count} times"

    @property
    def _forgotten(self) -> int:
        """How often a server has forgotten what it had answered."""
        return sum(self.simulation.injected[kind] for kind in FORGETTING)

    def _conflicts(self, label: str) -> int:
        """A mutation's code runs again for each writer that was quicker."""
        return len(self.ledger.began) if label in self.lines or label in self.maybe else 0

    # -------------------------------------------------------------------------------------------------- helpers

    async def start(self, workflow: Workflow[..., Any], me: str, *args: object) -> TestedHandle[Any]:
        """Start an instance, a little later than the others."""
        await asyncio.sleep(self.random.choice([0, 0, 0.02, 0.7]))
        return await self.simulation.start(workflow.with_options(id=me), me, *args)

    async def later(self) -> None:
        await asyncio.sleep(self.random.choice([0.01, 0.1, 0.5, 1.5, 4]))

    def books(self, *labels: str) -> None:
        self.lines.update(labels)

    # -------------------------------------------------------------------------------------------- the workflows

    async def chain(self, me: str) -> None:
        handle = await self.start(flows.chain, me)
        self.books(*(f"{me}-{n}" for n in range(3)), f"{me}-blind")
        assert await handle.result() >= 3

    async def fan(self, me: str) -> None:
        handle = await self.start(flows.fan, me)
        self.books(*(f"{me}-b{n}" for n in range(3)))
        assert await handle.result() == 6

    async def failing(self, me: str) -> None:
        handle = await self.start(flows.failing, me)
        self.books(f"{me}-after")
        self.attempts.update({f"{me}-flaky": 3, f"{me}-hopeless": 2})
        assert await handle.result() == "ValueError after True"

    async def single(self, me: str) -> None:
        handle = await self.start(flows.single, me)
        result = await handle.result()
        injected = {kind for kind, count in self.simulation.injected.items() if count}
        assert result == "done" or (result == "unknown" and injected & (EXCUSED | FORGETTING)), result

    async def sleeper(self, me: str) -> None:
        handle = await self.start(flows.sleeper, me)
        self.books(f"{me}-woken")
        assert await handle.result() == f"{me}-late"

    async def race(self, me: str) -> None:
        handle = await self.start(flows.race, me, self.random.choice([0.5, 4, 60]))
        sends = self.random.random() < 0.7
        if sends:
            await self.later()
            await told(handle.send_event("go", "go", id=f"{me}-go"))
        result = await handle.result()
        assert result == "nobody" or (sends and result == "go")
        self.books(f"{me}-{result}")

    async def parent(self, me: str) -> None:
        handle = await self.start(flows.parent, me)
        self.books(*(f"{me}-{n}-leaf" for n in ("left", 1, 2, 3)))
        assert await handle.result() == [f"{me}-{n}" for n in (1, 2, 3)]

    async def far(self, me: str) -> None:
        """Its children live in any partition. A node that forgets one has forgotten its line too, if it was done."""
        handle = await self.start(flows.far, me)
        assert await handle.result() == [f"{me}-{n}" for n in flows.FAR]
        lines = [f"{me}-{n}-leaf" for n in flows.FAR]
        if self.simulation.injected["failed over"]:
            self.maybe |= set(lines)
        else:
            self.books(*lines)

    async def asked(self, me: str) -> None:
        handle = await self.start(flows.asked, me)
        answers = {await handle.update("add", amount, type=int, id=f"{me}-{amount}") for amount in (1, 2)}
        assert answers == {1, 3}
        assert await handle.update("add", 2, type=int, id=f"{me}-2") == 3
        await told(handle.update("close", id=f"{me}-close"))
        self.books(f"{me}-add1", f"{me}-add2")
        assert await handle.result() == 3

    async def canceled(self, me: str) -> None:
        handle = await self.start(flows.chain, me)
        self.maybe |= {*(f"{me}-{n}" for n in range(3)), f"{me}-blind"}
        await self.later()
        await handle.cancel()
        try:
            assert await handle.result() >= 3
        except WorkflowCanceled:
            assert isinstance(await handle.status(), Canceled)

    async def undone(self, me: str) -> None:
        handle = await self.start(flows.undone, me)
        self.maybe |= {f"{me}-done", f"{me}-undone"}
        await self.later()
        await handle.cancel(cleanup=True)
        try:
            await handle.result()
            raise AssertionError("it was canceled")
        except WorkflowCanceled:
            pass

    async def again(self, me: str) -> None:
        handle = await self.start(flows.again, me)
        self.books(f"{me}-first")
        self.attempts.update({f"{me}-fails": 2, f"{me}-gate": 1})
        for last in (False, True):
            with pytest.raises(WorkflowFailed):
                await handle.result()
            if not last:
                await self.restart(handle)

    async def restart(self, handle: WorkflowHandle[Any]) -> None:
        while True:
            try:
                await handle.restart(from_step=3)
            except (WorkflowRunning, NoSuchStep):
                if not self._forgotten:
                    raise
                await asyncio.sleep(0.5)  # that it had ended was forgotten
            else:
                return

    async def anew(self, me: str) -> None:
        handle = await self.start(flows.anew, me)
        self.books(*(f"{me}-{n}" for n in range(3)))
        assert await handle.result() == 2

    async def many(self, me: str) -> None:
        handle = await self.start(flows.many, me)
        assert await handle.result() == f"{me}-work"

    async def bulky(self, me: str) -> None:
        handle = await self.start(flows.bulky, me)
        assert await handle.result() == 2 * flows.LARGE

    async def told(self, me: str) -> None:
        """Is started, and told, by messages to the gateway."""
        store = await self.simulation.manager.store()
        key = store.space.keys.gateway
        self.books(f"{me}-told")
        start = ("type", "start", "workflow", "told", "id", me, "args", f'["{me}"]')
        event = ("type", "event", "id", me, "name", "word", "value", '"hello"', "dedupe", "hello")
        await store.space.send(key, "XADD", key, "*", *start)
        await self.later()
        await store.space.send(key, "XADD", key, "*", *event)
        result = None
        while result is None:
            try:
                result = await self.simulation.handle(me).result()
            except (WorkflowNotFound, NothingHappens):  # not yet, or not any more, after a rollback
                await asyncio.sleep(0.5)
                if self.simulation.injected["failed over"]:
                    # Messages that were carried out are gone; the node on which they were may have forgotten that.
                    for words in (start, event):
                        await store.space.send(key, "XADD", key, "*", *words)
        assert result == "hello"

    async def versioned(self, me: str) -> None:
        handle = await self.start(flows.versioned, me)
        assert await handle.result() == f"{me}-new"


async def told(work: Awaitable[object]) -> None:
    """Tell an instance something that it may no longer need."""
    try:
        await work
    except Exception as error:
        if type(error).__name__ not in {"WorkflowEnded", "Ended"}:
            raise


KINDS: dict[str, Callable[[Mixed, str], Awaitable[None]]] = {
    name: getattr(Mixed, name)
    for name in (
        "chain", "fan", "failing", "single", "sleeper", "race", "parent", "far", "asked", "canceled", "undone", "again",
        "anew", "many", "bulky", "told", "versioned",
    )
}  # fmt: skip
