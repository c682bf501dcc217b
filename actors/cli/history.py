"""``headrace history``: everything recorded of one instance, for people; or saved, for ``headrace replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from actors.cli.errors import CommandError
from actors.cli.options import add_common, add_connection, connected, positive
from actors.cli.output import as_json, console, counted, error_line, printable, shorten, table, when, write_json
from actors.cli.selecting import add_filter, selection
from actors.testing.recording import RecordedHistory, record_history

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.history import HistoryEntry
    from actors.manager import WorkflowManager

SUFFIX = ".history.json"
"""Of the files in a folder, after the instance's id."""
_STYLES = {"failed": "red", "canceled": "yellow", "completed": "green", "fired": "green", "restarted": "bold"}

_EXAMPLE = """
examples:
  headrace history order-7
  headrace history order-7 --save order-7.json
  headrace history --workflow checkout --limit 20 --save tests/histories/
"""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from argparse import RawDescriptionHelpFormatter  # noqa: PLC0415 - used here alone

    parser = commands.add_parser(
        "history",
        help="show all that was recorded of a workflow, or save it for headrace replay",
        epilog=_EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("id", nargs="?", help="the workflow's id, as headrace list shows it")
    parser.add_argument(
        "--save", metavar="FILE", help="write it to a file, or into a folder/, which is made, for replays"
    )
    add_filter(parser)
    parser.add_argument("--limit", type=positive, default=20, help="with a filter: how many, the newest (default: 20)")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=history, refuse=parser.error)


def history(said: argparse.Namespace) -> int:
    """Print an instance's history, or save those of one or many."""
    filtered = bool(said.workflow or said.status or said.tag)
    if bool(said.id) == filtered:
        said.refuse("give an id, or a filter (--workflow, --status, --tag) and --save FOLDER")
    if filtered and said.save is None:
        said.refuse("a filter can mean many workflows: add --save FOLDER, or give one id")
    if said.save is not None:
        _check_folder(said)
        return _save(said)

    async def inside(manager: WorkflowManager) -> list[HistoryEntry]:
        return await manager.history(said.id)

    entries = connected(said, inside)
    if said.json:
        for entry in entries:
            write_json(entry)
    else:
        _print(entries)
    return 0


def _save(said: argparse.Namespace) -> int:
    async def inside(manager: WorkflowManager) -> list[RecordedHistory]:
        ids = [said.id]
        if said.id is None:
            ids = [item.id for item in (await manager.list(limit=said.limit, **selection(said))).items]
        store = await manager.store()
        return [await record_history(store, workflow_id) for workflow_id in ids]

    for recorded in connected(said, inside):
        path = _write(recorded, Path(said.save), folder=_means_folder(said))
        facts = {"id": recorded.id, "workflow": recorded.workflow, "status": recorded.status, "file": str(path)}
        if said.json:
            write_json(facts)
        else:
            size = f"{counted(len(recorded.commands), 'command')}, {counted(len(recorded.events), 'event')}"
            print(f"{printable(recorded.id)}: {size} saved to {path}")
    return 0


def _means_folder(said: argparse.Namespace) -> bool:
    return said.id is None or said.save.endswith("/")


def _check_folder(said: argparse.Namespace) -> None:
    """Refuse a place in a folder that is not there; what is named as a folder is made. Raises CommandError."""
    around = Path(said.save).parent
    if not around.is_dir():
        raise CommandError(f"there is no folder {around}: make it first (mkdir -p {around}), or correct --save")


def _write(recorded: RecordedHistory, target: Path, *, folder: bool) -> Path:
    """Write to a file; to one named by the id, in a folder. Raises CommandError."""
    if folder or target.is_dir():
        target /= recorded.id.replace("%", "%25").replace("/", "%2F") + SUFFIX
    try:
        target.parent.mkdir(exist_ok=True)
        recorded.write(target)
    except OSError as error:
        raise CommandError(f"{target} cannot be written ({error.strerror}): choose another file for --save") from None
    return target


def _print(entries: list[HistoryEntry]) -> None:
    shown = table("event", "time", "what", "step", "kind", "name", "value")
    for entry in entries:
        shown.add_row(
            str(entry.event),
            when(entry.at),
            Text(entry.kind.replace("_", " "), style=_STYLES.get(entry.kind, "")),
            str(entry.seq or ""),
            entry.command,
            shorten(entry.name),
            _value(entry),
        )
    console().print(shown)


def _value(entry: HistoryEntry) -> str:
    if entry.error is not None:
        return error_line(entry.error)
    if entry.kind == "restarted":
        return f"attempt {entry.value}"
    if entry.kind == "event" and not entry.taken:
        return f"{shorten(entry.value)} (no wait has taken it)"
    if entry.kind == "update" and not entry.taken:
        return "(not answered)"
    return "" if entry.value is None else shorten(as_json(entry.value))
