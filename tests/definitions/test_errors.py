from __future__ import annotations

import pickle
import traceback

import pytest

from actors import errors
from actors.errors import (
    Failure,
    HeadraceError,
    InvalidOption,
    InvalidReturn,
    OutcomeUnknown,
    PayloadTooLarge,
    RemoteTraceback,
    RetryAfter,
    StepCanceled,
    StepFailed,
    StepTimedOut,
    WorkerDied,
    WorkflowFailed,
)


class CardDeclined(Exception):
    pass


def failure_of(error: BaseException, *, attempts: int = 1) -> Failure:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - whatever it is
        return Failure.from_exception(raised, attempts=attempts)


def test_every_exception_of_the_package_is_drawn_in_the_tree_and_a_headrace_error() -> None:
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__:
            if value is RemoteTraceback:
                continue
            assert issubclass(value, HeadraceError), name
            assert f" {name} " in tree or f"{name}\n" in tree, name


def test_a_failure_survives_its_encoding() -> None:
    failure = failure_of(CardDeclined("no funds"), attempts=3)

    assert Failure.decode(failure.encode()) == failure
    assert (failure.kind, failure.error_type, failure.message) == ("StepFailed", "CardDeclined", "no funds")
    assert failure.attempts == 3


def test_a_failure_written_by_a_newer_version_is_still_read() -> None:
    from actors.packing import packb  # noqa: PLC0415 - only this test builds payloads by hand

    data = packb(["SomethingNew", "ValueError", "m", "t", 2, "a field of tomorrow"])

    assert Failure.decode(data) == Failure("StepFailed", "ValueError", "m", "t", 2)


def test_a_workflow_that_failed_inside_a_step_is_the_steps_failure() -> None:
    failure = failure_of(WorkflowFailed("m", error_type="ValueError"))

    assert (failure.kind, failure.error_type, failure.message) == ("StepFailed", "WorkflowFailed", "ValueError: m")


@pytest.mark.parametrize("kind", [StepFailed, StepTimedOut, OutcomeUnknown, InvalidReturn])
def test_a_failure_arrives_as_the_exception_that_it_was(kind: type[StepFailed]) -> None:
    error = kind("m", error_type="ValueError", traceback="the text", attempts=2)

    back = failure_of(error).to_exception()

    assert type(back) is kind
    assert (back.error_type, back.message, back.attempts) == ("ValueError", "m", 2)


def test_a_step_failure_that_ends_its_workflow_becomes_the_workflows_failure() -> None:
    step = failure_of(CardDeclined("no funds"), attempts=3).to_exception()

    failure = Failure.from_exception(step, kind="WorkflowFailed")

    assert failure.kind == "WorkflowFailed"
    assert (failure.error_type, failure.message, failure.attempts) == ("CardDeclined", "no funds", 3)
    assert "CardDeclined" in failure.traceback
    assert type(failure.to_exception()) is WorkflowFailed
    assert str(failure.to_exception()) == "CardDeclined: no funds (after 3 attempts)"


@pytest.mark.parametrize("kind", [StepTimedOut, OutcomeUnknown, InvalidReturn, StepCanceled, WorkerDied])
def test_a_step_failure_whose_class_says_what_happened_is_the_original_of_the_workflows(kind: type[StepFailed]) -> None:
    failure = Failure.from_exception(kind("too bad", error_type="Detail"), kind="WorkflowFailed")

    assert (failure.error_type, failure.message) == (kind.__name__, "too bad")


def test_a_group_with_a_single_step_failure_in_it_is_that_failure_however_deep() -> None:
    step = failure_of(CardDeclined("no funds"), attempts=3).to_exception()
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("unhandled errors too", [step])])

    failure = Failure.from_exception(group, kind="WorkflowFailed")

    assert (failure.kind, failure.error_type, failure.message) == ("WorkflowFailed", "CardDeclined", "no funds")
    assert failure.attempts == 3
    assert "ExceptionGroup: unhandled errors too" in failure.traceback
    assert "CardDeclined: no funds" in failure.traceback


def test_a_group_of_several_errors_tells_each_of_them() -> None:
    step = failure_of(CardDeclined("no funds")).to_exception()
    group = ExceptionGroup("two", [step, ExceptionGroup("inner", [ValueError("bad"), KeyError()])])

    for kind in ("WorkflowFailed", None):
        failure = Failure.from_exception(group, kind=kind)
        assert failure.error_type == "ExceptionGroup"
        assert failure.message == "two (2 sub-exceptions): CardDeclined: no funds; ValueError: bad; KeyError"


def test_a_group_with_one_error_that_is_no_step_s_stays_a_group_and_tells_it() -> None:
    failure = Failure.from_exception(ExceptionGroup("one", [ValueError("bad")]), kind="WorkflowFailed")

    assert (failure.error_type, failure.message) == ("ExceptionGroup", "one (1 sub-exception): ValueError: bad")


def test_a_group_of_many_errors_tells_the_first() -> None:
    failure = Failure.from_exception(ExceptionGroup("many", [ValueError(n) for n in range(100)]), kind="WorkflowFailed")

    assert failure.message.endswith("ValueError: 9; …")


def test_an_original_error_goes_up_through_any_number_of_parents_unchanged() -> None:
    error: BaseException = failure_of(CardDeclined("no funds")).to_exception()
    for _ in range(3):
        error = Failure.from_exception(error, kind="WorkflowFailed").to_exception()

    assert str(error) == "CardDeclined: no funds"


def test_the_remote_traceback_is_printed_as_the_cause() -> None:
    error = failure_of(CardDeclined("no funds")).to_exception()

    text = "".join(traceback.format_exception(error))

    assert "test_errors.py" in text
    assert "The above exception was the direct cause" in text
    assert isinstance(error.__cause__, RemoteTraceback)


def test_frames_of_the_library_are_left_out_of_a_traceback() -> None:
    with pytest.raises(InvalidOption) as raised:
        RetryAfter(-1)

    failure = Failure.from_exception(raised.value)

    assert "test_errors.py" in failure.traceback
    assert "actors/errors.py" not in failure.traceback


def test_causes_stay_in_the_traceback() -> None:
    error = CardDeclined("x")
    error.__cause__ = ZeroDivisionError("y")

    assert "ZeroDivisionError: y" in failure_of(error).traceback


def test_an_exception_whose_text_cannot_be_made_is_still_a_failure() -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure_of(Nasty()).message == "<str() of Nasty raised RuntimeError>"


def test_long_messages_are_cut_in_the_middle_and_lone_surrogates_encoded() -> None:
    failure = failure_of(ValueError("\ud800" + "x" * 100_000 + "end"))

    assert len(failure.message) < errors.MESSAGE_CHARACTERS_MAX + 100
    assert failure.message.endswith("end")
    assert Failure.decode(failure.encode()).message.startswith("\\ud800")


@pytest.mark.parametrize(
    "error",
    [
        StepTimedOut("m", error_type="E", traceback="t", attempts=2),
        PayloadTooLarge("argument 'a'", size=10, limit=5),
        RetryAfter(3, "later"),
    ],
)
def test_errors_survive_pickling(error: HeadraceError) -> None:
    back = pickle.loads(pickle.dumps(error))

    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_too_large_says_what_how_much_and_what_to_do() -> None:
    text = str(PayloadTooLarge("argument 'cart' of charge()", size=2_000_000, limit=1_048_576))

    assert "argument 'cart' of charge() takes 2,000,000 bytes" in text
    assert "1,048,576" in text
    assert "value_bytes_max" in text
