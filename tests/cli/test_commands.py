from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from actors.cli.loading import load_manager

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.processes import Done, Program, Run

pytestmark = pytest.mark.server


@pytest.fixture
def history(project: Path, url: str) -> None:
    """One workflow of each kind: completed, failed, parked, and one that nobody works on."""

    async def inside() -> None:
        manager = load_manager("shop.flows:manager")
        async with manager:
            async with manager.worker():
                for name, workflow_id, arguments in (
                    ("checkout", "order-7", ("c-1",)),
                    ("declined", "order-8", ()),
                    ("parked", "order-9", ()),
                ):
                    flow = manager.get_workflow(name).with_options(id=workflow_id)
                    (handle,) = await manager.start_many([flow.bind(*arguments)])
                    if name != "parked":
                        await asyncio.gather(handle.result(timeout=20), return_exceptions=True)
                        continue
                    async for snapshot in handle.watch():
                        if snapshot.steps:
                            break
            await manager.start_many([manager.get_workflow("slow").with_options(id="order-10").bind(5)])

    asyncio.run(inside())


async def complete(path: str) -> object:
    """Take the workflow ``flow`` of a manager to its end under the id ``order-7``."""
    manager = load_manager(path)
    async with manager, manager.worker():
        (handle,) = await manager.start_many([manager.get_workflow("flow").with_options(id="order-7").bind("secret")])
        return await handle.result(timeout=20)


def objects(done: Done) -> list[dict[str, Any]]:
    assert (done.code, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_start_prints_the_id(run: Run, url: str) -> None:
    done = run("start", "shop.flows:manager", "checkout", '{"cart_id": "c-1"}', "--id", "order-7")

    assert done == (0, "order-7\n", "")


def test_start_without_an_id_makes_one(run: Run, url: str) -> None:
    (told,) = objects(run("start", "shop.flows:manager", "parked", "--json"))

    assert told["workflow"] == "parked"
    assert run("show", told["id"]).code == 0


def test_start_waits_for_the_result(run: Run, worker: Program) -> None:
    as_object = run("start", "shop.flows:manager", "checkout", '{"cart_id": "c-1", "cents": 7}', "--wait")
    as_array = run("start", "shop.flows:checkout", '["c-2"]', "--wait", "--json", "--id", "o")

    assert as_object == (0, '"c-1:7"\n', "")
    assert objects(as_array) == [{"id": "o", "workflow": "checkout", "result": "c-2:5"}]


def test_start_says_how_a_workflow_failed(run: Run, worker: Program) -> None:
    done = run("start", "shop.flows:manager", "declined", "--id", "order-8", "--wait")

    assert "workflow 'order-8': " in done.error
    assert "ValueError: no [bold]luck[/] second line" in done.error
    assert (done.code, done.out) == (1, "")


def test_start_gives_up_waiting_when_told_to(run: Run, url: str) -> None:
    done = run("start", "shop.flows:manager", "parked", "--id", "order-9", "--wait", "--timeout", "0.1")

    assert "workflow 'order-9' has not ended within 0.1 s" in done.error
    assert done.code == 1


@pytest.mark.parametrize("command", ["show", "history", "watch"])
def test_what_was_written_through_a_codec_is_read_by_naming_it(run: Run, url: str, project: Path, command: str) -> None:
    (project / "shop" / "sealed.py").write_text(
        "from actors import Step, WorkflowManager\nfrom actors.codecs import Encryption\n"
        "manager = WorkflowManager(codec=Encryption({'k': bytes(32)}, current='k'))\n"
        "@manager.workflow(name='flow')\nasync def flow(step: Step, text: str) -> str:\n    return text\n",
        encoding="utf-8",
    )
    sealed = "shop.sealed:manager"
    assert asyncio.run(complete(sealed)) == "secret"

    blind = run(command, "order-7")

    assert (
        "what 'order-7' holds was written through a codec: add --codec MODULE:NAME, the codec or the manager that has "
        "it, such as --codec shop.flows:manager"
    ) in blind.error
    assert blind.code == 1
    assert "secret" in run(command, "order-7", "--codec", sealed).out


def test_whoever_ends_the_wait_is_told_what_goes_on(
    run: Run, program: Callable[..., Program], url: str, until: Callable[..., None]
) -> None:
    waiting = program("start", "shop.flows:manager", "parked", "--id", "order-9", "--wait", HEADRACE_NAMESPACE="other")
    until(lambda: run("show", "order-9").code == 0)
    waiting.signal(signal.SIGINT)

    assert waiting.wait() == 130
    assert waiting.said == (
        "headrace start: workflow 'order-9' has not ended; it goes on: see headrace show order-9 --namespace default\n"
    )
    assert json.loads(run("show", "order-9", "--json").out)["status"]["type"] == "in_progress"


@pytest.mark.usefixtures("history")
def test_list_shows_a_table_newest_first(run: Run) -> None:
    done = run("list")

    head, *rows = done.out.splitlines()
    assert head.split() == ["id", "workflow", "status", "started", "took"]
    assert [row.split()[:3] for row in rows] == [
        ["order-10", "slow", "in_progress"],
        ["order-9", "parked", "in_progress"],
        ["order-8", "declined", "failed"],
        ["order-7", "checkout", "completed"],
    ]


@pytest.mark.usefixtures("history")
def test_list_filters_and_pages(run: Run) -> None:
    assert [item["id"] for item in objects(run("list", "--json", "--status", "failed"))] == ["order-8"]
    assert [item["id"] for item in objects(run("list", "--json", "--workflow", "parked"))] == ["order-9"]
    *first, more = objects(run("list", "--json", "--limit", "3", "--oldest-first"))
    (last,) = objects(run("list", "--json", "--limit", "3", "--oldest-first", "--cursor", more["cursor"]))
    assert [item["id"] for item in (*first, last)] == ["order-7", "order-8", "order-9", "order-10"]


def test_list_says_when_there_is_nothing(run: Run, url: str) -> None:
    run("start", "shop.flows:manager", "parked", "--id", "order-9")
    assert run("list", "--status", "failed").out == "no workflows like that in 'default'\n"
    run("cancel", "order-9")
    run("cleanup", "order-9")
    assert run("list").out == "no workflows in 'default'\n"
    assert objects(run("list", "--json")) == []


@pytest.mark.usefixtures("history")
def test_show_tells_steps_attempts_and_errors(run: Run) -> None:
    completed, failed = run("show", "order-7"), run("show", "order-8")

    assert "order-7  checkout  completed  c-1:5" in completed.out
    assert "1  charge  step  completed  1" in completed.out
    assert '"c-1", cents=5' in completed.out
    assert "order-8  declined  failed  " in failed.out
    assert "step 1 decline, attempt 1, " in failed.out
    assert "no [bold]luck[/]" in failed.out
    assert 'raise ValueError("no [bold]luck[/]' in failed.out


@pytest.mark.usefixtures("history")
def test_show_gives_programs_an_object(run: Run) -> None:
    (shown,) = objects(run("show", "order-8", "--json"))

    assert (shown["id"], shown["workflow"], shown["status"]["type"]) == ("order-8", "declined", "failed")
    (step,) = shown["steps"]
    assert (step["name"], step["state"], step["attempt"]) == ("decline", "failed", 2)
    assert [attempt["error"]["error_type"] for attempt in step["attempts"]] == ["ValueError"]


@pytest.mark.usefixtures("history")
def test_show_tells_when_a_scheduled_workflow_starts(run: Run, project: Path) -> None:
    async def inside() -> None:
        manager = load_manager("shop.flows:manager")
        async with manager:
            await manager.start_many([manager.get_workflow("parked").with_options(id="later", run_after=3600).bind()])

    asyncio.run(inside())

    (shown,) = objects(run("show", "later", "--json"))

    assert shown["status"]["type"] == "scheduled"
    assert shown["status"]["at"] > shown["created"]
    assert "scheduled  starts " in run("show", "later").out


@pytest.mark.usefixtures("history")
def test_watch_ends_with_the_workflow(run: Run) -> None:
    done = run("watch", "order-7")

    assert [line.partition("  ")[2] for line in done.out.splitlines()] == [
        "1 charge (step): completed: c-1:5",
        "order-7: completed: c-1:5",
    ]
    (snapshot,) = objects(run("watch", "order-7", "--json"))
    assert snapshot["status"] == {"result": "c-1:5", "type": "completed"}


@pytest.mark.usefixtures("history")
def test_watch_tells_by_its_exit_code_whether_the_workflow_completed(run: Run) -> None:
    run("cancel", "order-9")

    assert run("watch", "order-7").code == 0
    assert run("watch", "order-8").code == 1
    assert run("watch", "order-9").code == 1


def test_watch_follows_changes(run: Run, program: Callable[..., Program], url: str, until: Callable[..., None]) -> None:
    run("start", "shop.flows:manager", "checkout", '["c-1"]', "--id", "order-7")
    watching = program("watch", "order-7", "--json")
    until(lambda: "in_progress" in watching.said)

    program("worker", "shop.flows:manager")

    assert watching.wait() == 0
    told = [json.loads(line)["status"]["type"] for line in watching.said.splitlines()]
    assert told[0] == "in_progress"
    assert told[-1] == "completed"


@pytest.mark.usefixtures("history")
def test_cancel_ends_a_workflow_once(run: Run) -> None:
    assert run("cancel", "order-9") == (0, "order-9: canceled\n", "")
    again = run("cancel", "order-9")

    assert "workflow 'order-9' had ended before" in again.error
    assert again.code == 1
    assert objects(run("cancel", "order-10", "--cleanup", "--json")) == [
        {"id": "order-10", "canceled": True, "cleanup": True}
    ]


@pytest.mark.usefixtures("history")
def test_cleanup_deletes_what_has_ended(run: Run) -> None:
    running = run("cleanup", "order-9")

    assert "workflow 'order-9' has not ended" in running.error
    assert running.code == 1
    assert run("cleanup", "order-7") == (0, "order-7: deleted\n", "")
    assert run("show", "order-7").code == 1
    assert objects(run("cleanup", "order-8", "--json")) == [{"id": "order-8", "deleted": True}]


@pytest.mark.usefixtures("history")
def test_resume_refuses_what_is_not_stopped(run: Run) -> None:
    done = run("resume", "order-9")

    assert "workflow 'order-9' is not stopped" in done.error
    assert done.code == 1


def test_redis_runs_a_command(run: Run, url: str) -> None:
    assert run("redis") == (0, f"{url}\n", "")
    assert run("redis", "PING").out == "PONG\n"
    assert run("redis", "GET", "nothing").out == "(nil)\n"
    run("redis", "RPUSH", "l", "a", "b")
    assert run("redis", "LRANGE", "l", "0", "-1").out == "1) a\n2) b\n"
    assert objects(run("redis", "--json", "LRANGE", "l", "0", "-1")) == [{"reply": ["a", "b"]}]
    assert objects(run("redis", "LRANGE", "l", "0", "-1", "--json")) == [{"reply": ["a", "b"]}]
    wrong = run("redis", "GET", "l")
    assert wrong.error.startswith("headrace redis: Redis answers: WRONGTYPE ")
    assert wrong.code == 1
    unknown = run("redis", "NOSUCH")
    assert "Redis answers: " in unknown.error
    assert "unknown command" in unknown.error


def test_redis_starts_the_embedded_server(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.delenv("HEADRACE_URL")

    assert run("redis").out.startswith("unix://")
    assert run("redis", "CONFIG", "GET", "appendonly").out == "1) appendonly\n2) yes\n"
    until(lambda: not (project / ".headrace" / "redis.pid").exists())
