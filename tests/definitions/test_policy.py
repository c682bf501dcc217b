from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import InvalidArguments, InvalidOption, InvalidReturn, NonRetryable, RetryAfter
from actors.policy import RetryPolicy

STEADY = RetryPolicy(max_attempts=10, initial_backoff=0.2, base=2, max_backoff=1, jitter=False)


def decide(policy: RetryPolicy, attempt: int, error: BaseException) -> int | None:
    return policy.decide(attempt, error, random=Random(1))


def test_delays_grow_by_the_base_up_to_the_maximum() -> None:
    assert [decide(STEADY, attempt, ValueError()) for attempt in range(1, 6)] == [200, 400, 800, 1000, 1000]


def test_the_last_attempt_is_final() -> None:
    assert decide(RetryPolicy(max_attempts=3), 2, ValueError()) is not None
    assert decide(RetryPolicy(max_attempts=3), 3, ValueError()) is None


def test_a_huge_attempt_number_does_not_overflow() -> None:
    policy = RetryPolicy(max_attempts=1_000_000, base=10.0, max_backoff=7, jitter=False)

    assert decide(policy, 999_999, ValueError()) == 7000


@given(seed=st.integers(), attempt=st.integers(1, 9))
def test_jitter_takes_between_half_and_all_of_the_delay(seed: int, attempt: int) -> None:
    policy = RetryPolicy(max_attempts=10, initial_backoff=0.2, base=2, max_backoff=1)

    delay = policy.decide(attempt, ValueError(), random=Random(seed))
    whole = decide(STEADY, attempt, ValueError())

    assert delay is not None
    assert whole is not None
    assert whole / 2 - 1 <= delay <= whole


def test_only_errors_named_and_their_subclasses_are_retried() -> None:
    policy = RetryPolicy(retry_on=(OSError,), stop_on=(FileNotFoundError,))

    assert decide(policy, 1, ConnectionResetError()) is not None
    assert decide(policy, 1, ValueError()) is None
    assert decide(policy, 1, FileNotFoundError()) is None


@pytest.mark.parametrize("error", [NonRetryable("no"), InvalidArguments("no"), InvalidReturn("no")])
def test_what_another_attempt_cannot_mend_is_final(error: Exception) -> None:
    assert decide(RetryPolicy(max_attempts=99), 1, error) is None


def test_retry_after_dictates_the_delay_but_not_the_number_of_attempts() -> None:
    policy = RetryPolicy(max_attempts=2, retry_on=(OSError,))

    assert decide(policy, 1, RetryAfter(timedelta(seconds=90))) == 90_000
    assert decide(policy, 2, RetryAfter(90)) is None


def test_a_decoded_policy_decides_like_the_original_without_importing_the_classes() -> None:
    class Flaky(ConnectionError):
        pass

    policy = RetryPolicy(7, timedelta(milliseconds=50), 3, 60, jitter=False, retry_on=(Flaky,), stop_on=(KeyError,))

    back = RetryPolicy.decode(policy.encode())

    assert back == policy
    assert back is not None
    assert decide(back, 1, Flaky()) == 50
    assert decide(back, 1, ConnectionError()) is None


def test_no_options_are_no_policy() -> None:
    assert RetryPolicy.decode(b"") is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"initial_backoff": -1}, "initial_backoff"),
        ({"initial_backoff": float("nan")}, "initial_backoff"),
        ({"max_backoff": "1"}, "max_backoff"),
        ({"base": 0.5}, "base"),
        ({"base": float("inf")}, "base"),
        ({"jitter": 1}, "jitter"),
        ({"retry_on": (ValueError, 3)}, "3 is no exception class"),
        ({"retry_on": (int,)}, "no exception class"),
        ({"stop_on": 7}, "stop_on"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        RetryPolicy(**fields)


def test_a_single_class_stands_for_a_tuple_of_one() -> None:
    policy = RetryPolicy(retry_on=OSError)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert policy == RetryPolicy(retry_on=(OSError,))
