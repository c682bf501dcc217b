"""Every example runs as it stands, on a Redis inside its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAST_LINES = {
    "hello": "6",
    "mirrors": "about: about from ",
    "order": "parcel with 2 of lamp",
    "reminder": "reminders: 3",
}


def test_all_examples_are_run() -> None:
    assert sorted(LAST_LINES) == sorted(file.stem for file in (ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("name", LAST_LINES)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path,
        env={**os.environ, "HEADRACE_URL": "memory://", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert any(line.startswith(LAST_LINES[name]) for line in done.stdout.splitlines()), done.stdout
