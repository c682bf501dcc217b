"""The random walk: fake workers, timekeeper, couriers, reaper and people, over the real scripts, ordered by a seed.

Each worker does one thing after another: it reads a ready entry and takes the actor forward, reads a queue and begins,
runs what it holds, audits itself, or goes wrong: dies, or is declared dead while it goes on as a zombie.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Final

from kernel.event import Event, event_number
from kernel.refusals import Gone, NotFound, Refused
from kernel.store import Store
from kernel.store.journal import read_command
from kernel.store.outbox import Message, read_message
from kernel.store.reader import Entry
from kernel.store.replies import listed
from kernel.store.restarting import NoSuchCommand
from kernel.store.steps import Appended, Begun, Held, read_queued
from kernel.store.turns import LIVE, NOT_EAGER, Eager
from tests.store.gate import Gate
from tests.store.permits import tell_of_permit
from tests.store.toy import POOL, Toy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from kernel.decision import Command
    from tests.store.checked import CheckedSpace

READY: Final = "ready"
QUEUE: Final = "q:default"
BAND: Final = "q:default!3"
OUTBOX: Final = "outbox"
GROUPS: Final = {READY: "dispatchers", QUEUE: "workers", BAND: "workers", OUTBOX: "couriers"}
HEIR: Final = "heir"
"""The worker that takes over; it outlives all."""
CONVICT_AT: Final = 50
"""Crashes that convict: so many that they never do here."""


class Worker:
    """One incarnation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hand: dict[Held, Begun] = {}
        self.cache: dict[str, tuple[str, Toy, int, int]] = {}
        """address -> generation, replica, commands and cancels committed."""
        self.task: asyncio.Task[None] | None = None
        self.fenced = False
        self.dead = False


class Walk:
    """One walk. ``faults``: how many of each kind may still happen."""

    def __init__(self, space: CheckedSpace, seed: int, faults: dict[str, int]) -> None:
        self.rng = random.Random(seed)
        self.faults = dict(faults)
        self.gate = Gate(self.rng, losses=faults.get("lost", 0))
        self.call: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]] = self.gate.call
        """How messages are delivered."""
        self.space = space
        self.store = Store(space)
        self.tag = space.keys.tags[0]
        self.workers: list[Worker] = []
        self.now = 1_000_000
        self._names = 0
        self._roots: list[str] = []
        self._detached: set[str] = set()
        self.steps = 0
        self.log: list[str] = []

    # ------------------------------------------------------------------------------------------------ the world

    async def prepare(self, addresses: dict[str, bytes]) -> None:
        """Make groups, actors and workers."""
        for stream, group in GROUPS.items():
            await self.space.send(self.tag, "XGROUP", "CREATE", f"{self.tag}:{stream}", group, "0", "MKSTREAM")
        for address, arguments in addresses.items():
            fields = {"tags": f"of|{address}\nteam|a", "on_complete": "call"}
            await self.store.instances.create(address, name="toy", arguments=arguments, fields=fields)
        self._roots = list(addresses)
        await self.store.pools.declare(POOL, 1)
        for _ in range(3):
            self._hire()
        for work in (self._timekeeper(), self._reaper(), self._people(list(addresses))):
            _ = self.gate.spawn(work)

    async def run(self, steps_max: int) -> None:
        """Walk until every actor has ended and nothing is left to do."""
        try:
            while not await self._over():
                for _ in range(25):
                    await self.gate.step()
                    self.steps += 1
                    self.now += self.rng.randrange(30)
                assert self.steps < steps_max, "STUCK:\n" + "\n".join([*self.log[-30:], await self._picture()])
        finally:
            await self.gate.close()

    async def tidy(self) -> None:
        """Clean up what was started from outside: of all that belongs to it a tombstone is left, nothing else (I5)."""
        self.call = _once
        for address in [*self._roots, *sorted(self._detached)]:
            await self.store.instances.cleanup(address)
            for _ in range(5):
                reply = listed(await self.space.send(self.tag, "XRANGE", f"{self.tag}:{OUTBOX}", "-", "+"))
                for entry, fields in reply:
                    message = read_message(Entry(f"{self.tag}:{OUTBOX}", entry, fields))
                    with contextlib.suppress(Refused):
                        await self._deliver(message)
                    await self.store.outbox.sent(message)
                await self.store.timers.promote(self.tag, timeout_payload=b"late")
                for due in await self.store.instances.expired(self.tag, now_ms=self.now):
                    await self.store.instances.cleanup(due, only_if_due=True)
            if address == self._roots[-1]:
                left = {address for address, status in (await self._statuses()).items() if status != "gone"}
                assert left <= self._detached, f"I5: left behind: {left - self._detached}"
        assert set((await self._statuses()).values()) == {"gone"}
        assert (await self.store.pools.status(POOL))[1:] == (0, 0)

    async def _over(self) -> bool:
        if self.steps < 400 and any(self.faults[kind] for kind in ("cancel", "restart", "event")):
            return False
        self.faults = dict.fromkeys(self.faults, 0)
        found = await self._statuses()
        entries = await self.space.send(self.tag, "XLEN", f"{self.tag}:{OUTBOX}")
        return not set(found.values()) & LIVE and entries == 0

    async def _statuses(self) -> dict[str, str]:
        keys = listed(await self.space.send(self.tag, "KEYS", f"{self.tag}:wf:*"))
        found: dict[str, str] = {}
        for key in keys:
            status = await self.space.send(self.tag, "HGET", key.decode(), "status")
            assert isinstance(status, bytes)
            found["wf/" + key.decode().partition(":wf:")[2]] = status.decode()
        return found

    async def _picture(self) -> str:
        lines: list[str] = []
        for address in await self._statuses():
            record = await self.store.instances.record(address)
            table = await self.store.instances.read(address, "open")
            lines.append(f"{address} {record} open={table}")
        return "\n".join(lines)

    def _hire(self) -> None:
        self._names += 1
        worker = Worker(f"w{self._names}")
        self.workers.append(worker)
        worker.task = self.gate.spawn(self._work(worker))

    def _fault(self, kind: str, chance: float) -> bool:
        if self.faults.get(kind, 0) and self.rng.random() < chance:
            self.faults[kind] -= 1
            self.log.append(kind)
            return True
        return False

    def _nonce(self) -> int:
        return self.rng.getrandbits(62)

    # ---------------------------------------------------------------------------------------------- one worker

    async def _work(self, me: Worker) -> None:
        while not me.dead:
            kinds = [self._ready, self._queue, self._run, self._run, self._courier, self._audit, self._go_wrong]
            await self.rng.choice(kinds)(me)

    async def _read(self, me: Worker, stream: str, last: str) -> list[Entry]:
        words = ("XREADGROUP", "GROUP", GROUPS[stream], me.name, "COUNT", 1, "STREAMS", f"{self.tag}:{stream}", last)

        async def make() -> object:
            return await self.space.send(self.tag, *words)

        reply = await self.gate.read(make, None)
        streams = listed(reply or [])
        return [Entry(name.decode(), entry[0], entry[1] or []) for name, entries in streams for entry in entries]

    async def _acknowledge_if_deleted(self, entry: Entry, stream: str) -> bool:
        if entry.fields:
            return False
        await self.space.send(self.tag, "XACK", entry.stream, GROUPS[stream], entry.id)
        return True

    async def _ready(self, me: Worker, last: str = ">") -> None:
        for entry in await self._read(me, READY, last):
            if not await self._acknowledge_if_deleted(entry, READY):
                await self._turns(me, entry.fields[1].decode(), entry.id.decode())

    async def _queue(self, me: Worker, last: str = ">") -> None:
        stream = self.rng.choice([QUEUE, BAND])
        for entry in await self._read(me, stream, last):
            if await self._acknowledge_if_deleted(entry, stream):
                continue
            queued = read_queued(self.tag, stream.removeprefix("q:"), entry.id, entry.fields)
            if self.rng.random() < 0.1:
                await self.gate.call(lambda q=queued: self.store.steps.decline(q, delay_ms=200))  # type: ignore[misc]
                continue
            token = str(self._nonce())
            try:
                begun = await self.gate.call(
                    lambda q=queued, t=token: self.store.steps.begin(q, worker=me.name, token=t)  # type: ignore[misc]
                )
            except Refused:
                continue
            self._take(me, begun)

    def _take(self, me: Worker, begun: Begun) -> None:
        held = begun.held
        for other in self.workers:
            twice = other is not me and not other.fenced and not other.dead and not me.fenced
            running = any(h[:4] == held[:4] for h in other.hand)
            assert not (twice and running), f"a live step runs twice: {held} at {other.name}"
        me.hand[held] = begun

    # ----------------------------------------------------------------------------------------------- its turns

    async def _turns(self, me: Worker, address: str, entry: str) -> None:
        for _ in range(20):
            try:
                if not await self._turn(me, address, entry):
                    return
            except (NotFound, Gone):
                await self.gate.call(lambda: self.store.turns.settle(address, entry))
                return
            except Refused:
                me.cache.pop(address, None)

    async def _turn(self, me: Worker, address: str, entry: str) -> bool:
        """Take one turn; False: nothing is left to do for this entry."""
        turns = self.store.turns
        generation, toy, committed, closed = me.cache.get(address, ("", Toy(address), 0, 0))
        fed = toy.fed
        fetched = await self.gate.call(lambda: turns.fetch(address, generation=generation, fed=fed))
        record = fetched.record
        if record.status not in {"running", "canceling"}:
            return await self.gate.call(lambda: turns.settle(address, entry))
        if self._fault("postpone", 0.3):
            await self.gate.call(lambda: turns.postpone(address, entry, delay_ms=100))
            return False
        eager, token = self._eager(me), str(self._nonce())
        if record.emitted < record.commands:
            turned = await self.gate.call(
                lambda: turns.emit(address, generation=record.generation, token=token, eager=eager)
            )
            await self._granted(me, address, record.generation, turned.granted, token)
            return turned.more
        if fetched.events is None or record.generation != generation:
            history = await turns.history(address, record)
            toy, committed, closed = self._replay(
                address, history.events, history.commands, event_number(record.consumed)
            )
            news = [event for event in history.events if event.number > event_number(record.consumed)]
        else:
            # Others may have taken it further since: what they committed it asks for as well, while it is fed.
            news, committed = [event for event in fetched.events if event.number > event_number(fed)], record.commands
        for event in news:
            toy.feed(event)
        if toy.fed == record.consumed:
            return await self.gate.call(lambda: turns.settle(address, entry))
        canceled = toy.canceled[closed:]
        commands = toy.fields(committed + 1, token, canceled)
        base = record.consumed
        turned = await self.gate.call(
            lambda: turns.commit(
                address, generation=record.generation, base=base, reached=toy.fed, token=token, commands=commands,
                canceled=canceled, end=toy.end, park=self.rng.random() < 0.5, eager=eager,
                number_of_first=committed + 1, untaken=toy.untaken,
            )
        )  # fmt: skip
        me.cache[address] = (record.generation, toy, len(toy.commands), len(toy.canceled))
        if toy.end is not None:
            del me.cache[address]
        await self._granted(me, address, record.generation, turned.granted, token)
        return turned.more

    def _replay(
        self, address: str, events: list[Event], recorded: list[Command], consumed: int
    ) -> tuple[Toy, int, int]:
        toy = Toy(address)
        for event in events:
            if event.number <= consumed:
                toy.feed(event)
        asked = [(c.kind, c.target, c.arguments) for c in toy.commands]
        assert asked == [(c.kind, c.target, c.arguments) for c in recorded], f"I4: {address} {asked} {recorded}"
        assert toy.end is None, "I4: the journal goes on after the end"
        return toy, len(toy.commands), len(toy.canceled)

    def _eager(self, me: Worker) -> Eager:
        queues = self.rng.choice([",default,", "!,default,default!3,"])
        return Eager(me.name, self.rng.randrange(3), queues, 10**15) if self.rng.random() < 0.7 else NOT_EAGER

    async def _granted(self, me: Worker, address: str, generation: str, granted: tuple[int, ...], token: str) -> None:
        for seq in granted:
            held = Held(address, generation, seq, 1, me.name, token)
            field = (await self.store.instances.read(address, "journal")).get(f"c{seq}")
            if field is not None:
                self._take(me, Begun(held, read_command(field), 0, 0, b""))

    # ------------------------------------------------------------------------------------------- running steps

    async def _run(self, me: Worker) -> None:
        if not me.hand:
            return
        held = self.rng.choice(list(me.hand))
        nonce, status = self._nonce(), self.rng.choice(["ok", "ok", "failed"])
        steps = self.store.steps
        try:
            if self.rng.random() < 0.1:
                await self.gate.call(lambda: steps.beat(held, b"alive"))
                return
            if self.rng.random() < 0.1:
                await self.gate.call(lambda: steps.retry(held, error=b"oops", delay_ms=self.rng.choice([0, 300])))
            elif self.rng.random() < 0.05:
                await self.gate.call(lambda: steps.release(held, nonce=nonce, delay_ms=0, unknown=b"unknown"))
            elif held.address in me.cache and me.cache[held.address][0] == held.generation:
                await self._advance(me, held, nonce, status)
            else:
                await self.gate.call(
                    lambda: steps.complete(held, nonce=nonce, at_ms=self.now, status=status, payload=b"done")
                )
        except Refused:
            pass
        me.hand.pop(held, None)

    async def _advance(self, me: Worker, held: Held, nonce: int, status: str) -> None:
        generation, toy, committed, closed = me.cache.pop(held.address)
        base, token, eager, at = toy.fed, str(self._nonce()), self._eager(me), self.now
        toy.feed(Event(f"{event_number(base) + 1}-{nonce}", "outcome", at, held.seq, status, "", b"done"))
        canceled = toy.canceled[closed:]
        commands, park = toy.fields(committed + 1, token, canceled), self.rng.random() < 0.5
        reply = await self.gate.call(
            lambda: self.store.steps.advance(
                held, nonce=nonce, at_ms=at, status=status, payload=b"done", base=base, token=token,
                commands=commands, canceled=canceled, end=toy.end, park=park, eager=eager, untaken=toy.untaken,
            )
        )  # fmt: skip
        if isinstance(reply, Appended):
            return
        if toy.end is None:
            me.cache[held.address] = (generation, toy, len(toy.commands), len(toy.canceled))
        await self._granted(me, held.address, generation, reply.turned.granted, token)

    # --------------------------------------------------------------------------------- audits, faults, take-over

    async def _audit(self, me: Worker) -> None:
        await self._ready(me, "0")
        await self._queue(me, "0")
        await self._courier(me, "0")
        for held in await self.store.steps.held_by(me.name):
            if held not in me.hand:
                try:
                    begun = await self.gate.call(lambda h=held: self.store.steps.adopt(h))  # type: ignore[misc]
                except Refused:
                    continue
                self._take(me, begun)
        listed = set(await self.store.steps.held_by(me.name))
        for held in [held for held in me.hand if held not in listed]:
            del me.hand[held]

    async def _go_wrong(self, me: Worker) -> None:
        if me.name == HEIR:
            return
        if self._fault("crash", 0.1):
            me.dead = True
            self._hire()
        elif self._fault("zombie", 0.1):
            me.fenced = True
            self._hire()
        elif me.fenced and self.rng.random() < 0.2:
            me.dead = True

    async def _reaper(self) -> None:
        """Take over, again and again, from whoever is not among the living: a zombie takes things after its time."""
        heir = Worker(HEIR)
        self.workers.append(heir)
        heir.task = self.gate.spawn(self._work(heir))
        while True:
            lost = [worker for worker in self.workers if worker.fenced or worker.dead]
            await self.gate.call(lambda: self.space.send(self.tag, "PING"))
            if lost:
                await self._take_over(self.rng.choice(lost), heir)

    async def _take_over(self, dead: Worker, heir: Worker) -> None:
        dead.fenced = True
        custody = self.store.custody
        await self.gate.call(
            lambda: custody.take_all(dead.name, convict_at=CONVICT_AT, unknown=b"unknown", died=b"died")
        )
        for stream, group in GROUPS.items():
            key = f"{self.tag}:{stream}"
            await self.gate.call(lambda k=key, g=group: custody.claim(k, g, dead=dead.name, me=heir.name))  # type: ignore[misc]
            await self.gate.call(lambda k=key, g=group: custody.forget(k, g, dead.name))  # type: ignore[misc]

    # ------------------------------------------------------------------------------- courier, time and people

    async def _courier(self, me: Worker, last: str = ">") -> None:
        for entry in await self._read(me, OUTBOX, last):
            if await self._acknowledge_if_deleted(entry, OUTBOX):
                continue
            message = await self.store.outbox.carried(read_message(entry))
            with contextlib.suppress(Refused):
                await self._deliver(message)
            await self.gate.call(lambda m=message: self.store.outbox.sent(m))  # type: ignore[misc]

    async def _deliver(self, message: Message) -> None:
        instances = self.store.instances
        name = f"{message.sender}|{message.seq}|{message.token}"
        child = f"{message.sender}.{message.seq}.{message.token}"
        ending = f"{message.sender}.end.{message.receiver_generation}"
        nonce = self._nonce()
        match message.what:
            case "create":
                parent = f"{message.sender}|{message.generation}|{message.seq}|{message.token}"
                field = message.payload or await instances.field(message.sender, "journal", f"c{message.seq}")
                if not field or field.split(b"|", 3)[2] != message.token.encode():
                    return
                if read_command(field).detached:
                    self._detached.add(child)
                await self.call(
                    lambda: instances.create(
                        child, name="toy", arguments=b"child", message=name, nonce=nonce, fields={"parent": parent}
                    )
                )
            case "on_complete":
                await self.call(
                    lambda: instances.create(ending, name="toy", arguments=b"child", message=ending, nonce=nonce)
                )
            case "cancel":
                await self.call(lambda: instances.cancel(child, payload=b"", tombstone_for=name))
            case "cleanup" if message.seq:
                await self.call(lambda: instances.cleanup(child, message=name, when_ended=True))
            case "cleanup":
                await self.call(lambda: instances.cleanup(ending, when_ended=True))
            case "acquire" | "grant" | "free":
                await tell_of_permit(self.store.pools, message, self.call)
            case _:
                held = Held(message.to, message.receiver_generation, int(message.seq), 1, "", message.token)
                await self.call(
                    lambda: self.store.steps.complete(
                        held, nonce=nonce, at_ms=self.now, status="ok", payload=message.payload
                    )
                )

    async def _timekeeper(self) -> None:
        while True:
            promoted = await self.gate.call(lambda: self.store.timers.promote(self.tag, timeout_payload=b"late"))
            for late in promoted.timed_out:
                nonce = self._nonce()
                try:
                    await self.gate.call(
                        lambda h=late.held, n=nonce: self.store.steps.complete(  # type: ignore[misc]
                            h, nonce=n, at_ms=self.now, status="failed", payload=b"late"
                        )
                    )
                except Refused:
                    continue

    async def _people(self, addresses: list[str]) -> None:
        while True:
            address = self.rng.choice(addresses)
            try:
                await self._person(address)
            except Refused:
                continue

    async def _person(self, address: str) -> None:
        instances, nonce = self.store.instances, self._nonce()
        kind, name = self.rng.choice([("event", "go"), ("event_failed", "else"), ("update", "ask"), ("update", "else")])
        if self._fault("event", 0.05):
            await self.gate.call(lambda: instances.append(address, kind=kind, name=name, payload=b"", nonce=nonce))
        elif self._fault("cancel", 0.02):
            await self.gate.call(lambda: instances.cancel(address, payload=b""))
        elif self._fault("clean", 0.02):
            await self.gate.call(
                lambda: instances.append(address, kind="cancel_requested", name="", payload=b"", nonce=nonce)
            )
        elif self.faults.get("restart") and self.rng.random() < 0.2:
            first = self.rng.choice([None, 1, 2, 5])
            try:
                await self.gate.call(lambda: self.store.turns.restart(address, from_seq=first, nonce=nonce))
            except NoSuchCommand:
                return
            self.faults["restart"] -= 1
            self.log.append(f"restart {address} from {first}")
        else:
            await self.gate.call(lambda: self.space.send(self.tag, "PING"))


async def _once(make: Callable[[], Awaitable[object]]) -> object:
    """Call at once, outside of the walk."""
    return await make()
