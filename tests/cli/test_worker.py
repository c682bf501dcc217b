from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from kernel.embedded import EmbeddedServer
from kernel.embedded_guard import ask
from tests.cli.processes import living

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.processes import Program, Run

    Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.server


def is_running(run: Run, workflow_id: str) -> bool:
    return "running" in run("show", workflow_id).out


def test_a_worker_drains_on_sigterm(run: Run, worker: Program, until: Until) -> None:
    run("start", "shop.flows:manager", "slow", "[1.0]", "--id", "last")
    until(lambda: is_running(run, "last"))

    worker.signal(signal.SIGTERM)
    until(lambda: "draining" in worker.said)
    run("start", "shop.flows:manager", "checkout", '["c"]', "--id", "late")

    assert worker.wait() == 0
    assert "last  slow  completed" in run("show", "last").out
    assert "in_progress" in run("show", "late").out
    assert "worker stopped" in worker.said


def test_what_does_not_end_within_the_grace_time_goes_to_another_worker_at_once(
    run: Run, url: str, program: Callable[..., Program], until: Until
) -> None:
    leaving = program("worker", "shop.flows:manager", "--grace", "0.2")
    run("start", "shop.flows:manager", "slow", "[1.5]", "--id", "moved")
    until(lambda: is_running(run, "moved"))

    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 0
    program("worker", "shop.flows:manager")
    until(lambda: "completed" in run("show", "moved").out)


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    "case",
    [
        ("1", "ground", "steps=stuck/grind"),
        ("2", "ground", "steps=stuck/grind"),
        ("1", "pondered", "ended without waiting for threads"),
    ],
)
def test_a_worker_ends_though_a_thread_runs_on(
    run: Run, program: Callable[..., Program], until: Until, case: tuple[str, str, str]
) -> None:
    processes, flow, said = case
    leaving = program("worker", "shop.flows:manager", "--grace", "0", "--processes", processes)
    until(lambda: leaving.said.count("worker started") == int(processes))
    run("start", "shop.flows:manager", flow, "[60]", "--id", "stuck")
    until(lambda: is_running(run, "stuck"))

    leaving.signal(signal.SIGTERM)

    assert leaving.wait(15.0) == 0
    assert said in leaving.said
    assert (flow == "ground") != ("ended without waiting" in leaving.said), (
        "for a step's thread it does not wait at all"
    )
    assert "worker stopped" in leaving.said
    assert "queued" in run("show", "stuck").out, "it was handed over"


def test_a_second_signal_ends_a_worker_at_once(run: Run, worker: Program, until: Until) -> None:
    run("start", "shop.flows:manager", "slow", "[30]", "--id", "long")
    until(lambda: is_running(run, "long"))

    worker.signal(signal.SIGTERM)
    until(lambda: "draining" in worker.said)

    def ended_by_another() -> bool:
        if worker.process.poll() is None:  # a second that comes at once is taken for the first
            worker.signal(signal.SIGINT)
        return worker.process.poll() is not None

    until(ended_by_another)
    assert worker.wait(5.0) == 1
    assert "ended before it was drained" in worker.said
    assert "Traceback" not in worker.said


def test_what_a_worker_has_loaded_is_no_work_for_the_garbage_collector(run: Run, worker: Program) -> None:
    assert run("start", "shop.flows:manager", "heap", "--wait").out == "true\n", worker.said


def test_a_worker_runs_under_the_hash_seed_of_its_namespace(
    run: Run, worker: Program, embedded_server: EmbeddedServer
) -> None:
    done = run("start", "shop.flows:manager", "slow", "[0]", "--wait")

    seed = ask(embedded_server.socket, b"HGET {default:0}:meta seed")
    assert seed is not None
    assert done.out == f'"{seed.decode()}"\n'


def test_the_log_is_key_value_lines(worker: Program, until: Until) -> None:
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    started, *_, stopped = worker.said.splitlines()
    assert " info    worker started worker=" in started
    assert started.endswith("queues=default")
    assert " info    worker stopped worker=" in stopped


def test_several_processes_are_restarted_when_they_crash_and_end_together(
    run: Run, url: str, program: Callable[..., Program], until: Until, project: Path
) -> None:
    parent = program("worker", "shop.flows:manager", "--processes", "2", MARK=str(project))
    until(lambda: parent.said.count("worker started") == 2)
    children = living(str(project)) - {parent.process.pid}
    assert len(children) == 2

    os.kill(min(children), signal.SIGKILL)
    until(lambda: parent.said.count("worker started") == 3)
    assert "a worker process ended and is started again" in parent.said
    assert len(living(str(project))) == 3
    assert run("start", "shop.flows:manager", "checkout", '["c"]', "--wait").out == '"c:5"\n'

    parent.signal(signal.SIGINT)
    assert parent.wait() == 0
    assert living(str(project)) == set()


def test_no_process_outlives_a_supervisor_that_was_killed(
    url: str, program: Callable[..., Program], until: Until, project: Path
) -> None:
    parent = program("worker", "shop.flows:manager", "--processes", "2", MARK=str(project))
    until(lambda: parent.said.count("worker started") == 2)

    parent.signal(signal.SIGKILL)

    parent.wait()
    until(lambda: not living(str(project)))


def test_a_worker_ends_though_its_server_is_gone(
    program: Callable[..., Program], until: Until, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer.open(project / "own") as server:
        worker = program("worker", "shop.flows:manager", "--grace", "0.1", HEADRACE_URL=server.url)
        until(lambda: "worker started" in worker.said)
    until(lambda: not EmbeddedServer.running(project / "own"))

    worker.signal(signal.SIGTERM)

    assert worker.wait(15.0) == 0
    assert "could not leave cleanly" in worker.said


def test_a_worker_that_is_started_before_its_server_waits_for_it(
    program: Callable[..., Program], until: Until, project: Path
) -> None:
    address = project / "late.sock"
    worker = program("worker", "shop.flows:manager", "--processes", "2", HEADRACE_URL=f"unix://{address}")
    until(lambda: "waiting for the Redis server" in worker.said)
    with EmbeddedServer.open(project / "own") as server:
        address.symlink_to(server.socket)
        until(lambda: worker.said.count("worker started") == 2)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
    assert "No Redis server answers" in worker.said
    assert "Traceback" not in worker.said


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_that_waits_for_its_server_ends_when_it_is_told_to(
    program: Callable[..., Program], until: Until, processes: str
) -> None:
    worker = program("worker", "shop.flows:manager", "--processes", processes, "--wait", "1000")
    until(lambda: "waiting for the Redis server" in worker.said)

    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert "stopped before a Redis server answered" in worker.said


def test_a_worker_waits_no_longer_than_it_is_told_to(run: Run) -> None:
    done = run("worker", "shop.flows:manager", "--wait", "0.1")

    assert done.code == 1
    assert done.err.count("waiting for the Redis server") == 1
    assert "headrace worker: No Redis server answers at redis://127.0.0.1:1" in done.err
    assert run("worker", "shop.flows:manager", "--wait", "0").error.startswith("headrace worker: No Redis server")


@pytest.mark.parametrize(
    ("said", "answer"),
    [("password=sesame", "?password=*** refuses the login"), ("db=9999", "DB index is out of range")],
)
def test_a_worker_does_not_wait_for_what_waiting_does_not_mend(
    run: Run, embedded_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, said: str, answer: str
) -> None:
    monkeypatch.setenv("HEADRACE_URL", f"{embedded_server.url}?{said}")

    error = run("worker", "shop.flows:manager").error

    assert answer in error
    assert "sesame" not in error


def test_a_worker_whose_server_is_a_replica_ends_when_it_is_told_to(
    run: Run, program: Callable[..., Program], until: Until, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer.open(project / "own") as server:
        monkeypatch.setenv("HEADRACE_URL", server.url)
        assert run("start", "shop.flows:manager", "checkout", '["c"]').code == 0
        assert ask(server.socket, b"REPLICAOF 127.0.0.1 1") == b"+OK"
        worker = program("worker", "shop.flows:manager")
        until(lambda: "READONLY" in worker.said)

        worker.signal(signal.SIGTERM)

        assert worker.wait(10.0) == 0
        assert "Traceback" not in worker.said


def test_a_worker_under_which_the_namespace_was_founded_anew_begins_anew_under_its_seed(
    run: Run, worker: Program, until: Until, embedded_server: EmbeddedServer
) -> None:
    founded = "redis.call('HSET', '{default:0}:meta', 'partitions', 12, 'format', 1, 'seed', 7)"
    assert ask(embedded_server.socket, f"EVAL \"redis.call('FLUSHALL') return {founded}\" 0".encode()) == b":3"

    until(lambda: worker.said.count("worker started") == 2)

    assert "this worker begins anew" in worker.said
    assert run("start", "shop.flows:manager", "slow", "[0]", "--wait").out == '"7"\n'


def test_a_worker_logs_failures_under_the_ids_that_people_know(run: Run, worker: Program, until: Until) -> None:
    run("start", "shop.flows:manager", "declined", "--id", "order-8")

    until(lambda: "a workflow failed workflow_id=order-8 " in worker.said)
    assert "a step failed and is tried again workflow_id=order-8 step=decline attempt=1 " in worker.said
    assert "a step failed workflow_id=order-8 step=decline attempt=2 " in worker.said
