"""What the documents show runs: the README's example, and every `headrace` command that they name."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from actors.cli import program

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "deploy" / "README.md"])


def blocks(document: Path, language: str) -> list[str]:
    """Return a document's code blocks of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def commands() -> list[tuple[str, str]]:
    """Return every line of a shell block that calls ``headrace``, without its comment, with its document."""
    lines = [(d.name, line.strip()) for d in DOCUMENTS for block in blocks(d, "sh") for line in block.splitlines()]
    return [(name, line) for name, line in lines if line.startswith("headrace ")]


def run(file: Path, folder: Path) -> str:
    """Run a program on a Redis inside its process; return what it prints."""
    environment = {**os.environ, "HEADRACE_URL": "memory://", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        check=False,
        cwd=folder,
        env=environment,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_in_the_readme_is_the_file_in_examples() -> None:
    assert blocks(ROOT / "README.md", "python")[0] == (ROOT / "examples" / "hello.py").read_text(encoding="utf-8")


def test_the_example_in_the_readme_runs(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(blocks(ROOT / "README.md", "python")[0], encoding="utf-8")

    assert "6" in run(file, tmp_path).splitlines()


def test_the_documents_show_commands() -> None:
    assert len(commands()) >= 5


@pytest.mark.parametrize(("document", "line"), commands())
def test_every_command_in_the_documents_exists(document: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line, comments=True)[1:]

    try:
        program._parser(words).parse_args(words)
    except SystemExit as ended:
        if ended.code:
            pytest.fail(f"{document}: {line}: {capsys.readouterr().err}")
