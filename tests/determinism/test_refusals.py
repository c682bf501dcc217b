"""I/O, threads, processes and other loops: refused in workflow code at the place where they are asked for."""

# It asks in every way, in which nothing is opened.
# ruff: noqa: ASYNC230, PLW0108, PTH107, PTH123, PTH208, SIM115
from __future__ import annotations

import asyncio
import gc
import linecache
import logging
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
import urllib.request
import warnings
import weakref
import zoneinfo
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from actors.determinism import install
from actors.errors import DeterminismViolation
from actors.registry import Registry
from actors.workflow import Step
from tests.workflow.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.determinism.conftest import Call
    from tests.workflow.host import Code

HERE = pathlib.Path(__file__)
ACTION = "@manager.action"

FILES: dict[str, Callable[[], Any]] = {
    "open": lambda: open(HERE),
    "open for writing": lambda: open(HERE.with_name("never"), "w"),
    "os.open": lambda: os.open(HERE, os.O_RDONLY),
    "Path.read_text": lambda: HERE.read_text(),
    "os.listdir": lambda: os.listdir("."),
    "os.scandir": lambda: os.scandir("."),
    "os.remove": lambda: os.remove("never"),
    "shutil.rmtree": lambda: shutil.rmtree("never"),
    "tempfile": lambda: tempfile.mkstemp(),
    "sqlite3": lambda: sqlite3.connect(":memory:"),
}
NETWORK: dict[str, Callable[[], Any]] = {
    "socket.socket": lambda: socket.socket(),
    "socket.create_connection": lambda: socket.create_connection(("127.0.0.1", 1)),
    "socket.getaddrinfo": lambda: socket.getaddrinfo("localhost", 1),
    "socket.gethostname": lambda: socket.gethostname(),
    "urlopen": lambda: urllib.request.urlopen("http://127.0.0.1:1"),
}
PROCESSES: dict[str, Callable[[], Any]] = {
    "subprocess.run": lambda: subprocess.run([sys.executable, "-V"], check=False),
    "os.system": lambda: os.system("true"),  # pyright: ignore[reportDeprecated]
    "os.fork": lambda: os.fork(),
}
POOL = ThreadPoolExecutor(1)
THREADS: dict[str, Callable[[], Any]] = {
    "Thread.start": lambda: threading.Thread(target=print).start(),
    "Timer.start": lambda: threading.Timer(1, print).start(),
    "a pool with an idle thread": lambda: POOL.submit(print),
}
ALL = {**FILES, **NETWORK, **PROCESSES, **THREADS}


@pytest.fixture(scope="module", autouse=True)
def _idle_thread() -> Iterator[None]:
    POOL.submit(int).result()
    yield
    POOL.shutdown()


@pytest.mark.parametrize("ask", ALL.values(), ids=ALL)
def test_it_is_refused_with_the_replacement_and_the_line(inside: Call, ask: Callable[[], Any]) -> None:
    error = inside(ask)
    assert isinstance(error, DeterminismViolation), error
    assert ACTION in str(error)
    assert f"{__file__}:" in str(error)


@pytest.mark.parametrize("name", ["open", "socket.socket", "subprocess.run", "Thread.start"])
def test_outside_workflow_code_it_is_allowed(guards: None, name: str) -> None:
    done = ALL[name]()
    if hasattr(done, "close"):
        done.close()


def test_without_a_worker_nothing_is_refused() -> None:
    install().close()

    async def flow(_step: Step) -> str:
        with open(HERE) as file:  # headrace: ok
            return file.readline()

    assert Host(Registry().workflow(name="flow")(flow)).result.startswith('"""I/O')


def test_a_violation_that_nobody_catches_fails_the_workflow_at_its_line(start: Callable[[Code], Host]) -> None:
    async def flow(_step: Step) -> None:
        FILES["open"]()

    failure = start(flow).failure
    assert failure.error_type == "DeterminismViolation"
    assert __file__ in failure.traceback


def test_other_event_loops_are_refused(inside: Call) -> None:
    policy = asyncio.get_event_loop_policy()  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]
    for ask in (policy.get_event_loop, asyncio.new_event_loop):
        error = inside(ask)
        assert isinstance(error, DeterminismViolation)
        assert "asyncio.get_running_loop()" in str(error)


@pytest.mark.parametrize("module", [asyncio, asyncio.runners])
def test_asyncio_run_is_refused_with_what_to_do_instead(inside: Call, module: Any) -> None:  # noqa: ANN401 - a module
    async def nothing() -> None: ...

    error = inside(lambda: module.run(nothing()))
    assert isinstance(error, DeterminismViolation)
    for text in ("asyncio.run() is not possible in workflow code", "await the coroutine instead", f"{__file__}:"):
        assert text in str(error)


def test_asyncio_run_outside_workflow_code_runs(guards: None) -> None:
    async def one() -> int:
        return 1

    assert asyncio.run(one(), debug=False) == asyncio.run(main=one()) == 1


def test_the_loop_that_workflow_code_gets_is_its_own(start: Callable[[Code], Host]) -> None:
    async def flow(_step: Step) -> bool:
        return asyncio.get_event_loop() is asyncio.get_running_loop()

    assert start(flow).result is True


def test_a_worker_that_was_started_by_an_import_refuses_too(guards: None, tmp_path: pathlib.Path) -> None:
    (tmp_path / "starting_module_of_a_test.py").write_text(
        "from tests.workflow.host import Host\n"
        "from tests.determinism.test_refusals import FILES\n"
        "from actors.registry import Registry\n"
        "async def flow(step):\n"
        "    FILES['open']()\n"
        "error = Host(Registry().workflow(flow)).failure.error_type\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        assert __import__("starting_module_of_a_test").error == "DeterminismViolation"
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("starting_module_of_a_test", None)


# ------------------------------------------------------------------------------------------------ let through


def test_modules_are_imported_in_workflow_code(inside: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "lazy_module_of_a_test.py").write_text("value = 7")
    sys.path.insert(0, str(tmp_path))
    try:
        assert inside(lambda: __import__("lazy_module_of_a_test").value) == 7
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("lazy_module_of_a_test", None)


def test_tracebacks_are_shown_in_workflow_code(inside: Call) -> None:
    def shown() -> str:
        linecache.clearcache()
        return traceback.format_stack(limit=1)[0]

    assert "traceback.format_stack(limit=1)" in inside(shown)


def test_files_are_logged_to_in_workflow_code(inside: Call, tmp_path: pathlib.Path) -> None:
    log = logging.getLogger("determinism.file")
    handler = logging.FileHandler(tmp_path / "log", delay=True)
    log.addHandler(handler)
    try:
        assert inside(lambda: log.warning("said")) is None
        assert (tmp_path / "log").read_text() == "said\nsaid\n"
    finally:
        log.removeHandler(handler)
        handler.close()


def test_warnings_are_shown_in_workflow_code(inside: Call) -> None:
    def warn() -> str:
        linecache.clearcache()
        return warnings.formatwarning("said", UserWarning, __file__, 1)

    assert '"""I/O, threads' in inside(warn)


def test_time_zones_are_loaded_in_workflow_code(inside: Call) -> None:
    assert inside(lambda: zoneinfo.ZoneInfo.no_cache("Europe/Berlin").key) == "Europe/Berlin"


def test_data_of_installed_packages_is_read_in_workflow_code(inside: Call) -> None:
    def first_byte() -> bytes:
        with open(pytest.__file__, "rb") as file:
            return file.read(1)

    assert inside(first_byte)


def test_the_collector_may_finalize_foreign_objects_in_workflow_code(inside: Call, tmp_path: pathlib.Path) -> None:
    class Closing:
        def __del__(self) -> None:
            (tmp_path / "closed").write_text("")

    class Finalized: ...

    def collect() -> None:
        circle: list[object] = [Closing()]
        circle.append(circle)
        finalized = Finalized()
        weakref.finalize(finalized, (tmp_path / "finalized").write_text, "")
        del circle, finalized
        gc.collect()

    assert inside(collect) is None
    assert (tmp_path / "closed").exists()
    assert (tmp_path / "finalized").exists()
