"""A primary, a replica, and three Sentinels that see to it that there is a primary."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError, ResponseError

from tests.topology.node import HOST, wait_until
from tests.topology.place import OfNodes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.topology.node import Node

SERVICE: Final = "headrace"
SENTINELS: Final = 3
QUORUM: Final = 2
FAILOVER_S_MAX: Final = 40.0
_HASTE: Final = (
    # Sentinels look for each other every two seconds, ask for roles every ten, and do nothing for thirty after the
    # machine was too busy for them. (Since 7.0; an older one is waited for.)
    *("PUBLISH-PERIOD", 400, "INFO-PERIOD", 500, "ASK-PERIOD", 200, "TILT-PERIOD", 1000, "PING-PERIOD", 200),
)


class Sentinels(OfNodes):
    """Fails over by itself when the primary is silent for ``down_after_ms``."""

    name = "sentinel"

    def __init__(self, binary: Path | None = None, *, down_after_ms: int = 1000) -> None:
        """See ``OfNodes``."""
        super().__init__(binary)
        self._down_after_ms = down_after_ms

    def _start(self) -> None:
        first = self._node("a")
        first.start()
        second = self._node("b", replicaof=f"{HOST} {first.port}")
        second.start()
        self.await_replicated()
        text = "\n".join(
            [
                f"sentinel monitor {SERVICE} {HOST} {first.port} {QUORUM}",
                f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}",
                f"sentinel failover-timeout {SERVICE} 4000",
            ]
        )
        for number in range(SENTINELS):
            sentinel = self._node(f"sentinel-{number}", sentinel_text=text)
            sentinel.start()
            with contextlib.suppress(ResponseError):
                sentinel.ask("SENTINEL", "DEBUG", *_HASTE)
        self.url = f"redis+sentinel://{','.join(sentinel.address for sentinel in self.sentinels)}/{SERVICE}"
        wait_until(self._agree, "the Sentinels to find each other and the replica")

    def _is_settled(self, sentinel: Node) -> bool:
        """Tell whether a Sentinel sees one primary and its replica, each as it reports itself, and does nothing."""
        about = _fields(sentinel.ask("SENTINEL", "MASTER", SERVICE))
        replicas = [_fields(reply) for reply in sentinel.ask("SENTINEL", "REPLICAS", SERVICE)]
        return (
            about["flags"] == "master"
            and about["role-reported"] == "master"
            and [(replica["flags"], replica["role-reported"], replica["master-port"]) for replica in replicas]
            == [("slave", "slave", about["port"])]
        )

    def _agree(self) -> bool:
        for sentinel in self.sentinels:
            about = _fields(sentinel.ask("SENTINEL", "MASTER", SERVICE))
            if int(about["num-other-sentinels"]) != SENTINELS - 1 or int(about["num-slaves"]) != 1:
                return False
        return True

    def primary(self) -> Node:
        """Return the node that most of the Sentinels that answer name as primary."""
        named: list[int] = []
        for sentinel in self.sentinels:
            with contextlib.suppress(RedisError, OSError):
                named.append(int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]))
        port = max(set(named), key=named.count)
        return next(node for node in self.nodes if node.port == port)

    def replica(self) -> Node:
        """Return the other node."""
        primary = self.primary()
        return next(node for node in self.nodes if node is not primary)

    def failover(self) -> Node:
        """Have the Sentinels make the replica the primary, nothing having died; return the new primary."""
        self.await_replicated()
        before = self.primary()

        def changed() -> bool:
            if self.primary() is not before:
                return True
            # Refused while one is under way.
            self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
            return False

        wait_until(changed, "the Sentinels to fail over", seconds_max=FAILOVER_S_MAX)
        return self.await_primary(other_than=before)

    def await_primary(self, *, other_than: Node) -> Node:
        """Wait until the Sentinels name another primary than ``other_than``, and it takes writes; return it."""

        def found() -> Node | None:
            now = self.primary()
            return now if now is not other_than and now.info("replication")["role"] == "master" else None

        node = wait_until(found, f"a primary other than {other_than}", seconds_max=FAILOVER_S_MAX)
        assert node is not None
        return node

    def await_replicated(self) -> None:
        """Wait until both nodes run, one is a replica in touch with the other, and all Sentinels have seen that.

        Before they have, a Sentinel makes a newly promoted node a replica again, and what it took since is lost.
        """

        def whole() -> bool:
            infos = [node.info("replication") for node in self.nodes]
            return (
                sorted(info["role"] for info in infos) == ["master", "slave"]
                and all(info["role"] == "master" or info["master_link_status"] == "up" for info in infos)
                and all(self._is_settled(sentinel) for sentinel in self.sentinels)
            )

        wait_until(whole, "a replica in touch with its primary", seconds_max=FAILOVER_S_MAX)


def _fields(reply: list[str]) -> dict[str, str]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
