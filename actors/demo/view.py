"""The view: a live picture on a terminal, plain lines elsewhere, and the result of both. It reads the board alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.cli.output import console, counted, printable, write_json

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from actors.demo.board import Board, Entry
    from actors.demo.processes import WorkerProcess
    from actors.demo.run import Result

PICTURES_A_SECOND: Final = 8
DOCUMENTS_SHOWN: Final = 10
LINES_SHOWN: Final = 6
_BAR_COLUMNS: Final = 24
_NAME_COLUMNS: Final = 40
_STATES: Final = {"running": "", "queued": " (queued)", "retrying": " (failed, tries again)", "waiting": ""}
_COLOURS: Final = {"running": "green", "starting": "yellow", "killed": "red", "stopped": "dim"}


class View(ABC):
    """Shows a run while the block runs."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class PlainView(View):
    """Prints a line for each thing that happens."""

    def __init__(self, board: Board, *, quiet: bool) -> None:
        """``quiet``: print nothing at all."""
        self._board = board
        self._quiet = quiet

    def __enter__(self) -> Self:
        """Begin."""
        if not self._quiet:
            self._board.listener = lambda line: print(printable(line), flush=True)  # noqa: T201 - printing is its job
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""
        self._board.listener = None


class LiveView(View):
    """Draws progress, workers, documents and the last lines, several times a second."""

    def __init__(self, board: Board) -> None:
        """Draw on stdout."""
        self._board = board
        self._live = Live(
            get_renderable=lambda: draw(board),
            console=console(),
            refresh_per_second=PICTURES_A_SECOND,
            transient=False,
        )

    def __enter__(self) -> Self:
        """Begin."""
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Draw the last picture and leave it there."""
        self._live.stop()


def draw(board: Board) -> RenderableType:
    """Return the picture of a run at this moment."""
    return Group(_progress(board), Text(), _workers(board), Text(), _documents(board), Text(), _log(board))


def _progress(board: Board) -> RenderableType:
    total = len(board.entries) * max(board.steps_each, 1)
    done = sum(entry.steps_done for entry in board.entries)
    row = Table.grid(padding=(0, 2))
    row.add_row(
        Text("steps", style="bold"),
        _bar(done, total, columns=2 * _BAR_COLUMNS),
        Text(f"{done}/{total}"),
        Text(f"{board.ended} of {len(board.entries)} documents"),
        Text(f"{board.elapsed_s:.1f} s", style="dim"),
    )
    return row


def _bar(done: int, total: int, *, columns: int) -> ProgressBar:
    return ProgressBar(total=total, completed=done, width=columns, complete_style="cyan", finished_style="green")


def _workers(board: Board) -> RenderableType:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in (("worker", 6), ("pid", 7), ("state", 8)):
        shown.add_column(column, no_wrap=True, min_width=width)
    shown.add_column("runs", no_wrap=True, overflow="ellipsis")
    for worker in board.workers:
        shown.add_row(
            str(worker.number), str(worker.pid), Text(worker.state, style=_COLOURS[worker.state]), _runs(board, worker)
        )
    return shown


def _runs(board: Board, worker: WorkerProcess) -> Text:
    if worker.state == "stopped":
        return Text()
    names = ", ".join(f"{step.name} of {printable(entry.path.name)}" for entry, step in board.running(worker))
    if worker.state == "killed":
        return Text(f"held: {names}" if names else "all that it held was taken over", style="red" if names else "dim")
    return Text(names)


def _documents(board: Board) -> RenderableType:
    """Return those under way, then those to come, then those that have ended, as far as there is room."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("document", "progress", "now"):
        shown.add_column(column, no_wrap=True, overflow="ellipsis")
    ordered = sorted(board.entries, key=lambda entry: (entry.ended, not entry.steps))
    for entry in ordered[:DOCUMENTS_SHOWN]:
        bar = _bar(entry.steps_done, max(board.steps_each, 1), columns=_BAR_COLUMNS)
        shown.add_row(_name(entry), bar, _now(entry))
    left = len(ordered) - DOCUMENTS_SHOWN
    if left > 0:
        shown.add_row(Text(f"and {left} more", style="dim"), "", "")
    return shown


def _now(entry: Entry) -> Text:
    if entry.ended:
        assert entry.snapshot is not None
        status = entry.snapshot.status.type
        return Text(status, style="green" if status == "completed" else "red")
    now = [
        "sleeps" if step.kind == "sleep" else f"{step.name}{_STATES[step.state]}"
        for step in entry.steps
        if step.state in _STATES
    ]
    return Text(", ".join(now))


def _log(board: Board) -> RenderableType:
    lines = [line for line in board.lines if " completed" not in line][-LINES_SHOWN:]
    return Panel(
        Text("\n".join(map(printable, lines)), no_wrap=True, overflow="ellipsis"),
        title="what happened",
        title_align="left",
    )


def show_result(board: Board, result: Result, *, as_json: bool) -> None:
    """Print every document's figures, the totals compared, and the verdict."""
    if as_json:
        write_json(_object(board, result))
        return
    out = console()
    out.print()
    out.print(_figures(board))
    out.print()
    out.print(_comparison(result))
    out.print()
    out.print(_verdict(board, result), soft_wrap=True)


def _object(board: Board, result: Result) -> dict[str, Any]:
    taken = result.taken
    return {
        "exact": result.exact,
        "documents": len(board.entries),
        "totals": {one.figure: {"in_redis": one.in_redis, "in_files": one.in_files} for one in result.comparisons},
        "faults": result.faults,
        "killed": None if taken is None else taken.victim.pid,
        "taken_over": 0 if taken is None else len(taken.lost),
        "noticed_s": None if taken is None else round(taken.noticed_s, 3),
        "take_over_s": None if taken is None else round(taken.slowest_s, 3),
        "seconds": round(board.elapsed_s, 3),
    }


def _figures(board: Board) -> RenderableType:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("document", overflow="fold")
    for column in ("bytes", "words", "headings", "links", "reading time", "tried again"):
        shown.add_column(column, justify="right")
    for entry in board.entries:
        summary = entry.summary
        if summary is None:
            shown.add_row(_name(entry), *[""] * 5, str(entry.attempts))
            continue
        minutes, rest = divmod(summary["reading_s"], 60)
        figures = [f"{summary[figure]:,}" for figure in ("bytes", "words", "headings", "links")]
        shown.add_row(_name(entry), *figures, f"{minutes}:{rest:02d} min", str(entry.attempts or ""))
    return shown


def _comparison(result: Result) -> RenderableType:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("total")
    for column in ("in Redis", "from the files"):
        shown.add_column(column, justify="right")
    shown.add_column("")
    for one in result.comparisons:
        mark = Text("equal", style="green") if one.equal else Text("DIFFERENT", style="bold red")
        shown.add_row(
            one.figure.replace("reading_s", "reading time, s"), f"{one.in_redis:,}", f"{one.in_files:,}", mark
        )
    return shown


def _verdict(board: Board, result: Result) -> Text:
    parts: list[str] = []
    taken = result.taken
    if taken is not None:
        parts.append(
            f"{taken.victim} was killed while it held {counted(len(taken.lost), 'step')}; that was noticed after "
            f"{taken.noticed_s:.1f} s, and after {taken.slowest_s:.1f} s the last of them ran on another worker."
        )
    if result.exact:
        parts.append(
            f"The totals of {counted(len(board.entries), 'document')} are exact: nothing lost, nothing twice "
            f"({board.elapsed_s:.1f} s)."
        )
        return Text("\n".join(parts), style="green")
    parts += [f"The check FAILED after {board.elapsed_s:.1f} s.", *result.faults]
    return Text("\n".join(map(printable, parts)), style="bold red")


def _name(entry: Entry) -> Text:
    name = printable(entry.name)
    return Text(name if len(name) <= _NAME_COLUMNS else f"…{name[1 - _NAME_COLUMNS :]}")
