"""``headrace doctor`` and ``headrace dead`` as people and programs use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.embedded_guard import ask
from tests.cli.processes import ROOT

if TYPE_CHECKING:
    from kernel.embedded import EmbeddedServer
    from tests.cli.processes import Run

pytestmark = pytest.mark.server

LETTER = "XADD default:dead 1000-1 entry 5-1 reason wrong type cancel id order-7"


def test_a_healthy_namespace_is_said_to_be_so(run: Run, url: str) -> None:
    run("start", "shop.flows:manager", "parked", "--id", "p-1")

    done = run("doctor")

    assert (done.code, done.err) == (0, "")
    assert "looked at 1 instance: healthy" in done.out
    assert "append-only file" in done.out


def test_damage_is_named_mended_and_gone(run: Run, url: str, embedded_server: EmbeddedServer) -> None:
    run("start", "shop.flows:manager", "parked", "--id", "p-1")
    for partition in range(12):
        ask(embedded_server.socket, b"DEL {default:%d}:ready" % partition)

    found = run("doctor", "--json")
    mended = run("doctor", "--repair")
    after = run("doctor")

    (finding,) = [one for one in map(json.loads, found.out.splitlines()) if one.get("code") == "lost_ready"]
    assert (found.code, finding["subject"], finding["kind"]) == (1, "p-1", "invariant")
    assert json.loads(found.out.splitlines()[-1])["healthy"] is False
    assert mended.code == 0
    assert "p-1: I2: its ready entry" in mended.out
    assert "done: mended its ready entry" in mended.out
    assert "mended 1 thing: healthy" in mended.out
    assert after.code == 0


def test_dead_letters_are_listed_shown_and_dropped(run: Run, url: str, embedded_server: EmbeddedServer) -> None:
    run("start", "shop.flows:manager", "parked")
    ask(embedded_server.socket, LETTER.encode())

    listed, shown = run("dead", "list"), run("dead", "show", "g.1000-1", "--json")
    dropped, again = run("dead", "drop", "g.1000-1"), run("dead", "drop", "g.1000-1")

    assert "g.1000-1" in listed.out
    assert "message cancel" in listed.out
    assert json.loads(shown.out)["fields"] == {"type": "cancel", "id": "order-7"}
    assert (dropped.code, dropped.out) == (0, "dropped 1 dead letter\n")
    assert again.code == 1
    assert "headrace dead list" in again.error
    assert run("dead", "list").out == "nothing was set aside in 'default'\n"


def test_long_ids_do_not_hide_why_something_was_set_aside(run: Run, url: str, embedded_server: EmbeddedServer) -> None:
    run("start", "shop.flows:manager", "parked")
    letter = f"XADD default:dead 1000-1 entry 5-1 reason {'x' * 300} type cancel id {'x' * 300}"
    ask(embedded_server.socket, letter.encode())

    head, row = run("dead", "list").out.splitlines()

    assert head.split() == ["id", "sent", "as", "set", "aside", "reason", "what", "workflow"]
    assert f"{'x' * 39}…" in row
    assert "x" * 41 not in row


def test_a_dead_letter_is_requeued_with_a_correction(run: Run, url: str, embedded_server: EmbeddedServer) -> None:
    run("start", "shop.flows:manager", "parked")
    ask(embedded_server.socket, LETTER.encode())

    done = run("dead", "requeue", "g.1000-1", "--set", "id=order-8", "--json")

    assert json.loads(done.out) == {"id": "g.1000-1", "requeued": True}
    assert run("dead", "list", "--json").out == ""
    assert ask(embedded_server.socket, b"XLEN default:gateway") == b":1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("drop",), "--all --older-than"),
        (("drop", "--all"), "--all --older-than"),
        (("drop", "g.1-1", "--all", "--older-than", "5"), "--all --older-than"),
        (("requeue", "g.1-1", "--set", "args"), "FIELD=VALUE"),
    ],
)
def test_wrong_usage_is_refused_with_what_to_write(run: Run, url: str, words: tuple[str, ...], said: str) -> None:
    done = run("dead", *words)

    assert done.code == 2
    assert said in done.err


def test_all_that_is_old_is_dropped(run: Run, url: str, embedded_server: EmbeddedServer) -> None:
    run("start", "shop.flows:manager", "parked")
    ask(embedded_server.socket, LETTER.encode())

    assert run("dead", "drop", "--all", "--older-than", "60").out == "dropped 1 dead letter\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_one_line(url: str, run: Run) -> None:
    run("start", "shop.flows:manager", "parked")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "actors.cli", "list", "--url", url],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=20,
            check=False,
        )

    assert ended.returncode == 1
    assert ended.stderr.decode().count("\n") == 1
    assert ended.stderr.startswith(b"headrace list: the output cannot be written: No space left on device")


def test_a_damaged_workflow_is_discarded_once_it_is_confirmed(
    run: Run, url: str, embedded_server: EmbeddedServer
) -> None:
    run("start", "shop.flows:manager", "parked", "--id", "order-7")
    record = json.loads(run("key", "order-7", "--json").out.splitlines()[0])["key"]
    ask(embedded_server.socket, f"HSET {record} status bogus".encode())

    advice = run("doctor").out
    canceled = run("cancel", "order-7")
    unsure, done, again = (
        run("doctor", "--discard", "order-7"),
        run("doctor", "--discard", "order-7", "--yes"),
        run("doctor", "--discard", "order-7", "--yes"),
    )

    assert "headrace doctor --discard order-7 --yes" in advice
    assert "run headrace doctor" in canceled.error
    assert "add --yes" in unsure.error
    assert done.out.startswith("order-7: removed record, journal")
    assert "index:parked:running" in done.out
    assert "there is nothing of a workflow 'order-7'" in again.error
    assert run("doctor").code == 0
    assert run("doctor", "--yes").code == 2
