"""Oracle: what must be so at the end of a run, asked of Redis, of the trace and of what was acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from actors import WorkflowCanceled, WorkflowFailed
from kernel import keys
from kernel.store.audit import audit
from tests.chaos.app import COMMITTED, TOTAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Space
    from tests.chaos.crew import Death
    from tests.chaos.load import Order
    from tests.chaos.stage import Stage
    from tests.chaos.trace import Mark

ENDED: Final = frozenset({b"completed", b"failed", b"canceled"})
_GONE: Final = {"status": b"canceled"}
TOXIC: Final = frozenset({"exit", "swell"})
STARTS_OF_TOXIC: Final = 3
LOST_S: Final = {"everysec": 2.0, "always": 0.0, "sentinel": 2.0, "cluster": 2.0}
"""What was acknowledged so shortly before a rollback may be lost: Redis writes its file at least so often, a replica
that took over was not further behind."""
ROLLBACKS: Final = frozenset({"restart", "failover", "primary"})


@dataclass(slots=True)
class Verdict:
    """What the oracle found."""

    faults: list[str] = field(default_factory=list[str])
    """Each a promise that was broken."""
    may_be_lost: list[str] = field(default_factory=list[str])
    """What is missing, or was done again, and may be: acknowledged right before a rollback."""
    counts: Counter[str] = field(default_factory=Counter[str])


class Oracle:
    """Looks at one run whose injections are over."""

    def __init__(self, stage: Stage) -> None:
        """Nothing is looked at yet."""
        self._stage = stage
        self.verdict = Verdict()
        self.records: dict[str, dict[str, bytes]] = {}
        """Of the orders, by id; none of those that are not there."""

    async def judge(self) -> Verdict:
        """Wait for the end of what was acknowledged, and look at everything."""
        space = (await self._stage.app.manager.store()).space
        await self._drain()
        await self._results()
        await self._mutations(space)
        self._actions()
        self._workers()
        await self._audit(space)
        await self._leftovers(space)
        return self.verdict

    def _rolled_back(self, *times_s: float) -> bool:
        """Tell whether what was acknowledged then may have been lost."""
        window_s = LOST_S[self._stage.settings.place]
        spans = [(done.at_s - window_s, done.until_s) for done in self._stage.injected if done.kind in ROLLBACKS]
        return window_s > 0 and any(first <= time <= last for time in times_s for first, last in spans)

    def _missing(self, text: str, *times_s: float) -> None:
        (self.verdict.may_be_lost if self._rolled_back(*times_s) else self.verdict.faults).append(text)

    async def _drain(self) -> None:
        """Wait until every acknowledged instance has ended; tell again what a rollback may have lost."""
        stage = self._stage
        instances = (await stage.app.manager.store()).instances
        waiting: list[Order] = [order for order in stage.load.orders if order.acknowledged_s is not None]
        deadline = asyncio.get_running_loop().time() + stage.settings.drain_s
        while waiting and asyncio.get_running_loop().time() < deadline:
            found = await asyncio.gather(*(instances.record(f"wf/{order.id}") for order in waiting))
            for order, record in zip(waiting, found, strict=True):
                if record:
                    self.records[order.id] = record
            waiting = [order for order in waiting if self.records.get(order.id, _GONE)["status"] not in ENDED]
            for order in waiting:
                if order.told and self._rolled_back(*order.told.values()):
                    await stage.load.tell(order, stage.app.manager.handle(order.id), again=True)
            await asyncio.sleep(0.25)
        for order in waiting:
            steps = await stage.app.manager.handle(order.id).steps()
            last = ", ".join(f"{step.seq} {step.name} {step.state}" for step in steps[-3:])
            status = self.records[order.id]["status"].decode()
            self.verdict.faults.append(f"{order.id} was acknowledged and has not ended: {status}; {last}")

    async def _results(self) -> None:
        count = self.verdict.counts
        for order in self._stage.load.orders:
            if order.acknowledged_s is None:
                count["refused"] += 1
                await self._not_started(order)
                continue
            count["acknowledged"] += 1
            record = self.records.get(order.id)
            if record is None:
                self._missing(f"{order.id} was acknowledged and is not there", order.acknowledged_s)
            elif record["status"] in ENDED:
                count["ended"] += 1
                await self._result(order)

    async def _not_started(self, order: Order) -> None:
        instances = (await self._stage.app.manager.store()).instances
        if await instances.record(f"wf/{order.id}"):
            self.verdict.faults.append(f"{order.id} was refused and is there: {order.refused}")
        if "maxmemory" not in order.refused and "disk" not in order.refused:
            self.verdict.faults.append(f"{order.id} was refused without saying what to do: {order.refused}")

    async def _result(self, order: Order) -> None:
        handle = self._stage.app.manager.handle(order.id)
        try:
            found: object = await handle.result(timeout=10)
        except WorkflowCanceled:
            found = "canceled"
        except WorkflowFailed as error:
            found = f"failed: {error}"
        if order.flow == "once" and isinstance(found, str):
            self.verdict.counts[f"at most once: {found}"] += 1
        if found not in expected(order):
            self.verdict.faults.append(f"{order.id}({order.n}) came to {found!r}, not {expected(order)}")

    async def _mutations(self, space: Space) -> None:
        """Each mutation was committed exactly once, and none lost a race."""
        committed = Counter[str]()
        for tag in space.keys.tags:
            reply = cast("list[bytes]", await space.send(tag, "HGETALL", f"{tag}:app:{COMMITTED}"))
            pairs = {name.decode(): int(times) for name, times in zip(reply[::2], reply[1::2], strict=True)}
            committed.update(pairs)
            total = int(cast("bytes | None", await space.send(tag, "GET", f"{tag}:app:{TOTAL}")) or 0)
            if total != sum(pairs.values()):
                self.verdict.faults.append(f"{tag}: {sum(pairs.values())} mutations, but the total says {total}")
        self.verdict.counts["mutations"] = sum(committed.values())
        for done in self._stage.injected:
            if done.mutations == 0:
                lasted = f"{done.until_s - done.at_s:.1f} s"
                self.verdict.faults.append(f"no mutation was committed in the {lasted} of {done.kind}: they must go on")
        wanted = {
            f"{suffix}": order
            for order in self._stage.load.orders
            if order.id in self.records
            for suffix in labels(order)
        }
        for name in committed:
            if committed[name] != 1:
                self.verdict.faults.append(f"the mutation {name} was committed {committed[name]} times")
        for name in wanted.keys() - committed.keys():
            self.verdict.faults.append(f"the mutation {name} was never committed")

    def _actions(self) -> None:
        """At-most-once actions started once at most; toxic ones as often as it took."""
        starts: dict[tuple[str, str], list[Mark]] = {}
        for mark in self._stage.marks():
            if mark.what == "begun":
                starts.setdefault((mark.step, mark.workflow_id), []).append(mark)
        asked = {order.id: order.asked_s for order in self._stage.load.orders}
        for (step, workflow_id), begun in starts.items():
            times = [mark.at_s for mark in begun]
            if step == "once" and len(times) > 1:
                self._missing(f"{workflow_id}: an action that may run once was started {len(times)} times", *times)
            deaths = self._stage.crew.deaths
            if step in TOXIC and len(times) not in starts_of_toxic(begun, deaths, asked_s=asked[workflow_id]):
                self._missing(f"{workflow_id}: a toxic step was started {len(times)} times", *times)

    def _workers(self) -> None:
        """No worker died by itself, and none has met a mistake of its own code."""
        stage = self._stage
        toxic = {mark.pid for mark in stage.marks() if mark.step in TOXIC}
        away = any(done.kind in ROLLBACKS | {"disk"} for done in stage.injected)
        for death in stage.crew.deaths:
            if (death.cause == "toxic" and death.pid not in toxic) or (death.cause == "no server" and not away):
                self.verdict.faults.append(f"a worker (pid {death.pid}) ended by itself")
        self.verdict.faults += stage.crew.complaints()

    async def _audit(self, space: Space) -> None:
        """Two audits must agree before a finding counts; there is nothing left to do for anybody."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stage.settings.quiet_s
        texts = await audit(space)
        while texts and loop.time() < deadline:
            await asyncio.sleep(1)
            texts = [text for text in await audit(space) if text in texts]
        self.verdict.faults += texts

    async def _leftovers(self, space: Space) -> None:
        """Clean everything up: nothing is left but tombstones that expire and what a namespace always has."""
        manager = self._stage.app.manager
        self.verdict.counts["dead letters"] = sum(
            [cast("int", await space.send(tag, "XLEN", keys.shared(tag, "dead"))) for tag in space.keys.tags]
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stage.settings.quiet_s
        left: list[str] = ["?"]
        while left and loop.time() < deadline:
            await manager.cleanup_many()
            left = await leftovers(space)
            await asyncio.sleep(0.25)
        self.verdict.faults += [f"left over after the cleanup: {key}" for key in left[:20]]


def starts_of_toxic(begun: Sequence[Mark], deaths: Sequence[Death], *, asked_s: float) -> range:
    """Return how often a toxic step may have been started that began as told: once for each death that convicts it.

    One start less for each worker that another toxic step took down before the last start: it may have held this one
    too, which had not begun to run there. The last start is of a step that runs alone. Workers that hold a toxic step
    are not hit by injections.
    """
    pids, last_s = {mark.pid for mark in begun}, max(mark.at_s for mark in begun)
    others = sum(death.cause == "toxic" and death.pid not in pids and asked_s < death.at_s < last_s for death in deaths)
    return range(max(1, STARTS_OF_TOXIC - others), STARTS_OF_TOXIC + 1)


def expected(order: Order) -> set[Any]:
    """Return what an order may come to: its number, or else."""
    n = order.n
    others: dict[str, set[Any]] = {
        "event": {n * (n - 1) // 2},
        "family": {n * (n + 1) // 2},
        "saga": {"undone"},
        "canceled": {"canceled"},
        "once": {"done", "unknown"},
        "exit": {f"WorkerDied {n}"},
        "swell": {f"WorkerDied {n}"},
        "overdo": {f"MemoryError {n}"},
    }
    return others.get(order.flow, {n})


def labels(order: Order) -> list[str]:
    """Return the mutations that must have been committed, as ``<workflow id> <label>``."""
    n, name = order.n, order.id
    each = [f"{name} c{k}" for k in range(n)]
    wanted = {
        "count": each,
        "sleeper": each,
        "flaky": [f"{name} beside"],
        "napper": [f"{name} napped"],
        "event": [f"{name} told"],
        "update": [f"{name} closed {n}"],
        "family": [f"{name}/{k} child" for k in range(n)],
        "saga": [f"{name} {word} {k}" for k in range(n) for word in ("do", "undo")],
        "exit": [f"{name} died"],
        "swell": [f"{name} died"],
    }
    return wanted.get(order.flow, [])


async def leftovers(space: Space) -> list[str]:
    """Return the keys that should not be there when every instance was cleaned up."""
    found: list[str] = []
    for tag in space.keys.tags:
        cursor = b"0"
        while True:
            reply = await space.send(tag, "SCAN", cursor, "MATCH", f"{tag}:*", "COUNT", 500)
            cursor, page = cast("tuple[bytes, list[bytes]]", reply)
            found += [key.decode() for key in page if await _is_left(space, tag, key.decode())]
            if int(cursor) == 0:
                break
    return found


async def _is_left(space: Space, tag: str, key: str) -> bool:
    name = key.removeprefix(f"{tag}:")
    if name in {"meta", "bands", "dead", "names"} or name.startswith("app:"):
        return False
    if name in {"ready", "outbox"} or name.startswith("q:"):
        return await space.send(key, "XLEN", key) != 0
    ttl = await space.send(key, "PTTL", key)
    return not (isinstance(ttl, int) and (ttl > 0 or ttl == -2))
