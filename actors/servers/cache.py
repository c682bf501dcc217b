"""Cache: the instances that this worker ran lately, each a replica of its journal up to some event. Bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kernel import ZERO, Event

if TYPE_CHECKING:
    from actors.actor import Actor


class Replica:
    """One cached instance and how it stands to the journal."""

    __slots__ = (
        "address",
        "answered",
        "busy",
        "bytes",
        "canceled",
        "committed",
        "consumed",
        "epoch",
        "generation",
        "head",
        "inbox",
        "instance",
    )

    def __init__(self, address: str, generation: str, instance: Actor, epoch: int) -> None:
        self.address = address
        self.generation = generation
        self.instance = instance
        self.epoch = epoch
        """The link's epoch in which it was read; a later one makes it worthless."""
        self.consumed = ZERO
        """The record's ``consumed`` as last known."""
        self.committed = 0
        """How many commands were in the journal then."""
        self.head = ZERO
        """The last event known to follow without a gap: the last fed, or the last in ``inbox``."""
        self.inbox: list[Event] = []
        """Outcomes recorded by this worker itself, not fed yet."""
        self.busy = False
        """A turn is under way."""
        self.canceled = 0
        """How many of the instance's cancellations are committed."""
        self.answered = 0
        """How many of its answered waits are committed."""
        self.bytes = 0


class Cache:
    """Least recently used replicas, bounded by number and by bytes of journal."""

    def __init__(self, *, instances_max: int, bytes_max: int) -> None:
        """``instances_max`` 0 keeps nothing: every turn replays."""
        self._instances_max = instances_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._replicas: OrderedDict[str, Replica] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of replicas kept."""
        return len(self._replicas)

    def get(self, address: str) -> Replica | None:
        """Return a replica, now the most recently used."""
        replica = self._replicas.get(address)
        if replica is not None:
            self._replicas.move_to_end(address)
        return replica

    def put(self, replica: Replica) -> None:
        """Keep a replica in place of an older one of its address; drop others if there are too many."""
        old = self._replicas.get(replica.address)
        if old is not None and old is not replica:
            self.drop(old)
        size = replica.instance.bytes
        self._bytes += size - (replica.bytes if old is replica else 0)
        replica.bytes = size
        self._replicas[replica.address] = replica
        self._replicas.move_to_end(replica.address)
        self._shrink()

    def drop(self, replica: Replica) -> None:
        """Forget a replica; nothing of its code runs on."""
        if self._replicas.get(replica.address) is replica:
            del self._replicas[replica.address]
            self._bytes -= replica.bytes
        if not replica.busy:
            replica.instance.dispose()

    def clear(self) -> None:
        """Forget everything that no turn is using."""
        for replica in list(self._replicas.values()):
            self.drop(replica)

    def _shrink(self) -> None:
        while len(self._replicas) > self._instances_max or self._bytes > self._bytes_max:
            victim = next((r for r in self._replicas.values() if not r.busy), None)
            if victim is None:
                return
            self.drop(victim)
