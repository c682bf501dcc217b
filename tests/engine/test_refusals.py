"""What a worker cannot do it leaves to others: briefly while one may be near, then ever longer, and never for good."""

from __future__ import annotations

from actors.servers.refusals import LONG_MS, QUICK_MS, REMEMBERED_MAX, ROUND, Refusals


def test_each_round_of_quick_refusals_ends_with_a_longer_time_up_to_a_bound() -> None:
    refusals = Refusals()
    for long_ms in (*LONG_MS, LONG_MS[-1], LONG_MS[-1]):
        delays = [refusals.delay_ms("a") for _ in range(ROUND)]
        assert delays == [QUICK_MS] * (ROUND - 1) + [long_ms]


def test_what_has_gone_on_meanwhile_is_refused_quickly_again() -> None:
    refusals = Refusals()
    for _ in range(ROUND):
        refusals.delay_ms("a")
    refusals.begin_anew("a")
    assert [refusals.delay_ms("a") for _ in range(ROUND - 2)] == [QUICK_MS] * (ROUND - 2)
    assert refusals.delay_ms("a") == LONG_MS[0]


def test_each_is_counted_for_itself_and_not_too_many_are_remembered() -> None:
    refusals = Refusals(long_ms=(7,))
    for _ in range(ROUND - 1):
        refusals.delay_ms("a")
    assert refusals.delay_ms("b") == QUICK_MS
    assert refusals.delay_ms("a") == 7
    for number in range(REMEMBERED_MAX):
        refusals.delay_ms(f"{number}")
    assert [refusals.delay_ms("a") for _ in range(ROUND - 1)] == [QUICK_MS] * (ROUND - 1)
