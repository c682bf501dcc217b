"""A project with workflows, and ways to run the command line in its folder: in this process, or as a real one."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from actors.cli import main
from tests.cli.processes import Done, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.processes import Run

FLOWS = """
from __future__ import annotations
import asyncio, gc, os
import time
from datetime import timedelta
from pathlib import Path
from actors import RetryPolicy, Step, WorkflowManager, current_step

manager = WorkflowManager(worker_timeout=1)
nothing = 5

@manager.action
async def charge(cart: str, *, cents: int) -> str:
    return f"{cart}:{cents}"

@manager.action(retry=RetryPolicy(max_attempts=2, initial_backoff=0.01))
async def decline() -> None:
    raise ValueError("no [bold]luck[/]\\nsecond line")

@manager.action(retry=True)
async def dawdle(length_s: float) -> str:
    await asyncio.sleep(length_s)
    return os.environ.get("PYTHONHASHSEED", "")

@manager.action(retry=True)
def grind(length_s: float) -> int:
    attempt = current_step().attempt
    time.sleep(length_s / attempt)
    return attempt

@manager.action(retry=True)
async def ponder(length_s: float) -> None:
    await asyncio.to_thread(time.sleep, length_s)

@manager.action
async def frozen() -> bool:
    return gc.get_freeze_count() > 10_000

@manager.workflow(name="heap")
async def heap(step: Step) -> bool:
    return await step.run_action(frozen)

@manager.workflow(name="checkout")
async def checkout(step: Step, cart_id: str, cents: int = 5) -> str:
    return await step.run_action(charge, cart_id, cents=cents)

@manager.workflow(name="declined")
async def declined(step: Step) -> None:
    await step.run_action(decline)

@manager.workflow(name="slow")
async def slow(step: Step, length_s: float) -> str:
    return await step.run_action(dawdle, length_s)

@manager.workflow(name="ground")
async def ground(step: Step, length_s: float) -> int:
    return await step.run_action(grind, length_s)

@manager.workflow(name="pondered")
async def pondered(step: Step, length_s: float) -> None:
    await step.run_action(ponder, length_s)

@manager.action(name="draw", queue="gpu")
async def draw() -> None: ...

@manager.workflow(name="drawn")
async def drawn(step: Step) -> None:
    await step.run_action(draw)

@manager.workflow(name="parked")
async def parked(step: Step) -> None:
    await step.sleep(timedelta(days=30))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with ``shop.flows:manager`` in it."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "flows.py").write_text(FLOWS, encoding="utf-8")
    (package / "broken.py").write_text("import os\n\n1 / 0\n", encoding="utf-8")
    (package / "wrong.py").write_text("def (\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HEADRACE_URL", "redis://127.0.0.1:1")
    yield tmp_path
    for name in [name for name in sys.modules if name == "shop" or name.startswith("shop.")]:
        del sys.modules[name]


@pytest.fixture
def url(project: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a real, empty server, which the commands use too."""
    monkeypatch.setenv("HEADRACE_URL", server_url)
    return server_url


@pytest.fixture
def run(project: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process."""

    def run_command(*words: str) -> Done:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    handlers = logging.root.handlers[:]
    yield run_command
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


@pytest.fixture
def program(project: Path) -> Iterator[Callable[..., Program]]:
    """Start a command as a process of its own; what is left at the end is killed."""
    programs: list[Program] = []

    def start(*words: str, **environment: str) -> Program:
        programs.append(Program(words, folder=project, environment=environment))
        return programs[-1]

    yield start
    for one in programs:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def worker(url: str, program: Callable[..., Program], until: Callable[[Callable[[], object]], None]) -> Program:
    """A worker that is at work."""
    started = program("worker", "shop.flows:manager", "--concurrency", "4")
    until(lambda: "worker started" in started.said)
    return started
