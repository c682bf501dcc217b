"""Random programs on the engine and in the oracle: outcome, attempts, mutations, values, events, replies are equal."""

from __future__ import annotations

import ast
import random
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors import RetryPolicy
from actors.workflow.commands import Commands
from kernel.store.instances import Instances
from tests.model.comparing import Tally, compare, quiet, run, shrink
from tests.model.oracle import foretell
from tests.model.programs import Happening, Program, Statement, draw, statements

if TYPE_CHECKING:
    from kernel import Event

FIXED = 60
"""Programs of the suite, the same every time."""
FRESH_S = 5.0


def plain(*body: Statement, script: tuple[Happening, ...] = ()) -> Program:
    return Program(seed=0, body=list(body), script=script)


def step(label: str, **fields: object) -> Statement:
    return {"do": "step", "label": label, "kind": "mutation", "ms": 100, **fields}


def test_the_oracle_shares_no_code_with_the_engine() -> None:
    """Followed through all that it imports of the tests."""
    seen, left = set[str](), ["oracle"]
    while left:
        name = left.pop()
        seen.add(name)
        tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text())
        for node in ast.walk(tree):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for module in named:
                assert module.split(".")[0] not in {"actors", "kernel"}, f"{name} imports {module}"
                if module.startswith("tests.model."):
                    left.append(module.rpartition(".")[2])
        left = [one for one in left if one not in seen]
    assert {"oracle", "oracle_life", "oracle_code", "oracle_loop", "oracle_steps", "observed"} <= seen


def test_programs_of_fixed_seeds_come_to_what_the_oracle_says() -> None:
    tally = Tally()
    found = run(range(FIXED), seconds=3_600, tally=tally)
    assert found is None, str(found)
    assert tally.discarded < FIXED // 5, "too many programs have two things on one ms"
    assert tally.programs + tally.discarded == FIXED
    assert min(tally.outcomes[outcome] for outcome in ("completed", "failed", "canceled")) > 0


def test_fresh_programs_come_to_what_the_oracle_says() -> None:
    first = random.randrange(1 << 40)
    print(f"scripts/model --seed {first} runs the first of these programs again")  # noqa: T201 - shown if it fails
    found = run(count(first), seconds=FRESH_S, tally=Tally())
    assert found is None, str(found)


def test_a_seed_gives_one_program_and_seeds_give_every_kind_of_statement() -> None:
    assert draw(5) == draw(5)
    kinds = {statement["do"] for seed in range(50) for statement in statements(draw(seed).body)}
    assert kinds == {
        *("step", "sleep", "event", "set", "raise", "anew"),
        *("gather", "group", "race", "timeout", "child", "try", "saga"),
    }


def test_two_things_on_one_ms_are_noticed() -> None:
    twins = {"do": "gather", "label": "g", "bodies": [[step("a")], [step("b")]], "whole": False}
    assert foretell(plain(twins), end_ms=1000).tied
    assert not foretell(plain(step("a"), step("b")), end_ms=1000).tied


def test_what_would_end_on_the_ms_on_which_it_is_taken_back_is_noticed() -> None:
    for asked_ms, tied in ((222, False), (223, True), (224, False)):
        asked = Happening(asked_ms, "update", "work", 1)  # its step takes 777 ms
        assert foretell(plain(step("a", ms=1000), script=(asked,)), end_ms=5000).tied is tied


def test_a_timer_that_is_overdue_at_a_restart_beside_a_step_is_noticed() -> None:
    """It fires now and takes the step back that is begun anew: before or after that has begun."""
    late = {"do": "timeout", "label": "t", "ms": 300, "body": [step("a", ms=200), step("b", ms=1000)]}
    canceled = Happening(250, "cancel")
    for restarted_ms, tied in ((270, False), (500, True)):
        script = (canceled, Happening(restarted_ms, "restart"))
        assert foretell(plain(late, script=script), end_ms=5000).tied is tied


def test_timers_that_are_overdue_at_a_restart_fire_in_the_order_in_which_they_were_due() -> None:
    later, sooner = ([{"do": "sleep", "label": f"z{ms}", "ms": ms}] for ms in (30_000, 20_000))
    child = {"do": "child", "label": "c", "mode": "await", "id": False, "body": [later[0] | {"ms": 100_000}]}
    race = {"do": "race", "label": "f", "waits": False, "bodies": [later, sooner, [step("a"), child]]}
    program = plain(race, script=(Happening(15_001, "cancel"), Happening(60_003, "restart")))
    assert foretell(program, end_ms=200_000).result == ["a#1", "z20000", ["f", 1]]
    with quiet():
        assert compare(program) == []


def nothing(*_args: object, **_options: object) -> None:
    """Stand in for what is not done."""


def notices(program: Program, what: str) -> None:
    with quiet():
        found = compare(program)
    assert found, "nothing was noticed"
    assert any(text.startswith(f"{what}:") for text in found), found


def test_an_engine_that_drops_a_retry_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = {"max": 3, "initial_ms": 50, "base": 1, "max_ms": 50}
    program = plain(step("a", fail=1, error="ValueError", policy=policy))
    with quiet():
        assert compare(program) == []
    monkeypatch.setattr(RetryPolicy, "decide", nothing)
    notices(program, "runs")


def test_an_engine_that_feeds_an_event_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Commands.deliver

    def twice(self: Commands, event: Event) -> None:
        once(self, event)
        once(self, event)

    told = next(one for seed in count() for one in draw(seed).script if one.do == "event" and not one.error)
    wait = {"do": "event", "label": "e", "name": told.name, "limit_ms": 0}
    program = plain(wait, wait | {"label": "f", "limit_ms": 200_000}, script=(told,))
    with quiet():
        assert compare(program) == []
    monkeypatch.setattr(Commands, "deliver", twice)
    notices(program, "status")


def test_an_engine_whose_losers_run_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    race = {"do": "race", "label": "f", "bodies": [[step("a")], [step("b", ms=300)]], "waits": False}
    program = plain(race, {"do": "sleep", "label": "z", "ms": 1_000})
    with quiet():
        assert compare(program) == []
    monkeypatch.setattr(Commands, "cancel", nothing)
    notices(program, "mutations")


def test_an_engine_that_forgets_that_an_event_was_sent_before_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Instances.append

    async def forgetful(self: Instances, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as append
        return await sound(self, *args, **{**kwargs, "dedupe": ""})

    told = next(one for seed in count() for one in draw(seed).script if one.do == "event" and one.id and not one.error)
    again = type(told)(told.at_ms + 7, "event", told.name, told.value, id=told.id)
    program = plain({"do": "sleep", "label": "z", "ms": 300_000}, script=(told, again))
    with quiet():
        assert compare(program) == []
    monkeypatch.setattr(Instances, "append", forgetful)
    notices(program, "untaken")


def test_what_differs_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "decide", nothing)
    with quiet():
        seed = next(seed for seed in range(200) if compare(draw(seed)))
        small = shrink(draw(seed))
    assert len(statements(small.program.body)) <= 2
    assert f"scripts/model --seed {seed}" in str(small)
