"""Focuses: mixes of work and faults, each of which gets workers into some kinds of trouble more often than others."""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple
from unittest import mock

import actors.servers.plan
import actors.servers.turner
import kernel.store.turns
from actors.testing.simulation import Fault, Faults, Run, Schedule, run
from tests.simulation.guards.guard import Edit, Guard, applied
from tests.simulation.guards.work import Work

if TYPE_CHECKING:
    from collections.abc import Generator

    from actors.testing.simulation.schedule import FaultKind

PARTS: Final = 2
"""Commands that one call carries out where decisions are to be large, in place of 200."""
SLUGGISH_FOR: Final = 60
"""Boundaries."""
_IN_PARTS: Final = (
    Edit("emit.lua", "emit(a, now, 200,", f"emit(a, now, {PARTS},"),
    Edit("fragments/turn.lua", "emit(a, now, 200,", f"emit(a, now, {PARTS},"),
)
_MODULES: Final = (kernel.store.turns, actors.servers.turner, actors.servers.plan)


class Focus(NamedTuple):
    """One mix."""

    what: str
    """For docs/guarantees.md."""
    plays: tuple[str, ...]
    """Workflows that are started; see ``Work``."""
    kinds: tuple[FaultKind, ...]
    """Faults that may come."""
    people: int = 4
    """How often somebody cancels or restarts."""
    most: int = 6
    """Faults of a run, at most."""
    workers: int = 3
    in_parts: bool = False
    """Whether decisions go to Redis in parts of two commands."""
    pauses: tuple[int, ...] = ()
    """How long workers stand still, ms, if not as schedules have it."""
    fast: bool = False
    """Whether wrong clocks are fast, never slow."""
    sluggish: int = 0
    """Ms that each of the first calls of the second worker takes; 0: it is as the others."""

    def draw(self, seed: int) -> Schedule:
        """Return the schedule of a seed."""
        drawn = Faults(self.kinds, most=self.most).draw(seed, workers=self.workers)
        faults = [
            replace(fault, amount=self.pauses[(seed + fault.at) % len(self.pauses)])
            if fault.kind == "pause" and self.pauses
            else fault
            for fault in drawn.faults
        ]
        if self.fast:
            faults = [replace(fault, amount=abs(fault.amount)) if fault.kind == "skew" else fault for fault in faults]
        if self.sluggish:
            faults += [Fault(2, at, "slow", self.sluggish) for at in range(1, SLUGGISH_FOR)]
        return replace(drawn, faults=tuple(sorted(set(faults))))

    def make(self, schedule: Schedule) -> Work:
        """Return the scenario of a schedule."""
        return Work(schedule, self.plays, people=self.people)


_REPLIES: Final = ("drop", "timeout", "late", "twice", "slow")
_LIVES: Final = ("crash-before", "crash-after", "pause", "cut")

FOCUSES: Final = {
    "mixed": Focus(
        "steps, timers, events, restarts; faults of each kind",
        ("chain", "race"),
        (*_REPLIES, *_LIVES, "regroup", "rollback"),
    ),
    "replies": Focus("steps; replies are lost, late or doubled", ("chain",), _REPLIES, people=1, most=10),
    "events": Focus(
        "events, by client and gateway; replies are lost, late or doubled",
        ("listen",),
        (*_REPLIES, "crash-after"),
        people=0,
        most=10,
    ),
    "restarts": Focus(
        "cancels and restarts; deaths and pauses", ("chain", "race"), (*_LIVES, "slow", "late"), people=10
    ),
    "families": Focus(
        "parents and children", ("parent", "named"), (*_REPLIES, *_LIVES, "slow", "late"), people=4, most=9
    ),
    "large decisions": Focus(
        "decisions that go in parts of two commands",
        ("waves", "race"),
        (*_REPLIES, *_LIVES, "rollback", "rollback", "rollback"),
        people=4,
        in_parts=True,
    ),
    "mutations": Focus("mutations of one counter", ("add", "add", "chain"), (*_REPLIES, *_LIVES), people=3),
    "zombies": Focus(
        "long steps; workers stand still, and calls take long",
        ("lasting",),
        ("pause", "pause", "slow"),
        people=0,
        most=9,
    ),
    "busy": Focus(
        "many short steps at once; replies are lost or late",
        ("busy",),
        ("drop", "late", "slow", "timeout"),
        people=0,
        most=12,
    ),
    "regroup": Focus(
        "steps; groups of streams are lost and made again",
        ("race", "chain"),
        ("regroup", "regroup", "slow", "pause"),
        people=1,
        most=9,
    ),
    "changes of mind": Focus(
        "steps that are canceled; failovers that lose writes",
        ("impatient", "impatient"),
        ("rollback",),
        people=0,
        most=12,
    ),
    "lost events": Focus(
        "steps on four workers; failovers that lose writes",
        ("chain", "chain", "chain"),
        ("rollback", "rollback", "drop"),
        people=0,
        most=14,
        workers=4,
    ),
    "close calls": Focus(
        "many steps; workers stand still for about as long as they may, and one is slow",
        ("busy",),
        ("pause",),
        people=0,
        most=9,
        pauses=(4800, 5300, 5800, 6300, 7500),
        sluggish=700,
    ),
    "late messages": Focus(
        "parents and children; workers stand still for long",
        ("parent", "parent"),
        ("pause",),
        people=0,
        most=9,
        pauses=(11_000, 15_000),
    ),
    "lost parts": Focus(
        "decisions that go in parts; failovers that lose writes",
        ("waves", "waves"),
        ("rollback", "rollback", "slow"),
        people=1,
        most=12,
        in_parts=True,
    ),
    "regrouped queues": Focus(
        "steps; groups of streams are lost and made again, and a worker is slow",
        ("busy",),
        ("regroup", "regroup", "pause"),
        people=0,
        most=9,
        sluggish=300,
    ),
    "outages": Focus("long steps; workers are cut off", ("lasting",), ("cut",), people=0, most=9),
    "deaths": Focus(
        "long steps; workers die", ("lasting", "chain"), ("crash-before", "crash-after"), people=0, most=12
    ),
    "forgetful nodes": Focus(
        "children on another node than their parents; one node fails over and loses writes, the others do not",
        ("distant", "distant"),
        ("failover", "failover", "slow"),
        people=0,
        most=12,
    ),
    "one worker": Focus(
        "steps of one worker; failovers that lose writes",
        ("chain", "chain"),
        ("rollback",),
        people=0,
        most=12,
        workers=1,
    ),
    "large payloads": Focus(
        "large outcomes; failovers that lose writes, of all or of one node",
        ("bulky", "bulky"),
        ("failover", "rollback", "slow"),
        people=0,
        most=12,
    ),
    "forgetful gateway": Focus(
        "events by client and gateway; failovers that lose writes", ("listen",), ("rollback", "slow"), people=0, most=12
    ),
    "ends": Focus(
        "instances at whose end something is called; restarts, deaths", ("told", "told"), (*_LIVES, "slow"), people=6
    ),
    "two versions": Focus(
        "steps that older workers do not know", ("novel",), ("old", "old", "slow", "pause"), people=0
    ),
    "mended code": Focus(
        "code that differs between workers", ("mended", "mended"), ("old", "old", "slow", "pause"), people=0
    ),
    "helpless": Focus("children that await what nobody can bring", ("helper",), (*_REPLIES, *_LIVES), people=0),
    "fast clocks": Focus(
        "sleeps; workers' clocks are fast", ("nap", "nap"), ("skew", "skew", "slow"), people=0, fast=True
    ),
    "wrong clocks": Focus("steps in a row; workers' clocks are wrong", ("watch", "watch"), ("skew", "skew"), people=0),
    "order": Focus(
        "code that goes on by the order in which steps end; deaths", ("order",), (*_LIVES, "slow"), people=0
    ),
    "restarted late": Focus(
        "instances that are restarted when their retention is about over",
        ("brief",) * 6,
        ("slow", "slow", "late"),
        people=0,
        most=12,
    ),
}


@contextmanager
def set_up(focus: Focus, guard: Guard | None) -> Generator[None]:
    """Change the code for a run: without a guard, and as the focus wants it."""
    edits = (*(guard.switch if guard else ()), *(_IN_PARTS if focus.in_parts else ()))
    with ExitStack() as stack:
        stack.enter_context(applied(edits) if edits else nullcontext())
        if focus.in_parts:
            for module in _MODULES:
                stack.enter_context(mock.patch.object(module, "CHUNK", PARTS))
        yield


def play(focus: Focus, schedule: Schedule, guard: Guard | None = None) -> Run:
    """Run a schedule, perhaps without a guard."""
    with set_up(focus, guard):
        gc.disable()  # what the dead leave is not to be found in the middle of a run
        try:
            return run(focus.make, schedule)
        finally:
            gc.enable()
