"""The run: server, workers, workflows, the kill, the check, and an end that leaves no process behind."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from contextlib import AsyncExitStack, ExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from actors.cli.lifeline import on_signals
from actors.cli.output import counted
from actors.demo.board import Board, Entry
from actors.demo.check import Comparison, compare, count_files, miscounted
from actors.demo.documents import BYTES_MAX, find_documents
from actors.demo.drill import Drill, TakeOver
from actors.demo.processes import Workers
from actors.demo.settings import NAMESPACE, PACE, WORKERS, DemoError, DemoSettings, interval_s, pace_s
from actors.demo.view import LiveView, PlainView, View, show_result
from actors.manager import EMBEDDED_FOLDER
from kernel import EmbeddedServer, connector, erase_namespace, run_command

if TYPE_CHECKING:
    from actors.definitions import Workflow
    from actors.demo.flows import Summary
    from actors.demo.processes import WorkerProcess
    from actors.manager import WorkflowManager

RUN_S_MAX: Final = 300.0
"""A run that takes longer has failed."""
LOOK_S: Final = 0.1
_SLUG_CHARACTERS_MAX: Final = 60


class Result(NamedTuple):
    """What came of a run."""

    comparisons: list[Comparison]
    faults: list[str]
    """Failed workflows, and documents that were not counted once."""
    taken: TakeOver | None

    @property
    def exact(self) -> bool:
        """Whether nothing was lost and nothing done twice."""
        return not self.faults and all(comparison.equal for comparison in self.comparisons)


def run_demo(settings: DemoSettings, *, live: bool) -> int:
    """Run the demo; return the exit code: 0 if the check holds.

    Args:
        settings: what to run.
        live: whether the output is a terminal; else lines are printed as things happen.

    Raises:
        DemoError: it cannot run as asked.
        KernelError: there is no Redis to run on.
    """
    folder, paths, passed_over = find_documents(settings.folder, count=settings.count)
    entries = [
        Entry(f"documents/{number:03d}-{_slug(path)}", path, str(path.relative_to(folder)))
        for number, path in enumerate(paths, 1)
    ]
    board = Board(folder, entries, steps_each=0)
    view: View = LiveView(board) if live else PlainView(board, quiet=settings.json)
    with ExitStack() as stack:
        url, kind = _server(settings, stack)
        _set_environment(url, count=len(entries))
        try:
            result = asyncio.run(_run(settings, board, view, server=(url, kind), passed_over=passed_over))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
    show_result(board, result, as_json=settings.json)
    return 0 if result.exact else 1


def _server(settings: DemoSettings, stack: ExitStack) -> tuple[str, str]:
    """Return the URL of the server and what it is."""
    url = settings.url or os.environ.get("HEADRACE_URL")
    if not url:
        server = stack.enter_context(EmbeddedServer.open(Path(EMBEDDED_FOLDER)))
        return server.url, f"embedded, its data below {EMBEDDED_FOLDER}/"
    if url.startswith("memory://"):
        raise DemoError(
            f"{url} is a server inside one process, but the demo has several: leave HEADRACE_URL and --url out"
        )
    connector(url)
    return url, f"at {url}"


def _set_environment(url: str, *, count: int) -> None:
    """Set what this process and its workers read when they import the workflows."""
    os.environ["HEADRACE_URL"] = url
    os.environ[NAMESPACE] = f"demo-{secrets.token_hex(4)}"
    os.environ[PACE] = f"{pace_s(count):.3f}"


async def _run(
    settings: DemoSettings, board: Board, view: View, *, server: tuple[str, str], passed_over: int
) -> Result:
    """Do everything between the server's start and its end. Whatever happens, no worker is left."""
    # Imported only now: its manager is made from the environment of this run.
    from actors.demo.flows import manager  # noqa: PLC0415

    task = cast("asyncio.Task[object]", asyncio.current_task())
    async with AsyncExitStack() as stack:
        stack.enter_context(on_signals(task.cancel, again=task.cancel))
        stack.enter_context(view)
        url, kind = server
        if passed_over:
            which = f"not UTF-8 text, empty, or larger than {BYTES_MAX // 1024} KiB"
            board.say(f"{counted(passed_over, 'file')} passed over: {which}")
        board.say(f"Redis {await _version(url)}, {kind}")
        await stack.enter_async_context(manager)
        store = await manager.store()
        if not settings.keep:
            stack.push_async_callback(erase_namespace, store.space)
        workers = Workers({"PYTHONHASHSEED": str(store.space.seed)})
        board.workers = workers.all
        stack.push_async_callback(workers.stop)
        try:
            async with asyncio.timeout(RUN_S_MAX):
                return await _work(settings, board, workers, manager)
        except TimeoutError:
            raise DemoError(
                f"the run did not end within {RUN_S_MAX:g} s ({board.ended} of {len(board.entries)} documents): is "
                "this machine very busy? Try a smaller --count"
            ) from None


async def _work(settings: DemoSettings, board: Board, workers: Workers, manager: WorkflowManager) -> Result:
    from actors.demo.flows import STEPS, analyse_document, sum_up  # noqa: PLC0415 - as above

    board.steps_each = STEPS
    attending = asyncio.create_task(_attend(board, workers, manager))
    tasks: list[asyncio.Task[Any]] = [attending]
    try:
        for _ in range(WORKERS):
            board.say(f"{await workers.start()} started")
        board.say(f"workflows to run: {len(board.entries)}, one for each text file in {board.folder}")
        tasks.append(running := asyncio.create_task(_run_all(board, manager, analyse_document)))
        tasks.append(drill := asyncio.create_task(_drill(settings, board, workers, manager)))
        await _first_to_end(running, attending)
        taken = await drill
        board.say("all workflows have ended; comparing the totals with the files")
        summed = await manager.start(sum_up.with_options(id="documents/sum"))
        totals, counted = await summed.result(timeout=60)
    finally:
        await _end(tasks)
    paths = [entry.path for entry in board.entries]
    expected = await asyncio.to_thread(count_files, paths)
    return Result(compare(totals, expected), [*board.failures(), *miscounted(counted, paths)], taken)


async def _drill(settings: DemoSettings, board: Board, workers: Workers, manager: WorkflowManager) -> TakeOver | None:
    return await Drill(board, workers, manager).run() if settings.kill else None


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Break off what still runs; what it raises then is of no interest."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _first_to_end(running: asyncio.Task[None], attending: asyncio.Task[None]) -> None:
    """Wait for the workflows; what the attendant raises comes first."""
    await asyncio.wait([running, attending], return_when=asyncio.FIRST_COMPLETED)
    if attending.done():
        await attending
    await running


async def _run_all(board: Board, manager: WorkflowManager, workflow: Workflow[[str], Summary]) -> None:
    """Start one workflow after the other, and wait until all have ended."""
    async with asyncio.TaskGroup() as group:
        for entry in board.entries:
            await manager.start(workflow.with_options(id=entry.workflow_id), str(entry.path))
            group.create_task(_watch(board, entry, manager))
            await asyncio.sleep(interval_s(len(board.entries)))


async def _watch(board: Board, entry: Entry, manager: WorkflowManager) -> None:
    """Keep one document's snapshot current until its workflow has ended."""
    async with aclosing(manager.handle(entry.workflow_id).watch()) as snapshots:
        async for snapshot in snapshots:
            entry.snapshot = snapshot
    retries = f" after {counted(entry.attempts, 'failed attempt')}" if entry.attempts else ""
    assert entry.snapshot is not None
    board.say(f"{entry.name} {entry.snapshot.status.type}{retries}: {board.ended} of {len(board.entries)}")


async def _attend(board: Board, workers: Workers, manager: WorkflowManager) -> None:
    """Learn the workers' names, and notice one that ends unasked."""
    custody = (await manager.store()).custody
    while True:
        if any(worker.state == "starting" for worker in workers.all):
            about = await custody.about()
            for worker in workers.all:
                _learn(board, worker, about)
        workers.check()
        await asyncio.sleep(LOOK_S)


def _learn(board: Board, worker: WorkerProcess, about: dict[str, str]) -> None:
    found = next((name for name, facts in about.items() if json.loads(facts).get("pid") == worker.pid), None)
    if worker.state == "starting" and found is not None:
        worker.incarnation = found
        worker.state = "running"
        board.say(f"{worker} is at work")


async def _version(url: str) -> str:
    reply = await run_command(url, "INFO", "server")
    assert isinstance(reply, bytes)
    facts = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
    return facts.get("valkey_version") or facts.get("redis_version", "")


def _slug(path: Path) -> str:
    """Return what of a file's name can stand in an id."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in path.name)
    return name[:_SLUG_CHARACTERS_MAX]
