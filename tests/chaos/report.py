"""Report: what was injected, how fast it went on meanwhile, how soon after each injection, and the verdict."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.chaos.oracle import Verdict
    from tests.chaos.stage import Injected, Settings, Stage
    from tests.chaos.trace import Mark

SHOWN_MAX: Final = 20
"""Lines of a kind that people get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Some durations, s."""

    count: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Times | None:
        """Sum up; None if there are none."""
        if not values:
            return None
        ordered = sorted(values)
        p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
        figures = (statistics.median(ordered), p99, ordered[-1])
        return cls(count=len(ordered), **dict(zip(("p50", "p99", "max"), (round(f, 4) for f in figures), strict=True)))

    def __str__(self) -> str:
        return f"p50 {self.p50:.3f} s, p99 {self.p99:.3f} s, max {self.max:.3f} s ({self.count})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one run."""

    place: str
    seed: int
    load_s: float
    injected: dict[str, int]
    deaths: dict[str, int]
    """Of workers, by cause."""
    counts: dict[str, int]
    workflows_a_second: float
    steps_a_second: float
    start: Times | None
    """From asking for a start to its acknowledgement."""
    count: Times | None
    """Of the workflow ``count``, which never sleeps: from its start to its end."""
    recovery: dict[str, Times]
    """By kind: from the injection to the next progress of what it hit; see docs/chaos.md."""
    faults: list[str]
    may_be_lost: list[str]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.faults

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {"good": self.good, **asdict(self)}

    def lines(self) -> Iterator[str]:
        """Return it as people read it."""
        yield f"{self.place}, seed {self.seed}: {self.load_s:.0f} s of load"
        yield f"  injected    {_counted(self.injected)}"
        yield f"  deaths      {_counted(self.deaths)}"
        yield f"  oracle saw  {_counted(self.counts)}"
        yield f"  throughput  {self.workflows_a_second:.1f} workflows/s, {self.steps_a_second:.1f} steps/s"
        yield f"  start       {self.start}"
        yield f"  count       {self.count}"
        for kind, times in self.recovery.items():
            yield f"  recovery    {kind}: {times}"
        if self.may_be_lost:
            yield f"  may be lost {len(self.may_be_lost)}, acknowledged right before a rollback:"
            yield from (f"              {text}" for text in self.may_be_lost[:SHOWN_MAX])
        for text in self.faults[:SHOWN_MAX]:
            yield f"  FAULT       {text}"
        more = len(self.faults) - SHOWN_MAX
        if more > 0:
            yield f"  FAULT       and {more} more"
        yield f"  verdict     {'nothing lost, nothing done twice' if self.good else f'{len(self.faults)} faults'}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def make_report(stage: Stage, verdict: Verdict, records: dict[str, dict[str, bytes]], *, load_s: float) -> Report:
    """Put a run's figures together."""
    settings: Settings = stage.settings
    marks = stage.marks()
    ended = [record for record in records.values() if record.get("ended")]
    spans = [
        (int(record["ended"]) - int(record["created"])) / 1000
        for workflow_id, record in records.items()
        if workflow_id.startswith("count-") and record.get("ended")
    ]
    starts = [order.acknowledged_s - order.asked_s for order in stage.load.orders if order.acknowledged_s is not None]
    steps = verdict.counts["mutations"] + sum(mark.what == "ended" for mark in marks)
    return Report(
        place=settings.place,
        seed=settings.seed,
        load_s=load_s,
        injected=dict(Counter(done.kind for done in stage.injected)),
        deaths=dict(Counter(death.cause for death in stage.crew.deaths)),
        counts=dict(verdict.counts),
        workflows_a_second=round(len(ended) / load_s, 2),
        steps_a_second=round(steps / load_s, 2),
        start=Times.of(starts),
        count=Times.of(spans),
        recovery=_recoveries(stage, marks),
        faults=verdict.faults,
        may_be_lost=verdict.may_be_lost,
    )


def _recoveries(stage: Stage, marks: list[Mark]) -> dict[str, Times]:
    found: dict[str, list[float]] = {}
    for done in stage.injected:
        if done.kind in {"kill", "pause"}:
            name = f"pause ({done.note})" if done.note else done.kind
            found.setdefault(name, []).extend(of_worker(marks, done))
        elif done.kind == "memory":
            acknowledged = [order.acknowledged_s for order in stage.load.orders if order.acknowledged_s is not None]
            found.setdefault("memory, after its end", []).extend(_first(acknowledged, done.until_s, done.until_s))
        elif not done.hit:
            begun = [mark.at_s for mark in marks if mark.what == "begun"]
            found.setdefault(done.kind, []).extend(_first(begun, done.until_s, done.at_s))
            name = f"{done.kind}, after its end"
            found.setdefault(name, []).extend(_first(begun, done.until_s, done.until_s))
    return {kind: times for kind, values in found.items() if (times := Times.of(values))}


def _first(times_s: Sequence[float], after_s: float, since_s: float) -> list[float]:
    later = [time for time in times_s if time >= after_s]
    return [min(later) - since_s] if later else []


def of_worker(marks: Sequence[Mark], done: Injected, *, wanted: Callable[[Mark], bool] = lambda _: True) -> list[float]:
    """Return, for each workflow that an injection hit, the time to its next mark: elsewhere, or after the end."""
    after: list[float] = []
    for workflow_id in done.hit:
        later = (
            mark.at_s
            for mark in marks
            if mark.workflow_id == workflow_id
            and mark.at_s > done.at_s
            and (mark.pid != done.pid or mark.at_s >= done.until_s)
            and wanted(mark)
        )
        first = min(later, default=None)
        if first is not None:
            after.append(first - done.at_s)
    return after
