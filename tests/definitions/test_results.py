from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_never

import pytest
from pydantic import BaseModel

from actors.errors import Failure
from actors.registry import Registry
from actors.results import Canceled, Completed, Failed, InProgress, Result, RunningStep, Scheduled, Status, Stopped

registry = Registry()


class Receipt(BaseModel):
    cents: int


@registry.action
async def report(workflow_id: str, result: Result[Receipt], context: dict[str, int]) -> None:
    pass


def told(status: Status[Receipt]) -> str:
    match status:
        case InProgress(running):
            return ", ".join(step.name for step in running)
        case Completed(receipt):
            return str(receipt.cents)
        case Failed(error) | Stopped(error):
            return error.message
        case Canceled():
            return "canceled"
        case Scheduled(at):
            return at.isoformat()
        case _:
            assert_never(status)


@pytest.mark.parametrize(
    ("status", "type_", "text"),
    [
        (InProgress((RunningStep(1, "charge"),)), "in_progress", "charge"),
        (Completed(Receipt(cents=5)), "completed", "5"),
        (Failed(Failure("WorkflowFailed", "ValueError", "no")), "failed", "no"),
        (Canceled(), "canceled", "canceled"),
        (Scheduled(datetime(2030, 1, 1, tzinfo=UTC)), "scheduled", "2030-01-01T00:00:00+00:00"),
        (Stopped(Failure("WorkflowFailed", "NondeterminismError", "step 3")), "stopped", "step 3"),
    ],
)
def test_a_status_is_told_apart_by_match_and_by_type(status: Status[Receipt], type_: str, text: str) -> None:
    assert status.type == type_
    assert told(status) == text


@pytest.mark.parametrize(
    "result",
    [Completed(Receipt(cents=5)), Failed(Failure("WorkflowFailed", "ValueError", "no", "text", 2)), Canceled()],
)
def test_a_result_survives_being_the_argument_of_a_step(result: Result[Receipt]) -> None:
    arguments = report.encode_arguments(("order-7", result, {"user": 3}), {})

    assert report.decode_arguments(arguments) == (("order-7", result, {"user": 3}), {})
