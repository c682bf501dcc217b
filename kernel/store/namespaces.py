"""Namespaces: which there are on a deployment of Redis, as far as a bounded look shows. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from redis.exceptions import RedisError, ResponseError

from kernel.store.keys import namespace_of_meta
from kernel.store.link import LOST
from kernel.store.replies import listed

if TYPE_CHECKING:
    from kernel.store.lanes import Connector
    from kernel.store.link import Lane

SCAN_COUNT: Final = 10_000
"""Keys that one call of SCAN looks at."""
SCANS_MAX: Final = 100
"""Calls a node: of a million keys all are seen, of more a part."""
PROBES: Final = 256
"""Keys by which the nodes of a Cluster are found: any that serves more than a hundredth of the slots is."""
PATTERN: Final = "{*:0}:meta"


async def find_namespaces(connector: Connector) -> list[str]:
    """Return the names that were found, sorted. A node that does not answer is left out."""
    nodes = {connector.node(str(number)): str(number) for number in range(PROBES)}
    found: set[str] = set()
    for key in nodes.values():
        try:
            lane = await connector.open(key)
        except (*LOST, RedisError):
            continue
        try:
            found |= await _find_on(lane)
        except (*LOST, RedisError):
            continue
        finally:
            await lane.close()
    return sorted(found)


async def _find_on(lane: Lane) -> set[str]:
    found: set[str] = set()
    cursor = b"0"
    for _ in range(SCANS_MAX):
        (reply,) = await lane.send([("SCAN", cursor, "MATCH", PATTERN, "COUNT", SCAN_COUNT)])
        if isinstance(reply, ResponseError):
            break  # no permission: then nothing can be said
        cursor, names = cast("tuple[bytes, list[bytes]]", tuple(listed(reply)))
        found |= {name for key in names if (name := namespace_of_meta(key.decode(errors="replace")))}
        if int(cursor) == 0:
            break
    return found
