"""Examination: one look over a whole namespace, a slice at a time, beside workers that go on working.

What is read on a page may be of several moments, so whatever looks wrong there is looked at again, whole and between
two equal readings, twice. So a busy namespace is reported as it is, and an instance that changes all the time is well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from actors.doctor.finding import PURGED, Finding, Report
from actors.doctor.places import Places
from actors.doctor.server import facts, judge
from actors.doctor.stuck import Workforce, reasons
from actors.doctor.treatment import Treatment
from actors.doctor.verdicts import foreign, leftover, misplaced, of_violation, stopped, unreadable, wrong_type
from kernel import (
    DAMAGED,
    PARTS,
    ActorDamaged,
    ServerRefused,
    actor_violations,
    check_record,
    is_damage,
    keys,
    posted_violations,
    read_slice,
    read_steady,
    read_vitals,
    rounds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel import Slice, Store

BATCH: Final = 20
"""Instances that are read at once."""
CONFIRM_S: Final = 0.02
"""Between the two looks at what seemed wrong."""
WORKERS_CONFIRM: Final = 0.2
"""The same of what depends on which workers live, a part of their timeout."""
OUTBOX_MAX: Final = 100_000
"""A longer outbox is not compared with what the instances count."""
SUSPECTS_MAX: Final = 1_000
KINDS: Final = frozenset({"wf", "retrier"})
"""Kinds of actors; other keys are somebody else's."""
_TYPES: Final = {"dead": b"stream", "bands": b"set", "pools": b"set", "names": b"set", "meta": b"hash"}
_POOLS: Final = {"pool": b"hash", "pool.held": b"zset", "pool.waiting": b"zset"}
"""Kinds of the keys of pools."""
_STREAMS: Final = frozenset({"ready", "outbox"})
_OF_WORKERS: Final = frozenset({"abandoned", "unknown_code", "unknown_step", "unserved_queue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoroughness:
    """How an examination is done."""

    repair: bool = False
    """Mend what can be mended safely."""
    stuck_after_s: float = 300.0
    """What has waited for longer is reported."""
    orphans_older_than_s: float = 86_400.0
    """Keys without record that were used since are not deleted."""
    leftover_after_s: float = 60.0
    """A consumer that is no living worker's and was idle for longer is a leftover."""
    pause_s: float = 0.002
    """Between two slices."""
    worker_timeout_s: float = 5.0
    """A worker whose heartbeat does not change for so long is silent."""


class Examination:
    """One look over a namespace."""

    def __init__(self, store: Store, thoroughness: Thoroughness) -> None:
        """``store`` is open and stays the caller's to close."""
        self._store = store
        self._how = thoroughness
        self._report = Report()
        self._treatment = Treatment(store, repair=thoroughness.repair, purge_after_s=thoroughness.orphans_older_than_s)
        self._places = Places(store, self._treatment, pause_s=CONFIRM_S, leftover_after_s=thoroughness.leftover_after_s)
        self._tags = frozenset(store.space.keys.tags)
        self._workforce = Workforce({})
        self._silent: frozenset[str] = frozenset()
        self._seen: set[tuple[str, str, str]] = set()
        self._undelivered: dict[str, int] = {}

    async def run(self) -> Report:
        """Look at everything.

        Raises:
            ServerUnreachable, ServerRefused: the server does not answer, or forbids what a look needs.
        """
        for vitals in await read_vitals(self._store.space):
            self._report.facts |= facts(vitals)
            self._note(judge(vitals))
        await self._look_at_workers()
        async for page in rounds.key_pages(self._store.space):
            await self._look_at_keys(page)
            await asyncio.sleep(self._how.pause_s)
        await self._compare_messages()
        now_ms = self._store.space.now_ms()
        self._note(await self._places.waiting(now_ms=now_ms, after_ms=self._after_ms))
        self._note(await self._places.gateway(self._workforce.about.keys()))
        self._note(self._places.unused())
        self._note(await self._places.dead())
        return self._report

    @property
    def _after_ms(self) -> int:
        return round(self._how.stuck_after_s * 1000)

    def _note(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            key = (finding.code, finding.subject, finding.text)
            if key not in self._seen:
                self._seen.add(key)
                self._report.add(finding)

    # ----------------------------------------------------------------------------------------------- workers

    async def _look_at_workers(self) -> None:
        custody, loop = self._store.custody, asyncio.get_running_loop()
        first = dict(await custody.living())
        until, silent = loop.time() + self._how.worker_timeout_s, frozenset(first)
        while silent and loop.time() < until:
            await asyncio.sleep(self._how.worker_timeout_s / 20)
            now = dict(await custody.living())
            silent = frozenset(worker for worker in silent if now.get(worker) == first[worker])
        self._silent = silent
        await self._learn_workforce()
        self._report.facts["workers"] = str(len(self._workforce.about))
        self._note(
            Finding(
                kind="worker",
                code="silent_worker",
                subject=worker,
                text=f"has not beaten for {self._how.worker_timeout_s:g} s",
                advice="workers that live take over what it held; if none does, start one",
            )
            for worker in sorted(silent)
        )

    async def _learn_workforce(self) -> None:
        custody = self._store.custody
        living, about = await asyncio.gather(custody.living(), custody.about())
        beating = (beat.worker for beat in living if beat.worker not in self._silent)
        self._workforce = Workforce({worker: about.get(worker, "{}") for worker in beating})

    # ------------------------------------------------------------------------------------------------ actors

    async def _look_at_keys(self, page: list[str]) -> None:
        addresses: set[str] = set()
        parts: dict[str, set[str]] = {}
        for key in page:
            tag, name = _split(key)
            first, _, rest = name.partition(":")
            if name in rounds.SETS or name in _STREAMS or first in {"q", "index"}:
                if tag in self._tags:
                    await self._look_at_place(key, tag, name)
            elif tag in self._tags and await self._is_foreign(key, tag, name):
                self._note([foreign(key)])
            elif address := self._owner(key, tag, name, kind=first, actor_id=rest):
                (parts.setdefault(tag, set()) if "." in first else addresses).add(address)
        # Whoever has a record is looked at when that comes.
        for found in parts.values():
            addresses.update(await rounds.without_record(self._store.space, sorted(found)))
        remaining = sorted(addresses)
        for at in range(0, len(remaining), BATCH):
            await asyncio.gather(*(self._look_at(address) for address in remaining[at : at + BATCH]))
            await asyncio.sleep(self._how.pause_s)

    def _owner(self, key: str, tag: str, name: str, *, kind: str, actor_id: str) -> str | None:
        """Return the address of the actor whose key this is; None: it is none's, which is noted if it should be."""
        if tag not in self._tags:
            # The workers' list is outside of partitions; a number is a partition that there is not.
            if tag.rpartition(":")[2].removesuffix("}").isdecimal():
                self._note([misplaced(key)])
            return None
        if name in rounds.SHARED or kind == "app":
            return None
        if kind in _POOLS:
            if not keys.valid_queue(actor_id):
                self._note([foreign(key)])
            elif self._store.space.keys.tag_of(keys.pool_address(actor_id)) != tag:
                self._note([misplaced(key)])
            return None
        address = _address(kind, actor_id)
        if address is None:
            self._note([foreign(key)])
        elif self._store.space.keys.tag_of(address) != tag:
            self._note([misplaced(key)])
            return None
        return address

    async def _look_at_place(self, key: str, tag: str, name: str) -> None:
        is_stream = name in _STREAMS or name.startswith("q:")
        try:
            self._note(await self._places.look(tag, name))
            if is_stream:
                self._note(await self._places.groups(key, name, workforce=self._workforce))
        except ServerRefused as error:
            if "WRONGTYPE" not in error.error:
                raise
            # Or it is a key of an actor that is named there, which is told when that comes.
            if await self._store.space.send(tag, "TYPE", key) != (b"stream" if is_stream else b"zset"):
                self._note([foreign(key)])

    async def _is_foreign(self, key: str, tag: str, name: str) -> bool:
        """Tell whether what a partition's other shared key holds is of another type than ours."""
        wanted = _TYPES.get(name) or _POOLS.get(name.partition(":")[0])
        return wanted is not None and await self._store.space.send(tag, "TYPE", key) != wanted

    async def _look_at(self, address: str) -> None:
        try:
            found = await read_slice(self._store.space, address)
            findings = await self._judged(found)
            if "generation" in found.actor.record:
                self._report.instances += 1
                if found.actor.record.get("undelivered", "0") != "0" and len(self._undelivered) < OUTBOX_MAX:
                    self._undelivered[address] = 0
            if findings:
                confirmed = await self._confirmed(address, findings)
                self._note(await self._treated(address, confirmed))
        except ServerRefused as error:
            treated = await self._treated(address, await self._refused(address, error))
            self._note(treated)
            if any(one.repaired for one in treated):  # then what else is wrong with it can be seen
                self._note(await self._treated(address, await self._look_once(address)))
        except ValueError as error:
            self._note([unreadable(address, error)])

    async def _treated(self, address: str, findings: list[Finding]) -> list[Finding]:
        try:
            return await self._treatment.actor(address, findings, look=self._look_once)
        except ServerRefused as error:
            return await self._refused(address, error)

    async def _refused(self, address: str, error: ServerRefused) -> list[Finding]:
        """Return what is wrong with an actor of which something cannot be read or mended, as the server says."""
        if not is_damage(error):
            raise error
        if "WRONGTYPE" not in error.error:
            return [unreadable(address, error)]
        space, tag = self._store.space, self._store.space.keys.tag_of(address)
        names = {part: keys.actor(tag, address, part) for part in ("", *PARTS)}
        types = {part: bytes(cast("bytes", await space.send(tag, "TYPE", key))) for part, key in names.items()}
        types = {part: found for part, found in types.items() if found != b"none"}
        if list(types) == [""]:
            return [foreign(names[""])]  # of an actor a journal is there, too
        if "" not in types:
            return [leftover(address, types)]
        wrong = [
            wrong_type(address, names[part], part, found=found.decode())
            for part, found in types.items()
            if found != (b"stream" if part == "events" else b"hash")
        ]  # none: it was a place that it names, which is told as well
        try:
            if types[""] == b"hash":
                check_record(address, await self._store.instances.record(address))
        except ActorDamaged as damaged:
            return [unreadable(address, damaged), *wrong]
        return wrong

    async def _confirmed(self, address: str, findings: list[Finding]) -> list[Finding]:
        """Return what two further looks agree on."""
        for _ in range(2):
            if any(finding.code in _OF_WORKERS for finding in findings):
                await asyncio.sleep(WORKERS_CONFIRM * self._how.worker_timeout_s)
                await self._learn_workforce()
            else:
                await asyncio.sleep(CONFIRM_S)
            again = {(one.code, one.text) for one in await self._look_once(address)}
            findings = [one for one in findings if (one.code, one.text) in again]
            if not findings:
                break
        return findings

    async def _look_once(self, address: str) -> list[Finding]:
        try:
            found = await read_steady(self._store.space, address)
        except ServerRefused as error:
            return await self._refused(address, error)
        except ValueError as error:
            return [unreadable(address, error)]
        return [] if found is None else await self._judged(found)

    async def damage(self, address: str) -> list[Finding]:
        """Return what is wrong with what is stored of one actor; with ``repair``, what is left once it is mended."""
        findings = await self._treated(address, await self._look_once(address))
        return [one for one in findings if one.kind == "invariant" and not one.repaired]

    async def _judged(self, found: Slice) -> list[Finding]:
        try:
            findings = list(self._findings(found))
        except (KeyError, ValueError, IndexError, TypeError, ActorDamaged) as error:
            return [unreadable(found.actor.address, error)]
        if found.actor.record.get("status") == "stopped":
            damaged = any(finding.code in DAMAGED for finding in findings)
            findings.append(await stopped(self._store, found.actor.address, damaged=damaged))
        return findings

    def _findings(self, found: Slice) -> Iterator[Finding]:
        actor = found.actor
        if not actor.parts:
            return
        if {"status", "generation"} & set(actor.record) and actor.record.get("status") != "gone":
            check_record(actor.address, actor.record)
        violations = list(actor_violations(found.found, actor))
        # What it waits for is asked for again, or is told to be lost: then it has something pending.
        explained = any(violation.code in {"lost_open", "lost_outcome"} for violation in violations)
        for violation in violations:
            if explained and violation.code == "nothing_pending":
                continue
            yield of_violation(actor.address, violation, orphan=violation.code in PURGED)
        yield from reasons(found, self._workforce, now_ms=self._store.space.now_ms(), after_ms=self._after_ms)

    # ---------------------------------------------------------------------------------------------- messages

    async def _compare_messages(self) -> None:
        """Compare what the instances count with what is in the outboxes; what is counted meanwhile is left alone."""
        space = self._store.space
        for tag in space.keys.tags:
            posted = await self._posted(tag)
            if posted is None:
                continue
            mine = {address for address in self._undelivered if space.keys.tag_of(address) == tag} | set(posted)
            suspects = await self._miscounted(mine, posted)
            for _ in range(2):
                if not suspects:
                    break
                await asyncio.sleep(CONFIRM_S)
                before = await self._undelivered_of(suspects)
                posted = await self._posted(tag) or Counter[str]()
                steady = {one for one, said in (await self._undelivered_of(suspects)).items() if said == before[one]}
                suspects = {
                    one: text for one, text in (await self._miscounted(steady, posted)).items() if one in steady
                }
            for address, finding in suspects.items():
                self._note(await self._treatment.actor(address, [finding], look=None))

    async def _posted(self, tag: str) -> Counter[str] | None:
        space, key = self._store.space, keys.shared(tag, "outbox")
        try:
            length = await space.send(tag, "XLEN", key)
        except ServerRefused as error:
            if not is_damage(error):
                raise
            return None  # of another type, which is said where places are looked at
        if not isinstance(length, int) or length > OUTBOX_MAX:
            return None
        posted = Counter[str]()
        async for page in rounds.stream_pages(space, tag, key):
            posted.update(fields.get("from", "") for _, fields in page)
        return posted

    async def _undelivered_of(self, addresses: Iterable[str]) -> dict[str, str]:
        instances = self._store.instances
        chosen = list(addresses)
        values = await asyncio.gather(*(instances.field(one, "", "undelivered") for one in chosen))
        return {one: (value or b"0").decode() for one, value in zip(chosen, values, strict=True)}

    async def _miscounted(self, addresses: Iterable[str], posted: Counter[str]) -> dict[str, Finding]:
        found: dict[str, Finding] = {}
        for address in sorted(addresses):
            if len(found) == SUSPECTS_MAX:
                break
            try:
                record = await self._store.instances.record(address)
            except ServerRefused as error:
                if not is_damage(error):
                    raise
                continue
            said = {name: value.decode(errors="replace") for name, value in record.items()}
            for violation in posted_violations(said, posted[address]):
                found[address] = of_violation(address, violation)
        return found


def _split(key: str) -> tuple[str, str]:
    """Return a key's tag, and its name without it."""
    tag, brace, rest = key.partition("}")
    return tag + brace, rest.removeprefix(":")


def _address(first: str, actor_id: str) -> str | None:
    """Return the address of the actor whose key this is; None: it is no actor's."""
    kind, _, part = first.partition(".")
    if kind not in KINDS or part not in {"", *PARTS} or not keys.valid_id(actor_id):
        return None
    return f"{kind}/{actor_id}"
