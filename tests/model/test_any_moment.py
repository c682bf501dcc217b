"""Cancel, restart and cleanup at any write of random programs: nothing runs, nothing is pending, no key is left."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from actors.servers.hands import Hands
from tests.model import disturbing
from tests.model.comparing import quiet
from tests.model.disturbing import NEVER, WHATS, WHENS, Disturbed, Moment
from tests.model.moments import Tally, moments_of, run, trial
from tests.model.programs import Program, Statement

if TYPE_CHECKING:
    from kernel.store.steps import Held

FIXED = 40
"""Programs of the suite, the same every time."""
MOMENTS_MAX = 3
"""Of each program of the suite."""
FRESH_S = 6.0


def work(label: str) -> Statement:
    return {"do": "step", "label": label, "kind": "action", "ms": 60_000}


SHORT = Program(seed=1, body=[work("a")], script=())


def writes_of(program: Program) -> int:
    undisturbed = Disturbed(program, NEVER)
    undisturbed.run()
    return undisturbed.writes


def test_after_moments_of_fixed_seeds_nothing_is_left() -> None:
    tally = Tally()
    found = run(range(FIXED), seconds=3_600, tally=tally, moments_max=MOMENTS_MAX)
    assert found is None, str(found)
    assert tally.moments == FIXED * MOMENTS_MAX
    assert set(tally.whens) == set(WHENS)
    assert set(tally.whats) == set(WHATS)


def test_after_fresh_moments_nothing_is_left() -> None:
    found = run(count(random.randrange(1 << 40)), seconds=FRESH_S, tally=Tally(), moments_max=MOMENTS_MAX)
    assert found is None, str(found)


def test_every_moment_of_a_program_is_tried() -> None:
    moments = moments_of(5, 3)
    assert set(moments) == {Moment(n, when, what) for n in (1, 2, 3) for when in WHENS for what in WHATS}
    assert moments == moments_of(5, 3)
    assert all(Moment.read(str(moment)) == moment for moment in moments)


def test_a_key_that_does_not_expire_in_time_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tombstone of the root, for one: the Redis of the tester lives on virtual time."""
    with quiet():
        assert trial(SHORT, NEVER) is None
    monkeypatch.setattr(disturbing, "AFTER_S", 3_000)
    with quiet():
        found = trial(SHORT, NEVER)
    assert "these keys are left: ['wf:main']" in str(found)


def test_a_step_that_goes_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with quiet():
        canceled = [Moment(number, "after", "cancel-delete") for number in range(1, writes_of(SHORT) + 1)]
        assert [trial(SHORT, moment) for moment in canceled] == [None] * len(canceled)

    def deaf(_hands: Hands, _held: Held) -> bool:
        return False

    monkeypatch.setattr(Hands, "revoke", deaf)
    with quiet():
        found = [text for moment in canceled if (text := str(trial(SHORT, moment) or ""))]
    assert any("steps whose code runs" in text for text in found), found
