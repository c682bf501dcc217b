"""Programs on the engine beside the oracle: one after another, what differs made small, and a tally."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from tests.model.oracle import foretell
from tests.model.player import Performance
from tests.model.programs import BODIES, Body, Program, draw, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

END_MS: Final = 86_400_000
"""How long a program is given, in virtual time; all that it can do takes far less."""
TRIES_MAX: Final = 300
"""Programs run to make one that differs smaller."""


@dataclass(slots=True)
class Difference:
    """A program of which the engine and the oracle think differently."""

    program: Program
    found: list[str]

    def __str__(self) -> str:
        script = [{key: value for key, value in asdict(one).items() if value} for one in self.program.script]
        lines = [f"seed {self.program.seed}: the engine and the oracle differ; the smallest program that shows it:"]
        lines += [json.dumps(self.program.body), json.dumps(script), f"timeout_ms {self.program.timeout_ms}"]
        return "\n".join([*lines, *self.found, f"again: scripts/model --seed {self.program.seed}"])


@dataclass(slots=True)
class Tally:
    """What was tried."""

    programs: int = 0
    discarded: int = 0
    """Programs in which two things fell on one ms: their outcome is not defined."""
    attempts: int = 0
    mutations: int = 0
    statements: Counter[str] = field(default_factory=Counter[str])
    script: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])


@contextmanager
def quiet() -> Generator[None]:
    """Log nothing: programs fail on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    configured = structlog.is_configured()
    if not configured:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        logging.disable(before)
        if not configured:
            structlog.reset_defaults()


def compare(program: Program, tally: Tally | None = None) -> list[str] | None:
    """Return the differences between oracle and engine; None: the program's outcome is not defined."""
    tally = tally or Tally()
    foretold = foretell(program, end_ms=END_MS)
    if foretold.tied:
        tally.discarded += 1
        return None
    seen = Performance(program).play(END_MS)
    tally.programs += 1
    tally.attempts += sum(seen.runs.values())
    tally.mutations += sum(seen.mutations.values())
    tally.statements.update(one["do"] if one["do"] != "step" else one["kind"] for one in statements(program.body))
    tally.script.update(f"{one.do} {one.how}".strip() for one in program.script)
    tally.outcomes[seen.status] += 1
    return foretold.differences(seen)


def run(seeds: Iterable[int], *, seconds: float, tally: Tally) -> Difference | None:
    """Compare the programs of seeds, for so long; return the first that differs, made small."""
    until = time.monotonic() + seconds
    with quiet():
        for seed in seeds:
            if time.monotonic() > until:
                break
            program = draw(seed)
            if compare(program, tally):
                return shrink(program)
    return None


def shrink(program: Program, differs: Callable[[Program], list[str] | None] = compare) -> Difference:
    """Drop what can be dropped without the difference going away."""
    found = differs(program) or []
    tries = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(program):
            tries += 1
            if tries > TRIES_MAX:
                return Difference(program, found)
            if still := _differs(candidate, differs):
                program, found, smaller = candidate, still, True
                break
    return Difference(program, found)


def _differs(program: Program, differs: Callable[[Program], list[str] | None]) -> list[str] | None:
    try:
        return differs(program)
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be shown for the smallest program
        return [f"raised: {error!r}"]


def _smaller(program: Program) -> Generator[Program]:
    for n in range(len(program.script)):
        yield replace(program, script=program.script[:n] + program.script[n + 1 :])
    if program.timeout_ms:
        yield replace(program, timeout_ms=0)
    for body in _smaller_bodies(program.body):
        yield replace(program, body=body)


def _smaller_bodies(body: Body) -> Generator[Body]:
    for n, statement in enumerate(body):
        before, after = body[:n], body[n + 1 :]
        yield [*before, *after]
        for key in BODIES:
            nested: Any = statement.get(key)
            if nested is None:
                continue
            for inner in nested if key == "bodies" else [nested]:
                if key != "handler" and statement["do"] != "child":
                    yield [*before, *inner, *after]
            if statement["do"] == "saga":
                continue  # each of its statements has an undo
            for less in _smaller_nested(key, nested):
                yield [*before, {**statement, key: less}, *after]


def _smaller_nested(key: str, nested: list[Any]) -> Generator[Any]:
    if key != "bodies":
        yield from _smaller_bodies(nested)
        return
    for n, inner in enumerate(nested):
        if len(nested) > 1:
            yield [*nested[:n], *nested[n + 1 :]]
        for less in _smaller_bodies(inner):
            yield [*nested[:n], less, *nested[n + 1 :]]
