"""What counts as a second signal: one that somebody sent on purpose, not the first one's echo."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from actors.cli import lifeline
from tests.cli.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def heard(*numbers: signal.Signals) -> list[str]:
    """Return what is called when this process gets these signals, one right after the other."""
    calls: list[str] = []

    async def listen() -> None:
        all_came = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, all_came.set)
        with lifeline.on_signals(lambda: calls.append("first"), again=lambda: calls.append("again")):
            for number in (*numbers, signal.SIGUSR1):
                os.kill(os.getpid(), number)
            await all_came.wait()

    asyncio.run(listen())
    return calls


def test_a_second_signal_that_comes_at_once_is_the_first_once_more() -> None:
    assert heard(signal.SIGTERM, signal.SIGTERM, signal.SIGINT) == ["first"]


def test_every_signal_that_comes_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "ECHO_S", -1.0)

    assert heard(signal.SIGTERM, signal.SIGTERM, signal.SIGINT) == ["first", "again", "again"]


def test_an_interrupt_while_the_command_is_imported_ends_it_without_a_word(tmp_path: Path) -> None:
    slow = tmp_path / "actors"
    slow.mkdir()
    interrupt = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n"
    (slow / "__init__.py").write_text(interrupt, encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, "-c", "import headrace; headrace.main()"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        timeout=20,
        check=False,
        # Whoever runs the tests in the background may have let them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def test_the_installed_command_is_the_command_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "headrace", "--version"], cwd=ROOT, capture_output=True, timeout=20, check=True
    )
    assert ended.stdout.startswith(b"headrace ")
