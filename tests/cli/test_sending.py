"""``headrace send-event``: what it sends, and what it says when it cannot."""

from __future__ import annotations

import json

import pytest

from tests.cli.processes import Run

pytestmark = pytest.mark.server


def started(run: Run, url: str) -> str:
    done = run("start", "shop.flows:manager", "parked", "--json")
    return str(json.loads(done.out)["id"])


def test_an_event_is_sent_with_a_json_value(run: Run, url: str) -> None:
    workflow_id = started(run, url)
    done = run("send-event", workflow_id, "approved", '{"by": "ann"}', "--url", url)
    assert (done.code, done.out) == (0, f"{workflow_id}: event 'approved' sent\n")
    done = run("send-event", workflow_id, "paid", "--error", "declined", "--event-id", "p-1", "--json", "--url", url)
    assert (done.code, json.loads(done.out)) == (0, {"id": workflow_id, "event": "paid", "sent": True})


def test_what_cannot_be_sent_is_one_line_on_stderr(run: Run, url: str) -> None:
    workflow_id = started(run, url)
    for words, said in (
        (["nobody", "go"], "there is no workflow 'nobody'"),
        ([workflow_id, "go", "yes"], "the value 'yes' is not JSON"),
        ([workflow_id, "go", "1", "--error", "no"], "give a value or --error, not both"),
        ([workflow_id, "a|b"], "without '|'"),
    ):
        done = run("send-event", *words, "--url", url)
        assert (done.code, done.out) == (1, "")
        assert said in done.err
        assert done.err.count("\n") == 1
