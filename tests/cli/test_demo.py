from __future__ import annotations

import json
import os
import re
import signal
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from actors import InProgress, Snapshot, StepView
from actors.demo.board import Board, Entry
from actors.demo.check import compare, count_files, count_text, miscounted
from actors.demo.documents import find_documents, own_documents
from actors.demo.figures import reading_s, structure_of, words_in
from actors.demo.view import draw
from tests.cli.processes import ROOT, living

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.processes import Program, Run

    Until = Callable[[Callable[[], object]], None]


@given(st.text(st.one_of(st.sampled_from("#] (\n\r\t\u2003\x1cab"), st.characters(exclude_categories=["Cs"]))))
def test_the_check_counts_by_other_means_and_to_the_same_result(text: str) -> None:
    structure = structure_of(text)

    assert count_text(text) == {
        "words": words_in(text),
        "headings": structure.headings,
        "links": structure.links,
        "reading_s": reading_s(text),
    }


def test_the_check_notices_what_was_lost_and_what_was_done_twice(tmp_path: Path) -> None:
    one, two = tmp_path / "one.md", tmp_path / "two.md"
    one.write_text("# Head\n\na [link](x) or two\n", encoding="utf-8")
    two.write_text("no heading", encoding="utf-8")

    files = count_files([one, two])

    assert files == {"documents": 2, "bytes": 37, "words": 8, "headings": 1, "links": 1, "reading_s": 3}
    assert all(comparison.equal for comparison in compare(files, files))
    assert [c.figure for c in compare({**files, "words": 16}, files) if not c.equal] == ["words"]
    assert [c.figure for c in compare({}, files) if not c.equal] == list(files)
    assert miscounted({str(one): 1, str(two): 1}, [one, two]) == []
    assert miscounted({str(one): 2, "other": 1}, [one, two]) == [
        f"{one}: counted 2 times",
        f"{two}: counted 0 times",
        "other: counted 1 times",
    ]


def test_documents_are_text_files_prose_first(tmp_path: Path) -> None:
    for name, content in {
        "b.md": b"b",
        "a.py": b"a",
        "README": b"r",
        "deep/c.txt": b"c",
        "empty.md": b"",
        "image.md": b"\x89PNG\0",
        "latin.txt": b"\xe9",
        "large.md": b"x" * 300_000,
        ".hidden/d.md": b"d",
        "node_modules/e.md": b"e",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    root, found, passed_over = find_documents(tmp_path, count=10)
    _, two, _ = find_documents(tmp_path, count=2)

    assert [str(path.relative_to(root)) for path in found] == ["README", "b.md", "deep/c.txt", "a.py"]
    assert two == found[:2]
    assert passed_over == 4  # empty, no text, not UTF-8, too large


def test_without_a_folder_the_projects_own_documents_are_taken() -> None:
    root, found, _ = find_documents(None, count=24)

    assert root == own_documents().resolve() == ROOT
    assert ROOT / "README.md" in found


def test_the_picture_shows_progress_workers_and_what_happened(tmp_path: Path) -> None:
    running = StepView(2, "count_words", "action", "running", worker="w")
    done = StepView(1, "read_document", "action", "completed")
    snapshot = Snapshot("x", "analyse", InProgress(), (done, running), {}, datetime.now(UTC), None)
    first, second = (Entry(name, tmp_path / name, name) for name in ("one.md", "[two].md"))
    first.snapshot = snapshot
    board = Board(tmp_path, [first, second], steps_each=7)
    board.say("worker 1 killed")
    out = Console(width=100, file=StringIO(), markup=False, highlight=False)

    out.print(draw(board))

    assert isinstance(out.file, StringIO)
    picture = out.file.getvalue()
    assert "1/14" in picture
    assert "0 of 2 documents" in picture
    assert "[two].md" in picture
    assert "count_words" in picture
    assert "worker 1 killed" in picture


@pytest.fixture
def documents(project: Path) -> Path:
    folder = project / "documents"
    folder.mkdir()
    for name in ("README.md", "LICENSE", "CONTRIBUTING.md"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.mark.server
@pytest.mark.slow
def test_the_demo_survives_its_kill_and_proves_its_totals(
    program: Callable[..., Program], documents: Path, project: Path, until: Until
) -> None:
    demo = program("demo", "--folder", "documents", HEADRACE_URL="", MARK=str(project))

    assert demo.wait(60.0) == 0

    said = demo.said
    assert re.search(r"worker \d \(pid \d+\) killed with SIGKILL while it ran \w+ of ", said)
    assert "started in its place" in said
    assert re.search(r"took over \w+ of .*, \d\.\d s after the kill", said)
    assert "The totals of 3 documents are exact: nothing lost, nothing twice" in said
    assert said.count("  equal") == 6
    assert "\x1b" not in said
    until(lambda: not living(str(project)))


@pytest.mark.server
@pytest.mark.slow
def test_the_demo_gives_programs_an_object_and_leaves_nothing_in_redis(
    program: Callable[..., Program], documents: Path, url: str, run: Run
) -> None:
    demo = program("demo", "--folder", "documents", "--count", "2", "--no-kill", "--json")

    assert demo.wait(60.0) == 0

    told = json.loads(demo.said)
    assert (told["exact"], told["documents"], told["killed"], told["faults"]) == (True, 2, None, [])
    assert told["totals"]["words"]["in_redis"] == told["totals"]["words"]["in_files"] > 0
    assert run("redis", "DBSIZE") == (0, "0\n", "")


@pytest.mark.server
@pytest.mark.slow
def test_the_demo_fails_if_the_totals_are_not_those_of_the_files(
    program: Callable[..., Program], documents: Path, url: str, run: Run, until: Until
) -> None:
    demo = program("demo", "--folder", "documents", "--count", "1", "--no-kill")
    until(lambda: "is at work" in demo.said)
    namespace = run("redis", "KEYS", "*:workers").out.removeprefix("1) ").removesuffix(":workers\n")
    for partition in range(12):
        run("redis", "HINCRBY", f"{{{namespace}:{partition}}}:app:totals", "words", "1")

    assert demo.wait(60.0) == 1

    assert demo.said.count("DIFFERENT") == 1
    assert "The check FAILED" in demo.said


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_demo_that_was_interrupted(
    program: Callable[..., Program], documents: Path, project: Path, until: Until, number: signal.Signals
) -> None:
    demo = program("demo", "--folder", "documents", HEADRACE_URL="", MARK=str(project))
    until(lambda: demo.said.count("is at work") == 2)

    os.kill(demo.process.pid, number)

    assert demo.wait(15.0) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert "Traceback" not in demo.said
    until(lambda: not living(str(project)))
