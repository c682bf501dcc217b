"""Job: what the benchmark's processes tell each other. Plain values; nothing here measures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

from actors.errors import HeadraceError


class BenchError(HeadraceError):
    """The benchmark cannot be run here, or a workload did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, as asked for on the command line."""

    workloads: tuple[str, ...]
    workers: int = 1
    """Worker processes."""
    count: int | None = None
    """Size of each workload; None: each its own default."""
    runs: int | None = None
    """How often each is measured; None: each its own default."""
    seconds: float = 20.0
    """How long ``idle`` watches."""
    url: str | None = None
    """Server to measure on; None: a private one that is started for the benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a child process needs to take part in one workload."""

    workload: str
    url: str
    namespace: str
    partitions: int | None
    count: int
    seconds: float
    cache_instances: int
    """Instances that a worker keeps in memory."""
    processes: int
    """Processes among which a floor is shared: as many as there are workers."""
    worker_pids: tuple[int, ...] = ()
    server_pid: int | None = None
    """The server's process, if it runs on this machine."""

    def encode(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Job:
        """Read what ``encode`` wrote."""
        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    value: float
    details: dict[str, float] = field(default_factory=dict[str, float])
    """Further figures of the same measurement, each with its unit last in its name."""
    floor: float | None = None
    """The floor, where it was measured at the same time and not by itself."""

    def encode(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Sample:
        """Read what ``encode`` wrote."""
        return TypeAdapter(cls).validate_json(text)
