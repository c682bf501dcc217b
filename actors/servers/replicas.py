"""Replicas: what this worker has of actors in memory, brought up to what Redis has. It reads; it commits nothing.

A replica is fed only what follows without a gap on what it was fed before; otherwise the journal is read and replayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.retrier import KIND as RETRIER
from actors.retrier import Retrier
from actors.servers.cache import Replica
from actors.workflow import Instance, restarts_in
from kernel import event_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.actor import Actor
    from actors.definitions import Workflow
    from actors.servers.host import Host
    from kernel import Command, Event, Fetched, Kept, Record


class Replicas:
    """The replicas of one worker."""

    def __init__(self, host: Host, code: Callable[[Record], Workflow[..., object]]) -> None:
        """``code``: returns the workflow that a record names, or raises UnknownDefinition."""
        self._host = host
        self._code = code

    def fresh(self, address: str) -> Replica | None:
        """Return the cached replica, unless the connection broke since it was read."""
        replica = self._host.cache.get(address)
        if replica is not None and replica.epoch != self._host.epoch(address) and not replica.busy:
            self.drop(replica)
            return None
        return replica

    def drop(self, replica: Replica | None) -> None:
        """Take a replica out of memory; None: there is none."""
        if replica is not None:
            self._host.cache.drop(replica)

    async def bring_up(self, replica: Replica | None, fetched: Fetched, address: str) -> Replica:
        """Return a replica that has been fed all that is known."""
        record = fetched.record
        if replica is not None and replica.generation == record.generation and fetched.events is not None:
            for event in fetched.events:
                if event.number > event_number(replica.instance.fed):
                    self._host.watch.feed(replica.instance, event)
            if len(replica.instance.commands) >= record.commands:
                self._caught_up(replica, record)
                return replica
        self.drop(replica)
        return await self._replay(fetched, address)

    async def _replay(self, fetched: Fetched, address: str) -> Replica:
        record = fetched.record
        make = self._maker(record, address)
        events: Sequence[Event]
        recorded: Sequence[Command] = ()
        kept: Mapping[int, Kept] = {}
        epoch = self._host.epoch(address)
        whole = fetched.events is not None and (not fetched.events or fetched.events[0].number == record.first)
        if whole and record.commands == 0 and record.kept == 0 and fetched.events:
            events = fetched.events
        else:
            history = await self._host.store.turns.history(address, record)
            events, recorded, kept = history.events, history.commands, history.kept
        instance = make(recorded, events, kept)
        consumed = event_number(record.consumed)
        replica = Replica(address, record.generation, instance, epoch)
        try:
            for event in events:
                if event.number > consumed and instance.replaying:
                    self._replayed(replica)
                self._host.watch.feed(instance, event)
            if instance.replaying:
                self._replayed(replica)
        except BaseException:
            instance.dispose()
            raise
        if record.kept:
            # After a restart: what was taken back before is said once more, or it would be placed again.
            replica.canceled = replica.answered = 0
        self._caught_up(replica, record)
        replica.busy = True  # not to be the one that makes room for itself
        self._host.cache.put(replica)
        replica.busy = False
        return replica

    def _maker(
        self, record: Record, address: str
    ) -> Callable[[Sequence[Command], Sequence[Event], Mapping[int, Kept]], Actor]:
        """Return what makes an actor of that kind, given what its journal holds. Raises UnknownDefinition."""
        kind, _, actor_id = address.partition("/")
        if kind == RETRIER:
            return lambda recorded, _events, _kept: Retrier(recorded=recorded)
        workflow = self._code(record)
        return lambda recorded, events, kept: Instance(
            workflow=workflow, workflow_id=actor_id, recorded=recorded, restarts=restarts_in(events), kept=kept
        )

    @staticmethod
    def _replayed(replica: Replica) -> None:
        """What an earlier turn consumed is fed: it must have asked for just what the journal holds."""
        instance = replica.instance
        instance.check_complete()
        replica.canceled, replica.answered = len(instance.canceled), len(instance.answered)

    @staticmethod
    def _caught_up(replica: Replica, record: Record) -> None:
        fed = replica.instance.fed
        replica.consumed, replica.committed = record.consumed, record.commands
        replica.inbox = [event for event in replica.inbox if event.number > event_number(fed)]
        if not replica.inbox or replica.inbox[0].number != event_number(fed) + 1:
            replica.inbox = []
            replica.head = fed
