"""The oracle's steps: how long an attempt takes, how it ends, and whether another one follows."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from tests.model.oracle_code import Remote

if TYPE_CHECKING:
    from tests.model.oracle_life import Life
    from tests.model.oracle_told import Asked
    from tests.model.programs import Statement


def attempt(life: Life, asked: Asked, number: int) -> None:
    """Begin an attempt, unless the step is no longer wanted."""
    world, it, label = life.world, asked.it, asked.label
    if not life.wants(asked):
        return
    world.touch()
    world.runs[label] += 1
    run = world.runs[label]
    limit_ms = it.get("limit_ms", 0)
    if limit_ms and (it["hang"] or limit_ms < it["ms"]):
        world.at(world.now_ms + limit_ms, lambda: _failed(life, asked, number, "StepTimedOut"))
    elif run <= it.get("fail", 0):
        world.at(world.now_ms + it["ms"], lambda: _failed(life, asked, number, it["error"]))
    else:
        world.at(world.now_ms + it["ms"], lambda: _succeeded(life, asked, run))


def _succeeded(life: Life, asked: Asked, run: int) -> None:
    if life.wants(asked):
        if asked.it["kind"] == "mutation":
            life.world.mutations[asked.label] += 1
        life.outcome(asked, f"{asked.label}#{run}")


def _failed(life: Life, asked: Asked, number: int, error: str) -> None:
    if not life.wants(asked):
        return
    delay_ms = _delay_ms(asked.it, number, error)
    if delay_ms is None:
        late = error == "StepTimedOut"
        said = "" if late else f"told {asked.label}"
        kind, error_type = ("StepTimedOut", "TimeoutError") if late else ("StepFailed", error)
        life.outcome(asked, None, Remote(kind, error_type, said, number))
    else:
        life.world.touch()
        life.world.at(life.world.now_ms + delay_ms, lambda: attempt(life, asked, number + 1))


def _delay_ms(it: Statement, number: int, error: str) -> int | None:
    policy: dict[str, Any] = it["policy"] if it.get("policy", "once") != "once" else {"max": 1}
    if number >= policy["max"] or error == "NonRetryable":
        return None
    if any(_is(error, name) for name in policy.get("stop_on", ())):
        return None
    if error == "RetryAfter":
        return int(it["again_ms"])
    if "retry_on" in policy and not any(_is(error, name) for name in policy["retry_on"]):
        return None
    return int(min(policy["initial_ms"] * policy["base"] ** (number - 1), policy["max_ms"]))


def _is(error: str, name: str) -> bool:
    kind = getattr(builtins, error, Exception)
    return issubclass(kind, getattr(builtins, name))
