"""Races replay as they happened: random programs with outcomes in random order, on warm, cold and shared copies."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.workflow import Instance
from tests.workflow.host import observed, replay
from tests.workflow.programs import Choices, draw_program, go_on, start

numbers = st.lists(st.integers(min_value=0, max_value=239), max_size=120)
relaxed = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(program=numbers, happenings=numbers)
def test_a_copy_replayed_at_every_event_shows_the_same(program: list[int], happenings: list[int]) -> None:
    host, choices = start(draw_program(Choices(program))), Choices(happenings)
    more = True
    while more:
        cold = host.rebuilt()
        try:
            assert observed(cold) == observed(host.instance)
        finally:
            cold.dispose()
        more = go_on(host, choices)
    host.instance.dispose()


@relaxed
@given(program=numbers, happenings=numbers, turns=st.lists(st.booleans(), max_size=60))
def test_two_copies_that_take_turns_show_the_same(program: list[int], happenings: list[int], turns: list[bool]) -> None:
    host, choices, order = start(draw_program(Choices(program))), Choices(happenings), iter(turns)
    copies = [Instance(workflow=host.workflow, workflow_id=host.workflow_id) for _ in range(2)]
    fed = [0, 0]
    more = True
    while more:
        who = int(next(order, False))
        for event in host.events[fed[who] :]:
            copies[who].feed(event)
        fed[who] = len(host.events)
        assert observed(copies[who]) == observed(host.instance)
        more = go_on(host, choices)
    for copy in [*copies, host.instance]:
        copy.dispose()


@relaxed
@given(program=numbers, happenings=numbers, at=st.integers(min_value=1, max_value=40))
def test_a_copy_that_replayed_up_to_somewhere_goes_on_alike(program: list[int], happenings: list[int], at: int) -> None:
    host, choices = start(draw_program(Choices(program))), Choices(happenings)
    cut = replay(host.workflow, host.workflow_id, host.events[:1], host.instance.commands) if at == 1 else None
    while go_on(host, choices):
        if cut is not None:
            cut.feed(host.events[-1])
        elif len(host.events) == at:
            cut = host.rebuilt()
    if cut is not None:
        assert observed(cut) == observed(host.instance)
        cut.dispose()
    host.instance.dispose()
