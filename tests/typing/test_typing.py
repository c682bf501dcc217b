"""What users' checkers say: nothing about right uses of the author's API, something about every wrong one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("mypy")
pytest.importorskip("pyright")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENTRY = "async def line_{number}(step: Step, cart: Cart, tx: Transaction, status: Status[Receipt]) -> None:"

pytestmark = pytest.mark.slow


def wrong_lines() -> list[str]:
    lines = (HERE / "wrong_lines.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def write_wrong_uses(folder: Path) -> list[range]:
    """Write shop.py and, after it, each wrong use in a function of its own; return the lines of each use."""
    written = (HERE / "shop.py").read_text().splitlines()
    places: list[range] = []
    for number, wrong in enumerate(wrong_lines()):
        written += ["", "", ENTRY.format(number=number)]
        lines = [f"    {line}" for line in wrong.split("\\n")]
        places.append(range(len(written) + 1, len(written) + 1 + len(lines)))
        written += lines
    (folder / "wrong.py").write_text("\n".join(written) + "\n")
    return places


def mypy(file: Path) -> dict[int, str]:
    """Return what mypy says under a user's strict settings, by line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--no-error-summary"]
    command += ["--cache-dir", str(file.parent / "cache"), "--hide-error-context", "--no-pretty", str(file)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=file.parent, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    said = re.findall(rf"^{re.escape(file.name)}:(\d+): error: (.*)$", done.stdout, flags=re.MULTILINE)
    return {int(line): message for line, message in said}


def pyright(file: Path) -> dict[int, str]:
    """Return what pyright says under a user's strict settings, by line."""
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "include": [file.name]}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(file.parent)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=file.parent, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    findings = cast("list[dict[str, Any]]", json.loads(done.stdout)["generalDiagnostics"])
    errors = [finding for finding in findings if finding["severity"] == "error"]
    return {finding["range"]["start"]["line"] + 1: finding["message"] for finding in errors}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_every_wrong_use_is_rejected_and_no_right_one(checker: str, tmp_path: Path) -> None:
    places = write_wrong_uses(tmp_path)
    file = tmp_path / "wrong.py"

    said = mypy(file) if checker == "mypy" else pyright(file)

    right = {line: message for line, message in said.items() if line < places[0].start}
    accepted = [wrong for wrong, place in zip(wrong_lines(), places, strict=True) if not said.keys() & place]
    elsewhere = said.keys() - right.keys() - {line for place in places for line in place}
    assert not right
    assert not accepted
    assert not elsewhere
