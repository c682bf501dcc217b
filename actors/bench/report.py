"""Report: what was measured, as lines of JSON and as a table. Judges nothing."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.bench.job import Sample

PACKAGES: Final = ("headrace", "redis", "hiredis", "msgpack", "pydantic")
DIGITS: Final = 5
"""Significant digits of a figure: more than it is worth, so that nothing is lost by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the figures of one sitting depend on beside the code."""

    versions: dict[str, str]
    redis: dict[str, str]
    """The server's version and the settings that speed depends on."""
    cpus: int

    @classmethod
    def of(cls, redis: Mapping[str, str]) -> Facts:
        """Look at this machine."""
        versions = {"python": platform.python_version()}
        for package in PACKAGES:
            # Run from its source, headrace itself is not installed.
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                versions[package] = "source"
        return cls(versions=versions, redis=dict(redis), cpus=os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One workload's figures. ``value`` and ``floor`` are medians; None: there is no such thing."""

    workload: str
    workers: int
    count: int
    value: float
    unit: str
    runs: list[float]
    """All values, in the order measured."""
    floor: float | None
    floor_runs: list[float]
    ratio: float | None
    """Value by floor; None if there is no floor, or it is 0."""
    details: dict[str, float]
    """Medians of what else was measured."""

    @classmethod
    def of(
        cls, *, workload: str, workers: int, count: int, unit: str, samples: Sequence[Sample], floors: Sequence[Sample]
    ) -> Line:
        """Put the samples of one workload together; at least one."""
        runs = [_rounded(sample.value) for sample in samples]
        floor_runs = [_rounded(sample.value) for sample in floors]
        floor_runs += [_rounded(sample.floor) for sample in samples if sample.floor is not None]
        value = _rounded(statistics.median(runs))
        floor = _rounded(statistics.median(floor_runs)) if floor_runs else None
        details = _medians([sample.details for sample in samples])
        details |= {f"floor_{name}": figure for name, figure in _medians([floor.details for floor in floors]).items()}
        return cls(
            workload=workload,
            workers=workers,
            count=count,
            value=value,
            unit=unit,
            runs=runs,
            floor=floor,
            floor_runs=floor_runs,
            ratio=_rounded(value / floor) if floor else None,
            details=details,
        )


def json_line(line: Line, facts: Facts) -> str:
    """Return one workload as a line of JSON."""
    return json.dumps(asdict(line) | asdict(facts))


def table(lines: Sequence[Line], facts: Facts) -> Group:
    """Return all workloads as a table, and below it what else was measured and on what."""
    # Tight enough for a terminal of 80 columns.
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("workload", no_wrap=True)
    for heading in ("workers", "count", "value"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("unit", no_wrap=True)
    for heading in ("floor", "ratio"):
        made.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        made.add_row(*_cells(line))
    return Group(made, *(_details(line) for line in lines), "", _surroundings(facts))


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.workload,
        str(line.workers),
        f"{line.count:,}" if line.count else "",
        _figure(line.value),
        line.unit,
        _figure(line.floor),
        _figure(line.ratio),
    )


def _details(line: Line) -> str:
    low, high, count = _figure(min(line.runs)), _figure(max(line.runs)), len(line.runs)
    said = [f"{count} runs from {low} to {high}" if count > 1 else "1 run"]
    said += [f"{name.replace('_', ' ')} {_figure(figure)}" for name, figure in line.details.items()]
    return f"{line.workload}: {', '.join(said)}"


def _surroundings(facts: Facts) -> str:
    redis, versions = facts.redis, facts.versions
    return (
        f"Redis {redis.get('version', '?')} (appendonly {redis.get('appendonly', '?')}, appendfsync "
        f"{redis.get('appendfsync', '?')}), Python {versions['python']}, redis-py {versions['redis']}, hiredis "
        f"{versions['hiredis']}, headrace {versions['headrace']}, {facts.cpus} CPUs. Medians; floor: the same number "
        "of script calls by bare redis-py in the same sitting."
    )


def _medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if not samples:
        return {}
    return {name: _rounded(statistics.median(sample[name] for sample in samples)) for name in samples[0]}


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - enough digits without a fraction
