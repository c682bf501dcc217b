"""Vitals: what the servers of a namespace say of themselves. Facts only; what they mean is judged elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kernel.errors import ServerRefused
from kernel.store.replies import listed

if TYPE_CHECKING:
    from kernel.store.space import Space

PINGS: Final = 5
_SETTINGS: Final = (
    "appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy", "timeout", "min-replicas-to-write",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """One server."""

    node: str
    """``host:port`` of a Cluster's node; else empty."""
    info: dict[str, str]
    """Every field of ``INFO``."""
    settings: dict[str, str] = field(default_factory=dict[str, str])
    """Those of ``CONFIG GET`` that matter here; empty where it is forbidden."""
    cluster: dict[str, str] = field(default_factory=dict[str, str])
    """Fields of ``CLUSTER INFO``; empty if it is no Cluster."""
    round_trip_ms: float = 0.0
    """The middle one of a few."""
    clock_offset_ms: int = 0
    """The server's clock less ours, half a round trip allowed for."""


async def read_vitals(space: Space) -> list[Vitals]:
    """Ask each server that serves a partition; none if the server is in this process.

    Raises:
        ServerRefused: it does not answer INFO.
    """
    if space.connector.is_memory:
        return []
    nodes = {space.connector.node(tag): tag for tag in space.keys.tags}
    return [await _read(space, node, tag) for node, tag in nodes.items()]


async def _read(space: Space, node: str, tag: str) -> Vitals:
    info = _fields(await space.send(tag, "INFO"))
    round_trip_ms, offset_ms = await _clock(space, tag)
    settings: dict[str, str] = {}
    for name in _SETTINGS:
        try:
            reply = listed(await space.send(tag, "CONFIG", "GET", name))
        except ServerRefused:  # managed servers forbid it
            break
        if reply:
            settings[name] = reply[1].decode()
    cluster = _fields(await space.send(tag, "CLUSTER", "INFO")) if info.get("cluster_enabled") == "1" else {}
    return Vitals(
        node=node,
        info=info,
        settings=settings,
        cluster=cluster,
        round_trip_ms=round_trip_ms,
        clock_offset_ms=offset_ms,
    )


async def _clock(space: Space, tag: str) -> tuple[float, int]:
    loop, found = asyncio.get_running_loop(), list[tuple[float, int]]()
    for _ in range(PINGS):
        began, wall_ms = loop.time(), space.wall_ms()
        seconds, micros = (int(part) for part in listed(await space.send(tag, "TIME")))
        took_ms = (loop.time() - began) * 1000
        found.append((took_ms, seconds * 1000 + micros // 1000 - wall_ms - round(took_ms / 2)))
    found.sort()
    return found[PINGS // 2][0], found[0][1]


def _fields(reply: object) -> dict[str, str]:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
