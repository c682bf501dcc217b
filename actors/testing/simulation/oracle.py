"""Oracle: looks into the server after every call that took effect, and says what is not as it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.testing.simulation.nodes import ALL
from kernel import (
    Chronicle,
    PartitionKeys,
    pool_violations,
    read_partition_at_once,
    script_name,
    violations,
    violations_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.testing.simulation.world import World
    from kernel import Words

WHOLE_EVERY: Final = 50
"""Writes between two looks at everything."""
FORGETFUL_S: Final = 100.0
"""So long after the failover of a node it may turn out that a pool and a step do not agree."""
PARTS: Final = ("", ".journal", ".open", ".events", ".large")
LIVE: Final = frozenset({"running", "canceling", "scheduled", "stopped"})
_MANY: Final = frozenset({"promote", "requeue", "claim", "reconcile"})
"""Scripts that move several actors' things at once."""
_UNTOUCHED: Final = frozenset({"heartbeat", "register", "fence", "found", "forget"})


class Oracle:
    """Checks I1, I2, I5, I6 and I7 on what a write touched, and these and I8 now and then on all."""

    def __init__(self, world: World, tags: Sequence[str], *, gateway: str) -> None:
        """``tags``: of all partitions. ``gateway``: the stream of what services publish."""
        self._world = world
        self._tags, self._gateway = tuple(tags), gateway
        self._session = world.server.session()
        self._chronicle = Chronicle()
        self._since = 0
        self._forgetful_until = 0.0
        self._forgotten = frozenset[str]()
        self.found: list[str] = []
        """What is wrong, each a sentence; the first is what matters."""
        self.statuses: dict[str, str] = {}
        """Of all actors, by address."""

    def close(self) -> None:
        """Look no more."""
        self._session.close()

    def look_at(self, words: Words, replies: list[object]) -> None:
        """Look at what a call touched."""
        if self.found:
            return
        name = script_name(words)
        if name in _UNTOUCHED:
            return
        self._since += 1
        texts: list[str] = []
        if name in _MANY or self._since >= WHOLE_EVERY:
            texts = self.whole()
        elif (touched := _address(words)) is not None:
            tag = str(words[3])
            found = self._read(tag, self._keys_of(tag, touched))
            texts = violations_of(found, touched)
            self._remember(found, texts)
        if texts:
            self.found += [f"after {name or words[0]!r} {_shown(words)} -> {replies[-1]!r:.200}:", *texts]

    def whole(self) -> list[str]:
        """Look at everything; return what is wrong."""
        self._since = 0
        texts: list[str] = []
        keys = self._world.server.names()
        self.statuses = {}
        partitions = [self._read(tag, keys) for tag in self._tags]
        for found in partitions:
            texts += violations(found)
            self._remember(found, texts)
        of_pools = frozenset(pool_violations(partitions))
        self._forgotten = of_pools if self._world.time() < self._forgetful_until else of_pools & self._forgotten
        return [*texts, *sorted(of_pools - self._forgotten)]

    def rolled_back(self, node: int) -> None:
        """A node, or the whole server (``ALL``), has lost its last writes.

        A pool and those who ask it may lie on two nodes: that one of them has forgotten what the other knows, or will
        know by a call that is on its way, is not held against them. But it must heal.
        """
        self._chronicle.rolled_back()
        if node != ALL:
            self._forgetful_until = self._world.time() + FORGETFUL_S
        self.found += [] if self.found else self.whole()

    @property
    def may_disagree(self) -> bool:
        """Whether a failover may have made pools and those who ask them disagree, at whatever time."""
        return self._forgetful_until > 0

    @property
    def disagreements(self) -> list[str]:
        """What they disagreed about when everything was last looked at, each a sentence; it must come to an end."""
        return sorted(self._forgotten)

    @property
    def living(self) -> list[str]:
        """Addresses of all that has not ended."""
        return [address for address, status in self.statuses.items() if status in LIVE]

    @property
    def posted(self) -> int:
        """How many messages are on their way, between instances or from outside."""
        streams = [f"{tag}:outbox" for tag in self._tags] + [self._gateway]
        lengths = [self._session.run(("XLEN", stream)) for stream in streams]
        return sum(length for length in lengths if isinstance(length, int))

    def _remember(self, found: PartitionKeys, texts: list[str]) -> None:
        for actor in found.actors.values():
            texts += self._chronicle.changes(actor)
            if "status" in actor.record:
                self.statuses[actor.address] = actor.record["status"]

    def _read(self, tag: str, keys: Iterable[bytes]) -> PartitionKeys:
        return read_partition_at_once(self._session.run, tag, keys)

    def _keys_of(self, tag: str, address: str) -> Iterator[bytes]:
        """Yield the keys of an actor, and those that many share."""
        kind, _, actor_id = address.partition("/")
        own = {f"{tag}:{kind}{part}:{actor_id}".encode() for part in PARTS}
        shared = tuple(f"{tag}:{name}".encode() for name in ("q:", "index:"))
        named = {f"{tag}:{name}".encode() for name in ("held", "delayed", "retries", "ready", "outbox")}
        return (key for key in self._world.server.names() if key in own or key in named or key.startswith(shared))


def _address(words: Words) -> str | None:
    """Return the address of the actor that a call is about."""
    for word in words[4:8]:
        if isinstance(word, str) and "/" in word:
            return word.rsplit("|", 1)[-1]
    return None


def _shown(words: Words) -> str:
    shown: list[Any] = [word if not isinstance(word, bytes) else word[:40] for word in words[3:18]]
    return repr(shown)
