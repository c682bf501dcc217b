"""The oracle: what a program must come to, worked out without a line of the engine.

It is a discrete-event simulation on Python's own asyncio: every instance is a plain program on an event loop without
clock and I/O (``Loop``). A ``World`` holds what falls due when, and tells instances (``Life``) one thing at a time;
each then runs until it is idle, and what it has asked for by then is begun. No journal is replayed and nothing
crashes, except that a restart runs the program once more and tells it again what its life so far has in common with
the new one.

Where two things of different causes fall on one ms, what comes of it is not defined: ``World.tied``.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from tests.model.observed import Observed
from tests.model.oracle_life import Life
from tests.model.oracle_told import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.programs import Happening, Program

HAPPENINGS_MAX = 20_000
"""A world that has more of them is a bug of the oracle."""


@dataclass(order=True)
class _Due:
    at_ms: int
    due_ms: int
    """Earlier, of what is overdue: that happens in the order in which it was due."""
    number: int
    cause: int = field(compare=False)
    act: Callable[[], None] = field(compare=False)


class World:
    """Time, what falls due, and everything that lives."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.runs: Counter[str] = Counter()
        """Attempts begun, by label."""
        self.mutations: Counter[str] = Counter()
        """Mutations committed, by label."""
        self.lives: dict[str, Life] = {}
        """By id; what was cleaned up is not there."""
        self.all_lives: list[Life] = []
        self.tied = False
        self._due: list[_Due] = []
        self._number = count().__next__
        self.draw = count(1).__next__
        """Draws a number for a name."""
        self._cause = 0
        self._causes: dict[int, int] = {}
        """The first cause at each ms."""

    def at(self, at_ms: int, act: Callable[[], None]) -> None:
        """Let something happen: at once it belongs to what happens now, later it is a cause of its own."""
        number = self._number()
        cause = self._cause if at_ms <= self.now_ms else number
        heapq.heappush(self._due, _Due(max(at_ms, self.now_ms), at_ms, number, cause, act))

    def run(self, until_ms: int) -> None:
        """Let happen what falls due up to a time."""
        for _ in range(HAPPENINGS_MAX):
            if not self._due or self._due[0].at_ms > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                return
            due = heapq.heappop(self._due)
            self.now_ms, self._cause = due.at_ms, due.cause
            due.act()
        raise AssertionError("the oracle never comes to an end")

    def touch(self) -> None:
        """Something that matters happens now: it must be the consequence of one thing."""
        if self._causes.setdefault(self.now_ms, self._cause) != self._cause:
            self.tied = True


class Oracle:
    """Plays one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.world = World()
        self.replies: list[Reply] = []

    def play(self, end_ms: int) -> Observed:
        """Return what must be seen at the end; ``tied`` if that is not defined."""
        world = self.world
        life = Life(world, "main", self.program.body, timeout_ms=self.program.timeout_ms)
        life.create(0)
        for happening in self.program.script:
            world.at(happening.at_ms, partial(self._do, life, happening))
        world.run(end_ms)
        for one in world.all_lives:
            one.dispose()
        return Observed(
            status=life.status if life.status in {"completed", "failed", "canceled"} else "in_progress",
            result=list(life.result[:2]) if life.status == "failed" else life.result,
            runs=dict(world.runs),
            mutations=dict(world.mutations),
            values=dict(life.values),
            untaken=sorted(told.value for told in life.untaken()),
            replies=[reply.said for reply in self.replies],
            tied=world.tied,
        )

    def _do(self, life: Life, happening: Happening) -> None:
        self.world.touch()
        match happening.do:
            case "event":
                life.send(happening.name, happening.value, error=happening.error, key=happening.id)
            case "update":
                self.replies.append(Reply())
                life.update(happening.name, happening.value, self.replies[-1])
            case "cancel":
                life.cancel(cleanup=happening.how == "cleanup")
            case "restart":
                life.restart(happening.name)


def foretell(program: Program, *, end_ms: int) -> Observed:
    """Return what a program comes to by ``end_ms`` of virtual time."""
    return Oracle(program).play(end_ms)
