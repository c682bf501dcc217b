"""Cancel, restart and delete at any moment of random programs: nothing runs, nothing is pending, no key is left."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.model.comparing import quiet
from tests.model.disturbing import NEVER, WHATS, WHENS, Disturbed, Moment
from tests.model.programs import Body, Program, draw, statements

if TYPE_CHECKING:
    from collections.abc import Iterable

WILD = 4
"""Of so many programs one may have children that outlive their parents."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A moment after which something is left."""

    seed: int
    moment: Moment
    found: str

    def __str__(self) -> str:
        lines = f"seed {self.seed}, write {self.moment}: {self.found}"
        chosen = f" --moment {self.moment}" if self.moment.number else ""
        return f"{lines}\nagain: scripts/model --moments --seed {self.seed}{chosen}"


@dataclass(slots=True)
class Tally:
    """What was tried."""

    programs: int = 0
    whole: int = 0
    """Programs of which every moment was tried."""
    writes: int = 0
    """Of those programs that were tried."""
    moments: int = 0
    whens: Counter[str] = field(default_factory=Counter[str])
    whats: Counter[str] = field(default_factory=Counter[str])

    def count(self, moment: Moment) -> None:
        """Count a moment that was tried."""
        self.moments += 1
        self.whens[moment.when] += 1
        self.whats[moment.what] += 1


def prepare(seed: int) -> Program:
    """Return the program of a seed; in three of four no child outlives its parent."""
    program = draw(seed)
    return program if seed % WILD == 0 else replace(program, body=_tamed(program.body))


def _tamed(body: Body) -> Body:
    for statement in statements(body):
        if statement.get("mode") == "detached":
            statement["mode"] = "left"
    return body


def run(seeds: Iterable[int], *, seconds: float, tally: Tally, moments_max: int | None = None) -> Leftover | None:
    """Try the moments of the programs of seeds, for so long; return the first after which something is left.

    ``moments_max``: of each program, drawn; None: all of them, in an order that is drawn.
    """
    until = time.monotonic() + seconds
    with quiet():
        for seed in seeds:
            if time.monotonic() > until:
                break
            program = prepare(seed)
            tally.programs += 1
            undisturbed = Disturbed(program, NEVER)
            if found := _play(undisturbed):
                return found
            tally.writes += undisturbed.writes
            moments = moments_of(seed, undisturbed.writes)
            for moment in moments[:moments_max]:
                if time.monotonic() > until:
                    return None
                if found := trial(program, moment):
                    return found
                tally.count(moment)
            tally.whole += moments_max is None or len(moments) <= moments_max
    return None


def moments_of(seed: int, writes: int) -> list[Moment]:
    """Return all moments of a program of so many writes, in an order that its seed gives."""
    moments = [Moment(number, when, what) for number in range(1, writes + 1) for when in WHENS for what in WHATS]
    random.Random(seed).shuffle(moments)
    return moments


def trial(program: Program, moment: Moment) -> Leftover | None:
    """Try one moment; return what is left."""
    return _play(Disturbed(program, moment))


def _play(performance: Disturbed) -> Leftover | None:
    try:
        performance.run()
    except AssertionError as error:
        found = str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be shown with its moment
        found = f"raised: {error!r}"
    else:
        return None
    return Leftover(performance.program.seed, performance.moment, found)
