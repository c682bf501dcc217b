"""``headrace history`` and ``headrace replay``: what people run before a deploy. Histories are recorded in memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from actors.cli.loading import load_manager
from actors.testing import WorkflowTester

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.processes import Program, Run

ANOTHER_DAY = {
    "fee": ("charge, cart_id, cents=cents)", "charge, cart_id, cents=cents + 1)"),
    "gone": ('name="checkout")', 'name="checkout", version="2")'),
    "clock": ("    return await step.run_action(charge", "    clock()\n    return await step.run_action(charge"),
    "result": ("charge, cart_id, cents=cents)", "charge, cart_id, cents=cents) + '!'"),
}
"""Changes of the project's workflow ``checkout``."""
HELPER = "from datetime import datetime\n\ndef clock():\n    return datetime.now()\n"


@pytest.fixture
def saved(project: Path) -> Path:
    """A folder with the history of one ``checkout`` that has ended, and one of ``parked``, that has not."""
    manager = load_manager("shop.flows:manager")
    folder = project / "histories"
    folder.mkdir()

    async def record() -> None:
        async with WorkflowTester(manager) as tester:
            done = await tester.start(manager.get_workflow("checkout").with_options(id="order-7"), "c-1")
            await done.result()
            parked = await tester.start(manager.get_workflow("parked").with_options(id="order-8"))
            await tester.settle()
            await tester.export(done, folder / "a.json")
            await tester.export(parked, folder / "b.json")

    asyncio.run(record())
    return folder


def change(project: Path, day: str) -> None:
    """Deploy the code of another day."""
    (project / "shop" / "helpers.py").write_text(HELPER, encoding="utf-8")
    flows = project / "shop" / "flows.py"
    before, after = ANOTHER_DAY[day]
    text = flows.read_text(encoding="utf-8")
    flows_import = "import time\n"
    assert before in text
    assert flows_import in text
    text = text.replace(before, after).replace(flows_import, f"{flows_import}from shop.helpers import clock\n")
    flows.write_text(text, encoding="utf-8")
    for name in [name for name in sys.modules if name == "shop" or name.startswith("shop.")]:
        del sys.modules[name]


def test_code_that_did_not_change_fits_all_histories_of_a_folder(run: Run, saved: Path) -> None:
    done = run("replay", "shop.flows:manager", "histories")

    assert (done.code, done.err) == (0, "")
    assert [line.split()[:2] for line in done.out.splitlines()] == [
        ["fits", "order-7"],
        ["fits", "order-8"],
        ["2", "histories"],
    ]
    assert done.out.splitlines()[0].endswith("(histories/a.json)")
    assert done.out.splitlines()[-1] == "2 histories replayed: 2 fits"


def test_a_difference_shows_step_both_sides_and_line(run: Run, project: Path, saved: Path) -> None:
    change(project, "fee")
    done = run("replay", "shop.flows:manager", "histories/a.json", "histories/b.json")

    lines = done.out.splitlines()
    assert (done.code, done.err) == (1, "")
    assert lines[0].split()[:3] == ["differs", "order-7", "checkout,"]
    assert lines[1:4] == [
        "  at step 1",
        "    recorded: step charge('c-1', cents=5)",
        "    now:      step charge('c-1', cents=6)",
    ]
    assert lines[4].strip().startswith("in shop/flows.py:")
    assert lines[4].endswith(" in checkout")
    assert lines[5].split()[:2] == ["fits", "order-8"]
    assert lines[6] == "2 histories replayed: 1 fits, 1 differs"
    assert "step.patched" in lines[7]


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("day", "verdict", "said"),
    [
        ("fee", "differs", {"step": 1, "was": "step charge('c-1', cents=5)", "now": "step charge('c-1', cents=6)"}),
        ("result", "differs", {"step": 2, "was": "completed with 'c-1:5'", "now": "completed with 'c-1:5!'"}),
        ("gone", "unknown", {"step": 0}),
        ("clock", "violates", {"step": 0}),
    ],
)
def test_programs_get_an_object_a_line(run: Run, project: Path, day: str, verdict: str, said: dict[str, Any]) -> None:
    change(project, day)
    done = run("replay", "shop.flows:manager", "histories/a.json", "--json")

    (told,) = (json.loads(line) for line in done.out.splitlines())
    assert (done.code, done.err) == (1, "")
    assert {name: told[name] for name in ("source", "verdict", "id", "workflow", "version", "status")} == {
        "source": "histories/a.json",
        "verdict": verdict,
        "id": "order-7",
        "workflow": "checkout",
        "version": "1",
        "status": "completed",
    }
    assert {name: told[name] for name in said} == said
    assert told["message"]


def test_what_is_no_history_is_said_and_the_others_are_replayed(run: Run, project: Path, saved: Path) -> None:
    (saved / "wrong.json").write_text("{}", encoding="utf-8")
    done = run("replay", "shop.flows:manager", "histories", "nowhere.json")

    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines()[-1] == "4 histories replayed: 2 fits, 2 unreadable"
    assert "unreadable histories/wrong.json: " in done.out
    assert "unreadable nowhere.json: No such file or directory" in done.out


def test_wrong_uses_are_refused_in_a_line(run: Run, project: Path) -> None:
    (project / "empty").mkdir()
    nothing = run("replay", "shop.flows:manager")
    empty = run("replay", "shop.flows:manager", "empty")
    typo = run("replay", "shop.flows:manager", "--workflow", "chekout")
    both = run("history", "order-7", "--workflow", "checkout")
    unsaved = run("history", "--workflow", "checkout")

    assert (nothing.code, empty.code, typo.code, both.code, unsaved.code) == (2, 1, 1, 2, 2)
    assert "give files, --id, or a filter" in nothing.error
    assert "has no histories" in empty.error
    assert "no workflow is registered as 'chekout'" in typo.error
    assert "give an id, or a filter" in both.error
    assert "add --save FOLDER" in unsaved.error


@pytest.mark.server
@pytest.mark.parametrize("place", ["nope/x.json", "nope/further/"])
def test_a_folder_that_is_not_there_is_told_before_anything_is_read(run: Run, project: Path, place: str) -> None:
    done = run("history", "order-7", "--save", place)

    assert "there is no folder nope: make it first (mkdir -p nope)" in done.error
    assert done.code == 1
    assert not (project / "nope").exists()


def test_from_redis_to_files_and_back(
    run: Run, url: str, project: Path, worker: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, cart in enumerate(("c-1", "c-2"), 1):
        run("start", "shop.flows:manager", "checkout", json.dumps([cart]), "--id", f"orders/{number}", "--wait")
    shown = run("history", "orders/1")
    entries = [json.loads(line) for line in run("history", "orders/1", "--json").out.splitlines()]
    one = run("history", "orders/1", "--save", "one.json")
    into = run("history", "orders/1", "--save", "new/", "--json")
    many = run("history", "--workflow", "checkout", "--save", "saved")
    seed = json.loads((project / "one.json").read_text())["seed"]
    monkeypatch.setenv("PYTHONHASHSEED", str(seed))  # as it would execute itself anew
    replayed = run("replay", "shop.flows:manager", "one.json", "saved")
    live = run("replay", "shop.flows:manager", "--id", "orders/1", "--workflow", "checkout")
    change(project, "fee")
    differs = run("replay", "shop.flows:manager", "--id", "orders/2", "orders/3")

    assert [entry["kind"] for entry in entries] == ["started", "asked", "completed", "ended"]
    assert [line.split()[2] for line in shown.out.splitlines()[1:]] == ["started", "asked", "completed", "ended"]
    assert (one.code, one.out) == (0, "orders/1: 1 command, 2 events saved to one.json\n")
    assert json.loads(into.out)["file"] == "new/orders%2F1.history.json"
    assert many.code == 0
    assert sorted(path.name for path in (project / "saved").iterdir()) == [
        "orders%2F1.history.json",
        "orders%2F2.history.json",
    ]
    assert (replayed.code, live.code, differs.code) == (0, 0, 1)
    assert replayed.out.splitlines()[-1] == "3 histories replayed: 3 fits"
    assert live.out.splitlines()[-1] == "2 histories replayed: 2 fits"
    assert differs.out.splitlines()[-2] == "2 histories replayed: 1 differs, 1 unreadable"
    assert seed > 0


SETS = """
from __future__ import annotations
from actors import Step, WorkflowManager

manager = WorkflowManager()

@manager.action(name="note")
async def note(what: str) -> None: ...

@manager.workflow(name="notes")
async def notes(step: Step) -> None:
    for what in {set}:
        await step.run_action(note, what)
"""
NAMES = "{'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'}"


def test_it_runs_under_the_hash_seed_of_the_workers(
    run: Run, project: Path, program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = subprocess.run(
        [sys.executable, "-c", f"print(list({NAMES}))"], env={"PYTHONHASHSEED": "7"}, capture_output=True, check=True
    )
    package = project / "shop"
    (package / "recorded.py").write_text(SETS.replace("{set}", in_order.stdout.decode().strip()), encoding="utf-8")
    (package / "sets.py").write_text(SETS.replace("{set}", NAMES), encoding="utf-8")
    manager = load_manager("shop.recorded:manager")

    async def record() -> str:
        async with WorkflowTester(manager) as tester:
            handle = await tester.start(manager.get_workflow("notes"))
            await handle.result()
            return (await tester.history(handle)).to_json()

    fields = json.loads(asyncio.run(record()))
    (project / "known.json").write_text(json.dumps({**fields, "seed": 7}), encoding="utf-8")
    del fields["seed"]
    (project / "unknown.json").write_text(json.dumps(fields), encoding="utf-8")
    known = program("replay", "shop.sets:manager", "known.json", PYTHONHASHSEED="1")
    unknown = program("replay", "shop.sets:manager", "unknown.json", PYTHONHASHSEED="1")

    assert (known.process.wait(20), unknown.process.wait(20)) == (0, 1)
