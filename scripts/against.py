"""Compares the working tree with another commit: the same benchmarks in both, in turns, in one sitting.

Run by ``scripts/bench --against COMMIT``. Machines are noisy, so what counts is the median of the ratios of neighbours.
The other commit is run with the packages of this one's environment.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final, NoReturn

ROOT: Final = Path(__file__).parents[1]
RUN_S_MAX: Final = 300
"""No run of one benchmark takes longer."""


def main(words: list[str]) -> int:
    """Compare; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="The working tree against another commit.")
    parser.add_argument(
        "workloads", nargs="*", default=["sequential"], help="as of headrace bench (default: sequential)"
    )
    parser.add_argument("--against", required=True, metavar="COMMIT", help="the other state of the project")
    parser.add_argument("--rounds", type=positive, default=7, help="pairs of runs (default: 7)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a run takes about (default: 4)")
    said = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="headrace-against-") as folder:
        there = Path(folder)
        unpack(said.against, there)
        for workload in said.workloads:
            compare(workload, there, rounds=said.rounds, seconds=said.seconds)
    return 0


def positive(text: str) -> int:
    """Read a number of 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def fail(message: str) -> NoReturn:
    """End with one line."""
    sys.exit(f"scripts/bench: {message}")


def unpack(commit: str, folder: Path) -> None:
    """Put a commit's files into a folder."""
    git = shutil.which("git") or fail("git is needed to get at another commit: install it")
    packed = subprocess.run([git, "archive", "--format=zip", commit], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        fail(f"{commit!r} is no commit of this repository: give one that `git log` shows")
    with zipfile.ZipFile(io.BytesIO(packed.stdout)) as files:
        files.extractall(folder)


def compare(workload: str, there: Path, *, rounds: int, seconds: float) -> None:
    """Print a line for each pair of runs, and the median of their ratios."""
    ratios: list[float] = []
    for number in range(rounds):
        trees = [ROOT, there] if number % 2 else [there, ROOT]  # whoever comes second may find the machine warmer
        values = {tree: measured(tree, workload, seconds) for tree in trees}
        ratios.append(values[ROOT] / values[there])
        print(f"{workload}: {values[ROOT]:,.10g} against {values[there]:,.10g}, ratio {ratios[-1]:.3f}", flush=True)
    print(f"{workload}: median ratio {statistics.median(ratios):.3f} of {rounds}")


def measured(tree: Path, workload: str, seconds: float) -> float:
    """Run one benchmark in a tree; return its value, in the workload's unit."""
    command = [sys.executable, "-m", "actors.cli", "bench", workload]
    try:
        done = subprocess.run(
            [*command, "--seconds", str(seconds), "--runs", "1", "--json"],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=RUN_S_MAX,
            check=True,
        )
    except subprocess.CalledProcessError:
        fail(f"`headrace bench {workload} --json` failed in {tree}, see above; has that commit this benchmark?")
    except subprocess.TimeoutExpired:
        fail(f"`headrace bench {workload}` took longer than {RUN_S_MAX} s: give fewer --seconds")
    value: float = json.loads(done.stdout)["value"]
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
