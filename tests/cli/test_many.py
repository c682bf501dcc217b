"""The command line on tags, on many instances at once, and on running them again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from actors.cli.loading import load_manager

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.processes import Done, Run

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def history(project: Path, url: str) -> None:
    """Two that run, one of them with tags, and one that has failed."""

    async def inside() -> None:
        manager = load_manager("shop.flows:manager")
        parked, declined = (manager.get_workflow(name) for name in ("parked", "declined"))
        async with manager:
            async with manager.worker():
                handle = await manager.start(declined.with_options(id="failed"))
                await asyncio.gather(handle.result(timeout=20), return_exceptions=True)
            await manager.start(parked.with_options(id="tagged", tags={"team": "a", "env": "x"}))
            await manager.start(parked.with_options(id="plain"))

    asyncio.run(inside())


def objects(done: Done) -> list[dict[str, Any]]:
    assert (done.code, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_list_shows_tags_and_finds_by_them(run: Run) -> None:
    assert [item["id"] for item in objects(run("list", "--tag", "team=a", "--tag", "env=x", "--json"))] == ["tagged"]
    assert "no workflows like that" in run("list", "--tag", "team=b").out
    assert "env=x, team=a" in run("list").out
    assert "tags env=x, team=a" in run("show", "tagged").out


def test_show_says_that_nobody_has_the_code(run: Run) -> None:
    assert "no worker has version '1' of the workflow 'parked'" in run("show", "plain").out
    (shown,) = objects(run("show", "plain", "--json"))
    assert "start a worker" in shown["status"]["waiting"]


def test_a_filter_changes_nothing_without_being_confirmed(run: Run) -> None:
    for command in ("cancel", "restart", "cleanup"):
        done = run(command, "--workflow", "parked")
        assert "see them with headrace list, then add --yes" in done.error
        assert done.code == 1
    assert len(objects(run("list", "--status", "in_progress", "--json"))) == 2


def test_cancel_and_cleanup_change_all_that_fit(run: Run) -> None:
    assert run("cancel", "--tag", "team=a", "--yes") == (0, "canceled 1 workflow\n", "")
    assert objects(run("cancel", "--workflow", "parked", "--yes", "--json")) == [{"canceled": 1}]
    assert run("cleanup", "--status", "canceled", "--yes") == (0, "deleted 2 workflows\n", "")
    assert [item["id"] for item in objects(run("list", "--json"))] == ["failed"]


def test_restart_takes_one_or_all_that_fit(run: Run) -> None:
    assert run("restart", "failed") == (0, "failed: restarted\n", "")
    again = run("restart", "failed")
    assert "has not ended" in again.error
    assert again.code == 1
    run("cancel", "failed")
    assert "there is no step 'nothing'" in run("restart", "failed", "--from-step", "nothing").error
    assert objects(run("restart", "failed", "--from-step", "1", "--json")) == [{"id": "failed", "restarted": True}]
    run("cancel", "failed")
    assert run("restart", "--status", "canceled", "--yes") == (0, "restarted 1 workflow\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cancel", "give an id, or a filter: --workflow, --status, --tag"),
        ("cancel plain --workflow parked", "give an id, or a filter"),
        ("cleanup --status in_progress --yes", "invalid choice: 'in_progress'"),
        ("list --tag team", "write a tag as key=value"),
        ("restart --workflow parked --from-step 1 --yes", "--from-step goes with an id"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, words: str, message: str) -> None:
    done = run(*words.split())

    assert message in done.error
    assert (done.code, done.out) == (2, "")
