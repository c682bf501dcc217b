from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = """
from actors import RetryPolicy, Step, WorkflowManager

manager = WorkflowManager("redis://nowhere.invalid")
seen = []

@manager.action(retry=RetryPolicy(max_attempts=9, initial_backoff=60))
async def act(number: int) -> int:
    return number

@manager.workflow
async def flow(step: Step) -> int:
    return sum([await step.run_action(act, number) for number in range(9)])

def test_one(workflow_tester):
    with workflow_tester(manager) as tester:
        assert tester.run(flow) == 36
        print("crashes:", tester.crashes, "cached:", tester._settings.cache_instances)

def test_two(workflow_tester):
    assert workflow_tester(manager).run(flow) == 36
    workflow_tester(manager).__enter__()  # the fixture leaves it
"""


def run(folder: Path, *options: str) -> str:
    """Run the tests of a user's project; return what they print."""
    (folder / "conftest.py").write_text('pytest_plugins = ["actors.testing.plugin"]\n')
    (folder / "test_flows.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-W", "error", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixture_runs_workflows_in_a_project_of_its_own(tmp_path: Path) -> None:
    output = run(tmp_path)
    assert "2 passed" in output
    assert "crashes: 0 cached: 10000" in output


def test_options_make_every_tester_crash_and_replay(tmp_path: Path) -> None:
    output = run(tmp_path, "--workflow-crash-seed", "7", "--workflow-replay", "always")
    assert "2 passed" in output
    assert "crashes: 0" not in output
    assert "cached: 0" in output
