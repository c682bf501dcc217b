"""Each guard is needed: without it the schedule that is stored for it fails, with it the same schedule passes."""

from __future__ import annotations

import pytest

from actors.testing.simulation import Schedule
from tests.simulation.guards.all import GUARDS
from tests.simulation.guards.focus import FOCUSES, play
from tests.simulation.guards.found import DOCUMENT, Found, load, table
from tests.simulation.guards.guard import Disarmed, Edit, Guard, applied
from tests.simulation.guards.traces import TRACES

FOUND = load()
SCHEDULES = sorted({(guard.focus, FOUND[guard.name].schedule) for guard in GUARDS if guard.name in FOUND})
DRIFTED = "the code has changed since the schedules were stored; search anew: scripts/soak --guards {}"


def found(guard: Guard) -> Found:
    assert guard.name in FOUND, f"nothing is stored for it: scripts/soak --guards {guard.name!r}"
    return FOUND[guard.name]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_simulator_sees_that_a_guard_is_missing(guard: Guard) -> None:
    focus, schedule = FOCUSES[guard.focus], Schedule.parse(found(guard).schedule)
    assert play(focus, schedule, guard).error is not None, DRIFTED.format(repr(guard.name))


@pytest.mark.parametrize(("focus", "schedule"), SCHEDULES)
def test_with_all_guards_in_place_the_same_schedule_passes(focus: str, schedule: str) -> None:
    error = play(FOCUSES[focus], Schedule.parse(schedule)).error
    if error is not None:
        raise error


def test_there_are_enough_and_each_answers_a_trace_that_is_told() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS) >= 20
    assert {guard.trace for guard in GUARDS} <= set(TRACES)


def test_the_table_in_the_document_says_what_is_stored() -> None:
    rows = [found(guard) for guard in GUARDS]
    assert table(rows) in DOCUMENT.read_text(encoding="utf-8"), "write it anew: scripts/soak --guards"


@pytest.mark.parametrize(
    "edit",
    [
        Edit("begin.lua", "this is not there", ""),
        Edit("begin.lua", "drop()", ""),
        Edit("actors.servers.hands:Hands.take", "not there either", ""),
    ],
)
def test_a_switch_that_no_longer_fits_fails_loudly(edit: Edit) -> None:
    with pytest.raises(Disarmed, match="write the switch anew"), applied((edit,)):
        pass
