"""A Redis Cluster of three primaries and three replicas, made with plain commands."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from tests.topology.node import HOST, wait_until
from tests.topology.place import OfNodes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.topology.node import Node

PRIMARIES: Final = 3
SLOTS: Final = 16_384
FAILOVER_S_MAX: Final = 40.0
_KEYS_A_CALL: Final = 10


class Known(NamedTuple):
    """A node as another one sees it."""

    id: str
    port: int
    flags: frozenset[str]
    primary_id: str
    """Of a replica; "-" of a primary."""
    slots: tuple[str, ...]
    """Ranges, such as "0-5460"."""


def slot_of(key: str) -> int:
    """Return the slot of a key (or a tag)."""
    return key_slot(key.encode())


class Cluster(OfNodes):
    """A replica takes over when its primary is silent for ``node_timeout_ms`` and the other primaries agree."""

    name = "cluster"

    def __init__(self, binary: Path | None = None, *, node_timeout_ms: int = 1500) -> None:
        """See ``OfNodes``."""
        super().__init__(binary)
        self._node_timeout_ms = node_timeout_ms

    def _start(self) -> None:
        for number in range(2 * PRIMARIES):
            node = self._node(
                f"node-{number}",
                cluster_enabled="yes",
                cluster_config_file="nodes.conf",
                cluster_node_timeout=self._node_timeout_ms,
                # However long it was without its primary, a replica may take over.
                cluster_replica_validity_factor=0,
                # One that lost its replica stays so until the test brings it back.
                cluster_migration_barrier=PRIMARIES,
                # Slots of a dead node are away, the others are served.
                cluster_require_full_coverage="no",
            )
            node.start()
        primaries, replicas = self.nodes[:PRIMARIES], self.nodes[PRIMARIES:]
        bounds = [SLOTS * number // PRIMARIES for number in range(PRIMARIES + 1)]
        for number, node in enumerate(primaries):
            node.ask("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.nodes[0].ask("CLUSTER", "MEET", HOST, node.port)
        wait_until(lambda: all(len(self._seen_by(node)) == len(self.nodes) for node in self.nodes), "nodes to meet")
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", self.id_of(primary))
        self.url = f"redis+cluster://{','.join(node.address for node in self.nodes)}"
        self.await_whole()

    @staticmethod
    def _seen_by(node: Node) -> list[Known]:
        view: list[Known] = []
        for line in str(node.ask("CLUSTER", "NODES")).splitlines():
            node_id, address, flags, primary_id, *_ = line.split()
            slots = tuple(word for word in line.split()[8:] if not word.startswith("["))  # on the move
            port = int(address.partition("@")[0].rpartition(":")[2])
            view.append(Known(node_id, port, frozenset(flags.split(",")), primary_id, slots))
        return view

    @staticmethod
    def id_of(node: Node) -> str:
        """Return a node's id in the Cluster."""
        return str(node.ask("CLUSTER", "MYID"))

    def _node_of(self, node_id: str, view: list[Known]) -> Node:
        port = next(known.port for known in view if known.id == node_id)
        return next(node for node in self.nodes if node.port == port)

    def primary_of(self, key: str) -> Node:
        """Return the node that serves a key's slot, as most nodes that answer see it."""
        slot = slot_of(key)
        named: list[Node] = []
        for node in self.nodes:
            if not node.answers():
                continue
            with contextlib.suppress(RedisError, OSError):
                view = self._seen_by(node)
                named += [self._node_of(known.id, view) for known in view if _holds(known, slot)]
        assert named, f"no node says who serves slot {slot}"
        return max(set(named), key=named.count)

    def replica_of(self, primary: Node) -> Node:
        """Return a replica of a primary, when there is one in touch with it."""
        own = self.id_of(primary)

        def found() -> Node | None:
            view = self._seen_by(primary)
            replicas = [self._node_of(known.id, view) for known in view if known.primary_id == own]
            return next((node for node in replicas if _in_touch(node)), None)

        node = wait_until(found, f"a replica of {primary}", seconds_max=FAILOVER_S_MAX)
        assert node is not None
        return node

    def failover(self, primary: Node) -> Node:
        """Have a primary's replica take over in order, nothing lost; return the new primary."""
        replica = self.replica_of(primary)
        replica.ask("CLUSTER", "FAILOVER")
        self.await_primary(replica)
        return replica

    def await_primary(self, node: Node) -> None:
        """Wait until a node is a primary and the nodes that answer know it."""

        def known() -> bool:
            others = [other for other in self.nodes if other.answers()]
            own = self.id_of(node)
            return all(
                "master" in known.flags and known.slots
                for other in others
                for known in self._seen_by(other)
                if known.id == own
            )

        wait_until(known, f"{node} to be a primary", seconds_max=FAILOVER_S_MAX)

    def await_whole(self) -> None:
        """Wait until every node runs, serves or replicates, and all agree on who serves what."""

        def whole() -> bool:
            views = [self._seen_by(node) for node in self.nodes]
            tables = {frozenset((known.id, known.slots) for known in view if known.slots) for view in views}
            return (
                len(tables) == 1
                and not any(flag.startswith(("fail", "handshake")) for v in views for k in v for flag in k.flags)
                and all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes)
                and all(
                    info["role"] == "master" or info["master_link_status"] == "up"
                    for info in (node.info("replication") for node in self.nodes)
                )
            )

        wait_until(whole, "the Cluster to be whole", seconds_max=FAILOVER_S_MAX)

    def move_slot(self, slot: int, *, to: Node, between: Callable[[], None] = lambda: None) -> None:
        """Move a slot with all its keys, under load: importing, migrating, the keys a few at a time, the new owner.

        ``between`` is called after each few keys: while some keys are here and some there.
        """
        source = self.primary_of_slot(slot)
        if source is to:
            return
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        for _ in itertools.count():
            keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, _KEYS_A_CALL)
            if not keys:
                break
            with contextlib.suppress(ResponseError):  # a key that went meanwhile
                source.ask("MIGRATE", HOST, to.port, "", 0, 5000, "KEYS", *keys)
            between()
        for node in (to, source, *(node for node in self.primaries if node not in {to, source})):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def primary_of_slot(self, slot: int) -> Node:
        """Return the node that serves a slot and answers."""
        for node in self.nodes:
            with contextlib.suppress(RedisError, OSError):
                view = self._seen_by(node)
                return next(self._node_of(known.id, view) for known in view if _holds(known, slot))
        raise AssertionError("no node of the Cluster answers")


def _in_touch(node: Node) -> bool:
    return bool(node.answers() and node.info("replication").get("master_link_status") == "up")


def _holds(known: Known, slot: int) -> bool:
    for span in known.slots:
        first, _, last = span.partition("-")
        if first.isdigit() and int(first) <= slot <= int(last or first):
            return True
    return False
