"""How often a step that kills its worker may have been started: the oracle allows for deaths that it shared, alone."""

from __future__ import annotations

import pytest

from tests.chaos.crew import Death
from tests.chaos.oracle import starts_of_toxic
from tests.chaos.trace import Mark

OWN = [Death(11, 2.0, "toxic"), Death(12, 4.0, "toxic")]
"""Of a step that was asked for at 1 s and last started at 5 s."""


def begun(*pids: int) -> list[Mark]:
    """Return the starts of a step, the last at 5 s."""
    return [Mark("begun", "exit", "exit-1", 1, 1, pid, 5.0 - i) for i, pid in enumerate(reversed(pids))]


@pytest.mark.parametrize(
    ("other", "allowed"),
    [
        (Death(13, 3.0, "toxic"), {2, 3}),
        (Death(13, 3.0, "kill"), {3}),
        (Death(13, 3.0, "no server"), {3}),
        (Death(13, 0.5, "toxic"), {3}),
        (Death(13, 5.5, "toxic"), {3}),
    ],
)
def test_only_a_worker_that_another_toxic_step_took_down_meanwhile_makes_up_for_a_start(
    other: Death, allowed: set[int]
) -> None:
    assert set(starts_of_toxic(begun(11, 12), [*OWN, other], asked_s=1.0)) == allowed


def test_three_starts_are_asked_of_a_step_that_was_the_only_one_and_never_more() -> None:
    assert set(starts_of_toxic(begun(11, 12), OWN, asked_s=1.0)) == {3}
    many = [Death(20 + i, 3.0, "toxic") for i in range(9)]
    assert set(starts_of_toxic(begun(11), [*OWN, *many], asked_s=1.0)) == {1, 2, 3}
