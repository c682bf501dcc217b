"""Turner: takes actors forward: fetch, feed, decide, commit. Not a loop of its own; dispatcher and runner call it.

A turn starts from what this worker's replica has been fed, never from a freshly read `consumed`; it feeds only what
follows without a gap. Whether somebody else was quicker the commit decides, and then nothing was changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from actors.errors import Failure, NondeterminismError, UnknownDefinition
from actors.servers.aside import PYTHON, Aside
from actors.servers.plan import Plan, make_plan
from actors.servers.refusals import QUICK_MS
from actors.servers.replicas import Replicas
from actors.workflow import TurnTooLong
from kernel import (
    CHUNK,
    NOT_EAGER,
    ZERO,
    ActorDamaged,
    Appended,
    Begun,
    Eager,
    Ended,
    Event,
    Gone,
    Held,
    KernelError,
    NotFound,
    PayloadUnusable,
    Record,
    Refused,
    StageLost,
    StaleGeneration,
    StaleTurn,
    Turned,
    draw_nonce,
    event_number,
    is_damage,
    keys,
)

if TYPE_CHECKING:
    from actors.servers.cache import Replica
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

TURNING: Final = frozenset({"running", "canceling"})
STALE_MAX: Final = 5
"""Turns in a row that are refused as outdated though nobody has taken the actor on."""


class Standstill:
    """Counts turns in a row that were refused though nobody has taken the actor on."""

    def __init__(self) -> None:
        """Begin to count."""
        self._facts: tuple[str, ...] = ()
        self._times = 0

    def goes_on(self, stale: Refused) -> bool:
        """Count a refusal; True: they are too many. Of an actor that was taken on, its facts are others."""
        self._times = self._times + 1 if stale.facts == self._facts else 1
        self._facts = stale.facts
        return self._times >= STALE_MAX


class Turner:
    """Turns of this worker. At most one a time for each address."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host
        self._again: dict[str, str] = {}
        self._aside = Aside(host)
        self._replicas = Replicas(host, self._aside.workflow)

    # ------------------------------------------------------------------------------------ woken by a ready entry

    async def take(self, address: str, entry: str) -> None:
        """Take an actor forward until nothing is left to do for it; the ready entry is then settled."""
        hands = self._host.hands
        if address in self._host.left:
            return  # the audit brings the entry again
        if address in hands.turning:
            self._again[address] = entry
            return
        hands.turning.add(address)
        try:
            while True:
                await self._drive(address, entry)
                if address not in self._again:
                    break
                entry = self._again.pop(address)
        finally:
            hands.turn_ended(address)
            self._wake_again(address)

    async def _drive(self, address: str, entry: str) -> None:
        standstill = Standstill()
        while True:
            try:
                if await self._turn(address, entry):
                    self._host.left.forget(address)
                    return
            except (StaleTurn, StaleGeneration, Ended) as stale:
                if standstill.goes_on(stale):
                    await self._give_up(address, entry, stale)
                    return
            except PayloadUnusable as error:
                if await self._aside.postpone(address, entry, why=str(error)):
                    log.warning("a workflow cannot be read here; it is left to other workers", error=str(error))
                return
            except (NotFound, Gone):
                self._replicas.drop(self._host.cache.get(address))
                await self._settle(address, entry, "")
                return
            except Exception as error:
                if isinstance(error, AssertionError) or (isinstance(error, KernelError) and not is_damage(error)):
                    raise
                await self.damaged(address, error)
                return

    async def _give_up(self, address: str, entry: str, stale: Refused) -> None:
        """Stop trying: nobody gets on with the actor, by turns that are all refused."""
        if isinstance(stale, StageLost):
            # Two workers take the parts of their decisions from one another. One of them gets the ready entry back.
            await self._host.store.turns.postpone(address, entry, delay_ms=QUICK_MS)
        else:
            await self.damaged(address, stale)

    async def _turn(self, address: str, entry: str) -> bool:
        """Take one turn; True: nothing is left to do for the actor here."""
        replica = self._replicas.fresh(address)
        fetched = await self._host.store.turns.fetch(
            address,
            generation=replica.generation if replica else "",
            fed=replica.instance.fed if replica else ZERO,
        )
        record = fetched.record
        if replica is not None and self._replicas.fresh(address) is not replica:
            return False  # it left the cache meanwhile, and nothing of it may run any more
        if record.status not in TURNING:
            self._replicas.drop(replica)
            return not await self._settle(address, entry, record.ready)
        if record.emitted < record.commands:
            await self._emit(address, record)
            return False
        try:
            replica = await self._replicas.bring_up(replica, fetched, address)
        except UnknownDefinition:
            await self._aside.postpone(address, record.ready)
            await self._settle(address, entry, "", unless=record.ready)
            return True
        except (NondeterminismError, TurnTooLong, ActorDamaged) as error:
            await self._aside.stop(address, record, error)
            return False
        return await self._conclude(replica, record, entry)

    async def _conclude(self, replica: Replica, record: Record, entry: str) -> bool:
        """Commit what a turn has come to; True: nothing is left to do for the actor here."""
        address = replica.address
        if replica.instance.fed == record.consumed:
            # Something may have been recorded since it was fetched: then its ready entry stays, and is still ours.
            return not await self._settle(address, entry, record.ready)
        turned = await self._commit(replica)
        if not turned.more:
            # The commit removed the record's own ready entry; another one is settled for itself. Asked in vain it
            # would keep the address turning, and a step that ends meanwhile could not advance it.
            await self._settle(address, entry, "", unless=record.ready)
        return not turned.more

    async def _settle(self, address: str, entry: str, ready: str, *, unless: str = "") -> bool:
        """Have ready entries removed; True: there is something to do for the actor after all."""
        more = False
        for one in sorted({entry, ready} - {"", unless}):
            more |= await self._host.store.turns.settle(address, one)
        return more

    async def _stop_broken_off(self, address: str, generation: str, error: NondeterminismError | TurnTooLong) -> None:
        """Stop an actor whose turn broke off (see ``_turn``), unless it has begun anew or ended meanwhile."""
        record = (await self._host.store.turns.fetch(address, generation="", fed=ZERO)).record
        if record.generation == generation and record.status in TURNING:
            await self._aside.stop(address, record, error)

    async def damaged(self, address: str, error: Exception) -> None:
        """Stop an actor whose journal is damaged; one that cannot be stopped, or has something else, is left alone."""
        stopped = False
        try:
            damage = error if isinstance(error, ActorDamaged) else await self._aside.damage(address)
            record = (await self._host.store.turns.fetch(address, generation="", fed=ZERO)).record
            if damage is not None and record.status in TURNING:
                await self._aside.stop(address, record, damage)
            stopped = damage is not None
        except KernelError as reason:
            log.debug("what is damaged could not be stopped", workflow_id=keys.id_of(address), reason=str(reason))
        self._host.left.add(address, error, quietly=stopped)

    async def condemn(self, address: str, entry: str) -> None:
        """Stop an actor whose turns have killed workers."""
        await self._aside.condemn(address, entry)

    # ------------------------------------------------------------------------------------ after a step of our own

    async def finish(self, begun: Begun, status: str, payload: bytes) -> None:
        """Record the outcome of a step that this worker ran, and take its actor on."""
        held = begun.held
        replica = self._replicas.fresh(held.address)
        if replica is not None and self._may_advance(replica, held):
            await self._advance(replica, held, status, payload)
            return
        steps = self._host.store.steps
        at_ms, nonce = self._host.now_ms(), draw_nonce()
        appended = await steps.complete(held, nonce=nonce, at_ms=at_ms, status=status, payload=payload)
        self.appended(held, appended, at_ms=at_ms, status=status, payload=payload)

    def appended(self, held: Held, appended: Appended, *, at_ms: int, status: str, payload: bytes) -> None:
        """An outcome of this worker's was recorded: feed it here if it follows what the replica knows."""
        replica = self._replicas.fresh(held.address)
        if replica is None or replica.generation != held.generation or appended.before != replica.head:
            return
        replica.inbox.append(Event(appended.event, "outcome", at_ms, held.seq, status, "", payload))
        replica.head = appended.event
        if len(replica.inbox) == 1:
            asyncio.get_running_loop().call_soon(self._nudge, replica)

    def _may_advance(self, replica: Replica, held: Held) -> bool:
        instance = replica.instance
        return (
            replica.generation == held.generation
            and held.worker == self._host.incarnation  # what `advance` begins at once is the worker's that it names
            and not replica.busy
            and replica.address not in self._host.hands.turning
            and instance.end is None
            and not replica.inbox
            and replica.consumed == replica.head == instance.fed
            and len(instance.open) == 1
            and held.seq in instance.open
        )

    async def _advance(self, replica: Replica, held: Held, status: str, payload: bytes) -> None:
        """Feed the outcome before it is recorded; the script takes outcome and turn, or only the outcome."""
        host, instance, base = self._host, replica.instance, replica.consumed
        at_ms, nonce = host.now_ms(), draw_nonce()
        event = Event(f"{event_number(base) + 1}-{nonce}", "outcome", at_ms, held.seq, status, "", payload)
        host.hands.turning.add(replica.address)
        replica.busy = True
        keep = False
        try:
            host.watch.feed(instance, event)
            plan = make_plan(replica, self._host)
            if len(plan.commands) > CHUNK:
                host.hands.unreserve(plan.eager.slots)
                keep = await self._complete_then_commit(replica, held, event)
                return
            host.hands.awaited.add(plan.token)
            try:
                reply = await host.store.steps.advance(
                    held,
                    nonce=nonce,
                    at_ms=at_ms,
                    status=status,
                    payload=payload,
                    base=base,
                    token=plan.token,
                    commands=plan.commands,
                    canceled=plan.withdrawn,
                    end=plan.end,
                    park=plan.park,
                    eager=plan.eager,
                    untaken=plan.untaken,
                )
            finally:
                host.hands.unreserve(plan.eager.slots)
                host.hands.awaited.discard(plan.token)
            # Nobody got in between, or the outcome at least stands where it was fed.
            keep = reply.event == event.id
            if keep:
                replica.head = event.id
            if not isinstance(reply, Appended):
                self._committed(replica, plan, reply.turned, reached=event.id)
        except (NondeterminismError, TurnTooLong) as error:
            await self._complete(held, event)
            await self._stop_broken_off(replica.address, replica.generation, error)
        finally:
            replica.busy = False
            if not keep or instance.end is not None or host.cache.get(replica.address) is not replica:
                host.cache.drop(replica)
                instance.dispose()
            host.hands.turn_ended(replica.address)
            self._wake_again(replica.address)

    async def _complete_then_commit(self, replica: Replica, held: Held, event: Event) -> bool:
        """A decision too large for ``advance``: record the outcome, then commit in chunks."""
        appended = await self._complete(held, event)
        if appended.event != event.id:
            return False
        replica.head = event.id
        try:
            await self._commit(replica)
        except Refused:
            return False
        return True

    async def _complete(self, held: Held, event: Event) -> Appended:
        """Record the outcome in ``event`` and nothing else."""
        return await self._host.store.steps.complete(
            held,
            nonce=int(event.id.partition("-")[2]),
            at_ms=event.at_ms,
            status=event.status,
            payload=event.payload,
        )

    def _nudge(self, replica: Replica | None) -> None:
        """Begin a turn on what this worker itself has recorded, unless one is under way."""
        if replica is None or not replica.inbox or replica.busy or replica.address in self._host.hands.turning:
            return
        self._host.hands.turning.add(replica.address)
        self._host.spawn(self._local_turns(replica), name="turn")

    def _wake_again(self, address: str) -> None:
        entry = self._again.pop(address, None)
        if entry is not None:
            self._host.spawn(self.take(address, entry), name="turn")
        else:
            self._nudge(self._host.cache.get(address))

    async def _local_turns(self, replica: Replica) -> None:
        """Take an actor forward on outcomes in the inbox; leave the rest to whoever has its ready entry."""
        try:
            while replica.inbox and self._replicas.fresh(replica.address) is replica and replica.instance.end is None:
                self._feed_inbox(replica)
                turned = await self._commit(replica)
                if not turned.more and not replica.inbox:
                    break
        except StaleTurn:
            # Somebody else was quicker; the ready entry's holder finds out.
            replica.inbox.clear()
            replica.head = replica.instance.fed
        except (NondeterminismError, TurnTooLong) as error:
            self._replicas.drop(replica)
            await self._stop_broken_off(replica.address, replica.generation, error)
        except BaseException:
            # It ended, or nobody knows how the commit went: the next turn reads the journal.
            self._replicas.drop(replica)
            raise
        finally:
            self._host.hands.turn_ended(replica.address)
            self._wake_again(replica.address)

    def _feed_inbox(self, replica: Replica) -> None:
        events, replica.inbox = replica.inbox, []
        for event in events:
            self._host.watch.feed(replica.instance, event)

    # ------------------------------------------------------------------------------------ what both have in common

    async def _emit(self, address: str, record: Record) -> None:
        """Go on with a committed decision of many commands: they queue up behind those that were placed before."""
        host, token = self._host, f"{draw_nonce():x}"
        # Without a slot, inline steps alone are granted.
        eager = Eager(host.incarnation, 0, ",", 0) if host.hands.takes else NOT_EAGER
        turned = await host.store.turns.emit(address, generation=record.generation, token=token, eager=eager)
        if turned.granted:
            host.auditor.soon()  # which finds them held and not in hand

    async def _commit(self, replica: Replica) -> Turned:
        """Commit what the replica decided beyond what is known to be committed."""
        host, instance = self._host, replica.instance
        plan = make_plan(replica, self._host)
        reached = instance.fed
        replica.busy = True
        host.hands.awaited.add(plan.token)
        try:
            turned = await host.store.turns.commit(
                replica.address,
                generation=replica.generation,
                base=replica.consumed,
                reached=reached,
                token=plan.token,
                commands=plan.commands,
                canceled=plan.withdrawn,
                end=plan.end,
                park=plan.park,
                eager=plan.eager,
                number_of_first=replica.committed + 1,
                untaken=plan.untaken,
                python=PYTHON if replica.consumed == ZERO else "",
            )
        finally:
            replica.busy = False
            host.hands.unreserve(plan.eager.slots)
            host.hands.awaited.discard(plan.token)
        self._committed(replica, plan, turned, reached=reached)
        return turned

    def _committed(self, replica: Replica, plan: Plan, turned: Turned, *, reached: str) -> None:
        replica.consumed = reached
        replica.committed += len(plan.commands)
        replica.canceled, replica.answered = plan.canceled, plan.answered
        if plan.end is not None:
            if plan.end.status == "failed":
                failure = Failure.decode(plan.end.payload)
                error = f"{failure.error_type}: {failure.message}"
                log.warning("a workflow failed", workflow_id=keys.id_of(replica.address), error=error)
            self._replicas.drop(replica)
            return
        self._host.cache.put(replica)
        self._start_granted(replica, turned, plan.token)

    def _start_granted(self, replica: Replica, turned: Turned, token: str) -> None:
        host = self._host
        now_ms = host.now_ms()
        for seq in turned.granted:
            held = Held(replica.address, replica.generation, seq, 1, host.incarnation, token)
            host.start_step(Begun(held, replica.instance.commands[seq - 1], 0, now_ms, b""))
