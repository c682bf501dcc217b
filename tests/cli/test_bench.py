"""``headrace bench``: every workload gives a line with all that a line must have; wrong usage says what to do."""

from __future__ import annotations

import argparse
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from actors.bench import WORKLOADS, BenchError, Facts, Line, Plan, json_line, run_benchmark, table
from actors.bench.job import Job, Sample
from actors.cli.bench import register

if TYPE_CHECKING:
    from collections.abc import Callable

FACTS = Facts(versions={"python": "3", "redis": "8", "hiredis": "3", "headrace": "0"}, redis={"version": "7"}, cpus=2)


def bench(*words: str) -> int:
    """Run ``headrace bench`` in this process; return its exit code."""
    parser = argparse.ArgumentParser(prog="headrace")
    register(parser.add_subparsers(required=True))
    args = parser.parse_args(["bench", *words])
    return cast("int", args.func(args))


def line_of(*samples: Sample, floors: tuple[Sample, ...] = ()) -> Line:
    return Line.of(workload="latency", workers=1, count=3, unit="ms", samples=samples, floors=floors)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--against", "no-such-commit"],
            "'no-such-commit' is no commit of this repository: give one that `git log` shows",
        ),
        (["--against", "HEAD", "--rounds", "0"], "'0' is no number of 1 or more"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(words: list[str], said: str) -> None:
    script = Path(__file__).parents[2] / "scripts" / "against.py"
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(said)
    assert "Traceback" not in done.stderr


@pytest.mark.server
def test_every_workload_prints_one_line_with_value_floor_and_surroundings(capfd: pytest.CaptureFixture[str]) -> None:
    code = bench("--count", "200", "--runs", "1", "--seconds", "0.3", "--json")

    said = capfd.readouterr()
    assert (code, said.err) == (0, "")
    lines: list[dict[str, Any]] = [json.loads(text) for text in said.out.splitlines()]
    assert [line["workload"] for line in lines] == list(WORKLOADS)
    for line in lines:
        assert line["workers"] == (1 if WORKLOADS[line["workload"]].has_workers else 0)
        assert line["unit"] == WORKLOADS[line["workload"]].unit
        assert line["runs"] == [line["value"]]
        assert line["value"] >= 0
        assert line["floor"] >= 0
        assert line["ratio"] is None or line["ratio"] > 0
        assert (line["redis"]["appendonly"], line["redis"]["appendfsync"]) == ("yes", "everysec")
        assert {"python", "headrace", "redis", "hiredis"} <= set(line["versions"])
        assert line["cpus"] >= 1


@pytest.mark.server
def test_two_workers_measure_on_a_server_of_ones_own_and_leave_nothing_on_it(
    server_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = bench("sequential", "--workers", "2", "--count", "20", "--runs", "2", "--json", "--url", server_url)

    line = json.loads(capfd.readouterr().out)
    assert (code, line["workers"], len(line["runs"]), len(line["floor_runs"])) == (0, 2, 2, 2)
    left = subprocess.run(
        [sys.executable, "-c", "import redis, sys; print(redis.from_url(sys.argv[1]).keys())", server_url],
        check=True,
        capture_output=True,
        text=True,
    )
    assert left.stdout.strip() == "[]"


@pytest.mark.server
def test_whoever_stops_early_leaves_no_process_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], object]], None]
) -> None:
    program = (
        # A shell that starts something in the background has it ignore Ctrl-C, and its children too.
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from actors.bench import Plan, run_benchmark\n"
        "next(run_benchmark(Plan(workloads=('idle',), seconds=600.0), lambda what: print(what, flush=True)))\n"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert "idle" in process.stdout.readline()
    started = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate()

    assert len(started) == 3, "the process that clears up, the worker, the measuring client"
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
    assert not list(tmp_path.iterdir())


def children_of(parent: int) -> list[int]:
    if not Path("/proc").exists():
        pytest.skip("reads /proc")
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text(encoding="utf-8")
        except OSError:
            continue
        if int(status.rpartition(")")[2].split()[1]) == parent:
            found.append(int(entry.name))
    return found


def test_medians_are_of_all_runs_and_the_ratio_is_value_by_floor() -> None:
    samples = Sample(3.0, {"p99_ms": 9.0}), Sample(1.0, {"p99_ms": 5.0}), Sample(2.0, {"p99_ms": 7.0})

    line = line_of(*samples, floors=(Sample(0.5, {"p99_ms": 1.0}), Sample(1.5, {"p99_ms": 3.0})))

    assert (line.value, line.floor, line.ratio) == (2.0, 1.0, 2.0)
    assert line.runs == [3.0, 1.0, 2.0]
    assert line.details == {"p99_ms": 7.0, "floor_p99_ms": 2.0}


def test_a_floor_of_nothing_has_no_ratio() -> None:
    line = line_of(Sample(0.2, floor=0.0))

    assert (line.floor, line.ratio) == (0.0, None)


def test_the_table_shows_each_workload_and_what_it_was_measured_on() -> None:
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(table([line_of(Sample(0.25, {"p99_ms": 9.0}), floors=(Sample(0.05),))], FACTS))

    text = console.export_text()
    assert "latency" in text
    assert "0.25" in text
    assert "p99 ms 9" in text
    assert "Redis 7" in text


def test_a_line_is_json() -> None:
    assert json.loads(json_line(line_of(Sample(1.0)), FACTS))["redis"] == {"version": "7"}


def test_a_job_survives_its_way_to_a_child() -> None:
    job = Job(
        workload="idle",
        url="unix:///x",
        namespace="n",
        partitions=None,
        count=0,
        seconds=1.0,
        cache_instances=1,
        processes=1,
        worker_pids=(1, 2),
    )

    assert Job.decode(job.encode()) == job


def test_memory_cannot_be_measured() -> None:
    with pytest.raises(BenchError, match="give a server's URL"):
        next(run_benchmark(Plan(workloads=("idle",), url="memory://"), lambda _what: None))


def test_an_unreachable_server_is_one_line_and_exit_code_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # A wrong scheme: no server is waited for.
    code = bench("starts", "--url", f"nothing://{tmp_path}")

    said = capfd.readouterr()
    assert (code, said.out, len(said.err.splitlines())) == (1, "", 1)


@pytest.mark.parametrize(
    "words", [["nosuch"], ["--workers", "0"], ["--count", "x"], ["--runs", "-1"], ["--seconds", "0"]]
)
def test_wrong_usage_says_what_to_give_and_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench(*words)

    assert stopped.value.code == 2
    assert words[-1] in capsys.readouterr().err
