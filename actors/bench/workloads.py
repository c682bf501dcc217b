"""Workloads: all of them, by name, in the order of a sitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.bench.bare import Bare
from actors.bench.fanout import Fanout
from actors.bench.idle import Idle
from actors.bench.latency import Latency
from actors.bench.parked import Parked
from actors.bench.sequential import Sequential
from actors.bench.starts import Starts

if TYPE_CHECKING:
    from actors.bench.workload import Workload

WORKLOADS: Final[dict[str, Workload]] = {
    workload.name: workload for workload in (Sequential(), Latency(), Fanout(), Starts(), Parked(), Idle(), Bare())
}
