"""Random programs as data: trees of what workflow code can ask for, and a script of what is done to it from outside.

It knows neither the engine nor the oracle. A statement is a dict with the key ``do``; durations are whole ms, each
drawn once, so that no two things fall on one ms (the oracle notices where sums of them still do). A *label* names a
statement; ``fail`` counts runs of a label over the whole program, restarts included.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final, Literal

Statement = dict[str, Any]
Body = list[Statement]

BODIES: Final = ("body", "bodies", "handler", "final")
"""Keys of statements under which further ones are."""
GENERATIONS_MAX: Final = 2
"""How often a program begins anew."""
CHILD: Final = "program"
"""The label of every child: the name of the workflow."""
ERRORS: Final = ("ValueError", "IndexError", "OSError", "NonRetryable", "RetryAfter")
DURATION_MS_MAX: Final = 30_000
SCRIPT_MS_MAX: Final = 120_000


@dataclass(frozen=True, slots=True)
class Happening:
    """Something done from outside at a moment of virtual time."""

    at_ms: int
    do: Literal["event", "update", "cancel", "restart"]
    name: str = ""
    """Of the event or update; of a restart: the label to restart from, empty: none is said."""
    value: Any = None
    error: bool = False
    """``event``: sent as an error."""
    id: str = ""
    """``event``: the same id is the same event."""
    how: str = ""
    """``cancel``: "cleanup", or empty. ``restart``: "name", "number", or empty."""


@dataclass(frozen=True, slots=True)
class Program:
    """What one run is about."""

    seed: int
    body: Body
    script: tuple[Happening, ...]
    timeout_ms: int = 0
    """Of the whole workflow; 0: none."""


class Author:
    """Draws a program."""

    def __init__(self, seed: int) -> None:
        """``seed``: the same one gives the same program."""
        self._seed = seed
        self._random = random.Random(seed)
        self._labels = 0
        self._drawn: set[int] = set()
        self._left = self._random.randint(4, 24)
        """Statements that may still be drawn."""
        self.labels: list[str] = []

    def write(self) -> Program:
        """Return the program."""
        rng = self._random
        body = self._body(depth=4, at_least=2)
        script = tuple(sorted((self._happening() for _ in range(rng.randint(0, 7))), key=lambda one: one.at_ms))
        timeout_ms = self._ms(SCRIPT_MS_MAX) if rng.random() < 0.06 else 0
        return Program(self._seed, body, script, timeout_ms)

    # ------------------------------------------------------------------------------------------------- from outside

    def _happening(self) -> Happening:
        rng, at_ms = self._random, self._ms(SCRIPT_MS_MAX)
        match rng.choice(("event",) * 5 + ("update", "update", "cancel", "cleanup") + ("restart",) * 4):
            case "event":
                name, again = rng.choice("pq"), rng.choice(("", "", "one", "two"))
                return Happening(at_ms, "event", name, at_ms, error=rng.random() < 0.15, id=again)
            case "update":
                return Happening(at_ms, "update", rng.choice(("count", "work")), at_ms)
            case "cancel":
                return Happening(at_ms, "cancel")
            case "cleanup":
                return Happening(at_ms, "cancel", how="cleanup")
            case _:
                label = rng.choice(self.labels) if self.labels and rng.random() < 0.6 else ""
                return Happening(at_ms, "restart", label, how=rng.choice(("name", "number")) if label else "")

    # ------------------------------------------------------------------------------------------------------ parts

    def _ms(self, most: int = DURATION_MS_MAX) -> int:
        while (drawn := self._random.randint(2, most)) in self._drawn:
            pass
        self._drawn.add(drawn)
        return drawn

    def _label(self, prefix: str) -> str:
        self._labels += 1
        return f"{prefix}{self._labels}"

    def _body(self, *, depth: int, at_least: int = 1) -> Body:
        body = [self._statement(depth)]
        while (len(body) < at_least or self._random.random() < 0.5) and self._left > 0:
            body.append(self._statement(depth))
        return body

    def _statement(self, depth: int) -> Statement:
        rng = self._random
        self._left -= 1
        if depth and self._left > 0 and rng.random() < 0.55:
            nested = (self._gather, self._group, self._race, self._timeout, self._child, self._try, self._saga)
            return rng.choice(nested)(depth - 1)
        plain = (self._step,) * 8 + (self._sleep, self._event, self._event, self._set, self._raise, self._anew)
        return rng.choice(plain)()

    def _step(self) -> Statement:
        rng = self._random
        label = self._label("s")
        self.labels.append(label)
        step: Statement = {"do": "step", "label": label, "kind": rng.choice(("query", "mutation", "action", "action"))}
        step["ms"] = self._ms()
        if rng.random() < 0.4:
            step |= {"fail": rng.randint(1, 4), "error": rng.choice(ERRORS), "again_ms": self._ms()}
        chance = rng.random()
        if chance < 0.4:
            step["policy"] = self._policy()
        elif chance < 0.5:
            step["policy"] = "once"
        if rng.random() < 0.15:
            step |= {"limit_ms": self._ms(), "hang": rng.random() < 0.5}
        elif rng.random() < 0.05:
            step["unserved_ms"] = self._ms()
        elif step["kind"] != "action" and rng.random() < 0.3:
            step["inline"] = True
        if rng.random() < 0.08:
            step["after_ms"] = self._ms()
        return step

    def _policy(self) -> dict[str, Any]:
        rng = self._random
        policy: dict[str, Any] = {
            "max": rng.randint(1, 4),
            "initial_ms": self._ms(4_000),
            "base": rng.choice((1, 2, 3)),
        }
        policy["max_ms"] = rng.choice((5_003, 3_600_000))
        if rng.random() < 0.25:
            policy[rng.choice(("stop_on", "retry_on"))] = [rng.choice(("ValueError", "LookupError", "OSError"))]
        return policy

    def _sleep(self) -> Statement:
        return {"do": "sleep", "label": self._label("z"), "ms": self._ms()}

    def _event(self) -> Statement:
        limit = self._ms() if self._random.random() < 0.7 else 0
        return {"do": "event", "label": self._label("e"), "name": self._random.choice("pq"), "limit_ms": limit}

    def _set(self) -> Statement:
        return {"do": "set", "label": self._label("v"), "name": self._random.choice("xy")}

    def _raise(self) -> Statement:
        error = self._random.choice(("ValueError", "IndexError", "OSError"))
        return {"do": "raise", "label": self._label("r"), "error": error}

    def _anew(self) -> Statement:
        return {"do": "anew", "label": self._label("a")} if self._random.random() < 0.5 else self._step()

    # ----------------------------------------------------------------------------------------------------- nested

    def _bodies(self, depth: int) -> list[Body]:
        return [self._body(depth=depth) for _ in range(self._random.randint(2, 3))]

    def _gather(self, depth: int) -> Statement:
        whole = self._random.random() < 0.4
        return {"do": "gather", "label": self._label("g"), "bodies": self._bodies(depth), "whole": whole}

    def _group(self, depth: int) -> Statement:
        return {"do": "group", "label": self._label("t"), "bodies": self._bodies(depth)}

    def _race(self, depth: int) -> Statement:
        waits = self._random.random() < 0.5
        return {"do": "race", "label": self._label("f"), "bodies": self._bodies(depth), "waits": waits}

    def _timeout(self, depth: int) -> Statement:
        return {"do": "timeout", "label": self._label("l"), "ms": self._ms(), "body": self._body(depth=depth)}

    def _child(self, depth: int) -> Statement:
        rng = self._random
        body = [self._sleep(), *self._body(depth=depth)]
        mode = rng.choice(("await", "await", "await", "left", "detached"))
        child: Statement = {"do": "child", "label": self._label("c"), "mode": mode, "body": body}
        self.labels.append(CHILD)
        child["id"] = rng.random() < 0.3
        if rng.random() < 0.1:
            child["after_ms"] = self._ms()
        if rng.random() < 0.1:
            child["limit_ms"] = self._ms()
        return child

    def _try(self, depth: int) -> Statement:
        guarded: Statement = {"do": "try", "label": self._label("h"), "body": self._body(depth=depth)}
        if self._random.random() < 0.8:
            guarded["handler"] = self._body(depth=0) if self._random.random() < 0.5 else []
        if "handler" not in guarded or self._random.random() < 0.4:
            guarded["final"] = self._body(depth=0)
        return guarded

    def _saga(self, depth: int) -> Statement:
        items = self._body(depth=depth, at_least=2)
        undos = [self._step() | {"kind": self._random.choice(("mutation", "action"))} for _ in items]
        for undo in undos:
            undo.pop("inline", None)
        return {"do": "saga", "label": self._label("u"), "body": items, "undos": undos}


def draw(seed: int) -> Program:
    """Return the program of a seed."""
    return Author(seed).write()


def statements(body: Body) -> list[Statement]:
    """Return every statement of a body, the nested ones included."""
    found: list[Statement] = []
    for statement in body:
        found.append(statement)
        for key in BODIES:
            nested: Any = statement.get(key, [])
            for inner in nested if key == "bodies" else [nested]:
                found += statements(inner)
        found += statement.get("undos", [])
    return found
