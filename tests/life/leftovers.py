"""What is left of instances in a Redis: things that wait in some place, and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.store.replies import listed
from kernel.store.snapshot import read_partition

if TYPE_CHECKING:
    from kernel import Store

TOMBSTONE_MS_MAX = 3_600_000
STILL = frozenset({"held", "delayed", "retries"})
RESTS = frozenset({"meta", "names", "ready", "outbox", "dead", "app", "q", "pool", "pools"})
"""Keys of a partition that no instance owns. Of a pool's only its limit: nobody has a permit or waits for one."""


async def pending(store: Store) -> list[str]:
    """Return what waits in any place."""
    found = await read_partition(store.space, store.space.keys.tags[0])
    left = [f"{name} {entry}" for name, entries in found.streams.items() for entry in entries]
    return left + [f"{name} {member}" for name in STILL for member in found.sets[name]]


async def keys_left(store: Store) -> list[str]:
    """Return the keys that are no tombstones that expire and belong to an instance."""
    tag = store.space.keys.tags[0]
    left: list[str] = []
    for name in await keys_of_instances(store):
        ttl = await store.space.send(tag, "PTTL", f"{tag}:{name}")
        if not (isinstance(ttl, int) and 0 < ttl <= TOMBSTONE_MS_MAX and name.startswith("wf:")):
            left.append(name)
    return left


async def keys_of_instances(store: Store) -> list[str]:
    """Return the keys that belong to an instance, tombstones too."""
    tag = store.space.keys.tags[0]
    names = [key.decode().removeprefix(f"{tag}:") for key in listed(await store.space.send(tag, "KEYS", f"{tag}:*"))]
    return [name for name in names if name.partition(":")[0] not in RESTS]
