"""What is injected when: from a seed alone, and every kind in its turn."""

from __future__ import annotations

import pytest

from tests.chaos.schedule import KINDS, PLACES, UnknownKind, plan


@pytest.mark.parametrize("place", PLACES)
def test_a_seed_gives_the_same_schedule_each_time_and_another_seed_another(place: str) -> None:
    first = plan(7, place=place, seconds=120)
    assert first == plan(7, place=place, seconds=120)
    assert first != plan(8, place=place, seconds=120)


@pytest.mark.parametrize("place", PLACES)
def test_two_minutes_have_every_kind_in_order_and_end_before_the_load_does(place: str) -> None:
    planned = plan(1, place=place, seconds=120)
    assert {one.kind for one in planned} == set(KINDS[place])
    times = [one.at_s for one in planned]
    assert times == sorted(times)
    assert times[-1] < 120


def test_only_what_is_asked_for_is_injected() -> None:
    assert {one.kind for one in plan(1, place="always", seconds=60, only=("kill", "restart"))} == {"kill", "restart"}
    assert plan(1, place="cluster", seconds=60, only=("disk",)) == []


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UnknownKind, match="earthquake: there are disk, exit"):
        plan(1, place="everysec", seconds=60, only=("earthquake",))
