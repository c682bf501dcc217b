"""Schedules: what goes wrong in a run, as data. The same schedule gives the same run; its text can be written down.

A schedule is a seed, from which the delays, nonces and jitter come, and a list of faults. Its text is a line such as
``seed=7 workers=3 w1@12:crash-after=800 w2@5:pause=9000``: the worker process (from 1, in the order in which they are
hired), the number of the boundary to Redis that it has come to (from 1), what happens there, and how much of it.
``seed=7 workers=3 nodes=2 w1@12:failover=8/n1`` is one on a Cluster, of which node 1 forgets its last writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, Literal, cast, get_args

from actors.errors import InvalidOption

FaultKind = Literal[
    "crash-before",
    "crash-after",
    "drop",
    "timeout",
    "late",
    "twice",
    "slow",
    "pause",
    "cut",
    "skew",
    "rollback",
    "failover",
    "regroup",
    "old",
]
"""What can go wrong at a boundary, with the unit of ``amount``:

- crash-before, crash-after: the worker is killed before or after the call takes effect; ms until another is hired.
- drop: the call takes effect, its reply is lost: a connection error at once.
- timeout: the same, but the worker waits for the reply in vain, as long as it waits for any; unused.
- late: a connection error at once, but the call is still on its way: it takes effect so many ms later.
- twice: the call takes effect twice, one right after the other; unused.
- slow: the call, or its reply, takes so many ms.
- pause: all of the worker stands still for so many ms, then goes on with what it had in mind.
- cut: all its connections fail for so many ms.
- skew: its clock of the day goes wrong by so many ms, negative ones too.
- rollback: the server's state now is kept, and comes back after so many further writes of anybody.
- failover: the same of one node of a Cluster alone, ``Fault.node``; the others keep what they have.
- regroup: the consumer groups are lost and made again from the first entry; unused.
- old: the worker runs the old code (at boundary 0), unless all others at work do, since then some work would never end;
  unused.
"""
KINDS: Final = cast("tuple[FaultKind, ...]", get_args(FaultKind))
_AMOUNTS: Final[dict[FaultKind, tuple[int, ...]]] = {
    "crash-before": (1, 300, 3_000),
    "crash-after": (1, 300, 3_000),
    "late": (5, 60, 700, 2_500),
    "slow": (50, 900, 3_000, 4_500),
    "pause": (900, 4_000, 7_500, 14_000),
    "cut": (200, 2_000, 7_000),
    "skew": (-5_000, -700, 700, 5_000),
    "rollback": (1, 3, 8, 25),
    "failover": (1, 3, 8, 25),
}
NODES: Final = 2
"""Of the Cluster that a schedule with a failover runs on."""
_ONE_NODE: Final = 0.9
"""The share of the other schedules that run on one server."""
BOUNDARIES_MAX: Final = (6, 25, 80)
"""Faults fall on one of the first so many boundaries of a worker; most soon, so that short runs see them too."""

_FAULT: Final = re.compile(r"w(\d+)@(\d+):([a-z-]+)(?:=(-?\d+))?(?:/n(\d+))?")
_SETTING: Final = re.compile(r"(seed|workers|nodes)=(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that goes wrong."""

    worker: int
    """Process, from 1 in the order in which they are hired."""
    at: int
    """Number of its boundary, from 1; 0: from the start."""
    kind: FaultKind
    amount: int = 0
    """See ``FaultKind``."""
    node: int = 0
    """Of a failover: the node. 0: that of heartbeats and of the gateway's messages; from 1: those of partitions."""

    def __str__(self) -> str:
        """Write it as in a schedule's text."""
        where = f"/n{self.node}" if self.kind == "failover" else ""
        return f"w{self.worker}@{self.at}:{self.kind}" + (f"={self.amount}" if self.amount else "") + where

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read what ``str`` wrote. Raises InvalidOption."""
        found = _FAULT.fullmatch(text)
        kind: FaultKind | None = next((kind for kind in KINDS if found and kind == found[3]), None)
        if found is None or kind is None:
            raise InvalidOption(
                f"{text!r} is no fault: write w<worker>@<boundary>:<kind>=<amount>, and /n<node> behind a failover; "
                f"kind one of {KINDS}"
            )
        return cls(int(found[1]), int(found[2]), kind, int(found[4] or 0), int(found[5] or 0))


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults a seed may draw, and how many."""

    kinds: tuple[FaultKind, ...] = KINDS
    """Those that may come; name one twice and it comes twice as often."""
    most: int = 7
    """At most so many in a run."""
    delays: bool = True
    """Whether calls take time that differs, so that workers get in each other's way."""

    def __post_init__(self) -> None:
        """Refuse what is no kind. Raises InvalidOption."""
        for kind in self.kinds:
            if kind not in KINDS:
                raise InvalidOption(f"kinds has {kind!r}: give some of {', '.join(KINDS)}")

    def draw(self, seed: int, *, workers: int) -> Schedule:
        """Return the schedule of a seed."""
        random = Random(seed)  # noqa: S311 - a schedule, not a secret
        drawn: list[Fault] = []
        for _ in range(random.randint(0, self.most) if self.kinds else 0):
            kind = random.choice(self.kinds)
            worker = random.randint(1, workers + 2)
            at = 0 if kind == "old" else random.randint(1, random.choice(BOUNDARIES_MAX))
            amount = random.choice(_AMOUNTS.get(kind, (0,)))
            drawn.append(Fault(worker, at, kind, amount, random.randint(0, NODES) if kind == "failover" else 0))
        on_one = "failover" not in self.kinds or random.random() < _ONE_NODE
        nodes = 1 if on_one and all(fault.kind != "failover" for fault in drawn) else NODES
        return Schedule(seed, workers, tuple(sorted(set(drawn))), delays=self.delays, nodes=nodes)


NO_FAULTS: Final = Faults(kinds=())


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that makes one run differ from another."""

    seed: int
    workers: int = 3
    """Worker processes at a time."""
    faults: tuple[Fault, ...] = ()
    delays: bool = field(default=True, kw_only=True)
    nodes: int = field(default=1, kw_only=True)
    """1: one server. More: a Cluster over whose nodes the partitions are spread; what is in no partition lies on
    another one, number 0. A manager that does not state its partitions has as many."""

    def __post_init__(self) -> None:
        """Refuse failovers of nodes that are not there. Raises InvalidOption."""
        for fault in self.faults:
            if fault.kind == "failover" and (self.nodes < 2 or fault.node > self.nodes):  # noqa: PLR2004 - a Cluster
                raise InvalidOption(
                    f"{fault}: there are {self.nodes} nodes of partitions; give nodes=2 or more, and one from /n0 to "
                    "the last of them"
                )

    def __str__(self) -> str:
        """Write it down; ``parse`` reads it."""
        cluster = [f"nodes={self.nodes}"] if self.nodes != 1 else []
        parts = [f"seed={self.seed}", f"workers={self.workers}", *cluster, *map(str, self.faults)]
        return " ".join(parts if self.delays else [*parts, "prompt"])

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read what ``str`` wrote. Raises InvalidOption: with what is wrong."""
        settings, faults, delays = {"seed": 0, "workers": 3, "nodes": 1}, list[Fault](), True
        for word in text.split():
            if found := _SETTING.fullmatch(word):
                settings[found[1]] = int(found[2])
            elif word == "prompt":
                delays = False
            else:
                faults.append(Fault.parse(word))
        ordered = tuple(sorted(faults))
        return cls(settings["seed"], settings["workers"], ordered, delays=delays, nodes=max(settings["nodes"], 1))

    def without(self, *faults: Fault) -> Schedule:
        """Return it with fewer faults."""
        return replace(self, faults=tuple(fault for fault in self.faults if fault not in faults))
