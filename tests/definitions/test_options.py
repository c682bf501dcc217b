from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.errors import InvalidOption
from actors.options import duration_ms, time_ms
from actors.policy import RetryPolicy
from actors.registry import Registry
from actors.transaction import Transaction
from actors.workflow.step import Step

registry = Registry()


@registry.action
async def charge(cents: int) -> int:
    return cents


@registry.query
async def load(tx: Transaction) -> None:
    pass


@registry.workflow
async def checkout(step: Step, cart: str) -> str:
    return cart


def test_durations_are_timedeltas_or_seconds() -> None:
    assert charge.with_options(timeout=1.5).options.timeout_ms == 1500
    assert charge.with_options(timeout=timedelta(minutes=2)).options.timeout_ms == 120_000
    assert duration_ms("d", 0.0001) == 1


def test_a_time_that_is_exact_in_milliseconds_stays_so() -> None:
    assert duration_ms("d", 0.29) == 290
    assert time_ms("t", datetime(2030, 1, 1, 0, 0, 0, 290_000, tzinfo=UTC)) % 1000 == 290


def test_options_chain_and_the_later_wins() -> None:
    first = charge.with_options(name="a", timeout=1, queue="gpu")
    second = first.with_options(name="b", timeout=None)

    assert (second.options.label, second.options.timeout_ms, second.options.queue) == ("b", 0, "gpu")
    assert (first.options.label, first.options.timeout_ms) == ("a", 1000)
    assert charge.options.label == ""


def test_a_later_run_after_replaces_an_earlier_run_at_and_the_other_way_round() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)

    assert charge.with_options(run_at=at).with_options(run_after=5).options.due_ms(1000) == 6000
    assert charge.with_options(run_after=5).with_options(run_at=at).options.due_ms(1000) == at.timestamp() * 1000
    assert charge.with_options(run_after=5).with_options(run_after=None).options.due_ms(1000) == 0


def test_run_at_and_run_after_together_are_refused() -> None:
    with pytest.raises(InvalidOption, match="exclude each other"):
        charge.with_options(run_at=datetime.now(UTC), run_after=1)


def test_a_time_before_the_epoch_means_at_once() -> None:
    assert charge.with_options(run_at=datetime(1960, 1, 1, tzinfo=UTC)).options.due_ms(5) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 0}, "more than 0 seconds"),
        ({"timeout": -1}, "timeout=-1: give a timedelta or seconds"),
        ({"timeout": "5"}, "timeout='5'"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"run_after": timedelta(days=40_000)}, "100 years"),
        ({"run_at": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001 - the mistake itself
        ({"run_at": 1_900_000_000}, "give an aware datetime"),
        ({"retry": 3}, "give a RetryPolicy, True"),
        ({"retry": None}, "give a RetryPolicy, True"),
        ({"name": ""}, "1 to 200 bytes"),
        ({"name": "a|b"}, "without '|'"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "ä" * 101}, "1 to 200 bytes"),
        ({"name": 7}, "give a text"),
        ({"queue": "\ud800"}, "queue="),
        ({"id": "order-7"}, "'id' is no option of an action; its options are"),
        ({"inline": True}, "'inline' is no option of an action"),
        ({"nmae": "x"}, "'nmae' is no option"),
    ],
)
def test_wrong_options_of_a_step_are_refused_with_what_to_do(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        charge.with_options(**options)

    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retry": True}, "'retry' is no option of a workflow"),
        ({"queue": "x"}, "'queue' is no option of a workflow"),
        ({"id": "a|b"}, "without '|'"),
        ({"id": 7}, "give a text"),
        ({"timeout": 0}, "more than 0 seconds"),
    ],
)
def test_wrong_options_of_a_workflow_are_refused_with_what_to_do(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        checkout.with_options(**options)

    assert told in str(raised.value)


def test_the_options_of_a_workflow_are_all_told() -> None:
    options: dict[str, Any] = {"nmae": "x"}

    with pytest.raises(InvalidOption) as raised:
        checkout.with_options(**options)

    assert {"context", "id", "on_complete"} <= set(str(raised.value).rpartition(" are ")[2].split(", "))


LONG = "x" * 100_000


@pytest.mark.parametrize(
    "options",
    [{"tags": {"a": LONG}}, {"tags": LONG}, {"id": LONG}, {"id": LONG.encode()}, {"timeout": [LONG]}, {LONG: 1}],
)
def test_a_message_repeats_no_more_of_a_value_than_it_is_found_by(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as raised:
        checkout.with_options(**options)

    assert "xxx" in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("flow_or_step", [checkout, charge])
def test_a_time_is_no_further_away_than_a_duration_may_be_long(flow_or_step: Any) -> None:  # noqa: ANN401 - of either kind
    now_ms = 1_790_000_000_000
    far = flow_or_step.with_options(run_at=datetime.max.replace(tzinfo=UTC))
    near = flow_or_step.with_options(run_at=datetime(2090, 1, 1, tzinfo=UTC))

    with pytest.raises(InvalidOption, match="run_at=9999-12-31: give a time at most 100 years from now"):
        far.options.due_ms(now_ms)
    assert near.options.due_ms(now_ms) == 3_786_912_000_000


def test_a_workflow_carries_its_id_timeout_and_start_time() -> None:
    flow = checkout.with_options(id="order-7", timeout=timedelta(days=2), run_after=3)

    assert (flow.options.id, flow.options.timeout_ms, flow.options.due_ms(1000)) == ("order-7", 172_800_000, 4000)


def test_a_policy_is_carried_as_it_is() -> None:
    policy = RetryPolicy(max_attempts=9)

    assert charge.with_options(retry=policy).policy is policy


def test_an_unknown_option_is_told_of_those_that_have_an_effect() -> None:
    options: dict[str, Any] = {"nmae": "x"}

    with pytest.raises(InvalidOption, match=r"its options are .*\bretry\b") as raised:
        charge.with_options(**options)

    assert "pool" in str(raised.value)
