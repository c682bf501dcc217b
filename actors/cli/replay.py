"""``headrace replay``: feeds recorded or live histories into the code at hand, and says of each whether it fits."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from actors.cli.errors import CommandError
from actors.cli.hash_seed import HASH_SEED, run_anew
from actors.cli.loading import load_manager
from actors.cli.options import add_common, positive, refuse_memory, run
from actors.cli.output import console, counted, one_line, printable, write_json
from actors.cli.selecting import add_filter, selection
from actors.definitions import DEFAULT_VERSION
from actors.errors import Misuse, WorkflowNotFound
from actors.manager import WorkflowManager
from actors.testing.recording import RecordedHistory, record_history
from actors.testing.verdicts import Verdict, judge_history
from kernel import PayloadUnusable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from actors.cli.options import Subparsers

UNREADABLE: Final = "unreadable"
"""What is said of a file that holds no history, or of an instance that cannot be read."""
_STYLES: Final = {"fits": "green"}
_ADVICE: Final = (
    "If it is under way, what differs would be stopped: put the code back at that place, ask step.patched(name) which "
    "way to go, or register the changed workflow under a new version beside the old one."
)
_EXAMPLE = """
exit code 0 if all fit, 1 if one does not.

examples:
  headrace replay shop.flows:manager tests/histories/
  headrace replay shop.flows:manager --id order-7
  headrace replay shop.flows:manager --workflow checkout --status in_progress --limit 500
"""


class Recorded(NamedTuple):
    """A history, or why there is none."""

    source: str
    """The file, or the instance's id."""
    history: RecordedHistory | None
    problem: str = ""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from argparse import RawDescriptionHelpFormatter  # noqa: PLC0415 - used here alone

    parser = commands.add_parser(
        "replay",
        help="check that workflows under way fit the code at hand; exit code 1 if one does not",
        description="Feeds histories into the code at hand. Nothing is run and nothing is written.",
        epilog=_EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", help="module:manager, such as shop.flows:manager")
    parser.add_argument("files", nargs="*", type=Path, help="files that headrace history --save wrote, or folders")
    parser.add_argument("--id", nargs="+", action="extend", default=[], metavar="ID", help="these workflows in Redis")
    add_filter(parser)
    parser.add_argument("--limit", type=positive, default=100, help="of a filter: the newest (default: 100)")
    parser.add_argument("--url", help="the Redis server, in place of the manager's")
    parser.add_argument("--namespace", help="the namespace in it, in place of the manager's")
    add_common(parser)
    parser.set_defaults(func=replay, refuse=parser.error)


def replay(said: argparse.Namespace) -> int:
    """Replay, say a line for each, return 1 if one does not fit."""
    filtered = bool(said.workflow or said.status or said.tag)
    if not (said.files or said.id or filtered):
        said.refuse("give files, --id, or a filter: --workflow, --status, --tag")
    manager = load_manager(said.path)
    if said.workflow:
        manager.get_workflow(said.workflow)
    found = list(_from_files(said.files))
    if said.id or filtered:
        found += _from_redis(manager, said, filtered=filtered)
    _reseed(one.history for one in found)
    counts: Counter[str] = Counter()
    for one in found:
        verdict = None if one.history is None else judge_history(manager, one.history)
        counts[UNREADABLE if verdict is None else verdict.kind] += 1
        _tell(one, verdict, as_objects=said.json)
    if not said.json:
        _sum_up(counts)
    return 0 if counts["fits"] == counts.total() else 1


def _from_files(paths: Iterable[Path]) -> Iterator[Recorded]:
    for path in paths:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise CommandError(f"{path} has no histories (*.json): save some by headrace history ID --save {path}")
        for file in files:
            try:
                yield Recorded(str(file), RecordedHistory.read(file))
            except Misuse as error:
                yield Recorded(str(file), None, str(error))
            except OSError as error:
                yield Recorded(str(file), None, f"{error.strerror}: correct the path")


def _from_redis(manager: WorkflowManager, said: argparse.Namespace, *, filtered: bool) -> list[Recorded]:
    reader = manager
    if said.url is not None or said.namespace is not None:
        url, namespace = said.url or manager.url, said.namespace or manager.namespace
        reader = WorkflowManager(url, namespace=namespace, codec=manager.codec)
    reader.founds = False
    refuse_memory(reader)

    async def inside() -> list[Recorded]:
        ids, store = dict.fromkeys(said.id), await reader.store()
        if filtered:
            page = await reader.list(limit=said.limit, **selection(said))
            ids |= dict.fromkeys(item.id for item in page.items)
        found: list[Recorded] = []
        for workflow_id in ids:
            try:
                found.append(Recorded(workflow_id, await record_history(store, workflow_id)))
            except (WorkflowNotFound, PayloadUnusable) as error:
                if workflow_id in said.id or not isinstance(error, WorkflowNotFound):
                    found.append(Recorded(workflow_id, None, str(error)))
        return found

    return run(reader, inside)


def _reseed(histories: Iterable[RecordedHistory | None]) -> None:
    """Execute this program anew under the workers' hash seed, where it is known: it orders sets of texts."""
    seeds = {history.seed for history in histories if history is not None} - {0}
    if len(seeds) == 1 and os.environ.get(HASH_SEED) != str(seed := seeds.pop()):
        run_anew(seed)


def _tell(one: Recorded, verdict: Verdict | None, *, as_objects: bool) -> None:
    kind = UNREADABLE if verdict is None else verdict.kind
    if as_objects:
        write_json({"source": one.source, "verdict": kind, **_facts(one, verdict)})
        return
    line = Text.assemble((f"{kind:<10}", _STYLES.get(kind, "red")), " ")
    line.append(f"{one.source}: {one_line(one.problem)}" if one.history is None else _about(one.source, one.history))
    out = console()
    out.print(line, soft_wrap=True)
    if verdict is not None and not verdict.fits:
        out.print(_details(verdict), soft_wrap=True)


def _facts(one: Recorded, verdict: Verdict | None) -> dict[str, object]:
    history = one.history
    if history is None or verdict is None:
        return {"message": one.problem}
    said = {name: value for name, value in asdict(verdict).items() if name != "kind"}
    version = history.version or DEFAULT_VERSION
    return {"id": history.id, "workflow": history.workflow, "version": version, "status": history.status, **said}


def _about(source: str, history: RecordedHistory) -> str:
    version = f" version {history.version}" if history.version else ""
    size = counted(len(history.commands), "command")
    about = f"{history.id}  {history.workflow}{version}, {history.status}, {size}"
    return printable(about if source == history.id else f"{about}  ({source})")


def _details(verdict: Verdict) -> str:
    if verdict.kind != "differs":
        return f"  {_relative_in(one_line(verdict.message))}"
    lines = [f"  at step {verdict.step}", f"    recorded: {verdict.was}", f"    now:      {verdict.now}"]
    if verdict.site:
        lines.append(f"    in {_relative_in(verdict.site)}")
    return "\n".join(printable(line) for line in lines)


def _relative_in(text: str) -> str:
    """Return a text in which files below the current folder are named from there."""
    return text.replace(f"{Path.cwd()}{os.sep}", "")


def _sum_up(counts: Counter[str]) -> None:
    sys.stdout.flush()
    total = counts.total()
    words = ", ".join(
        f"{number:,} {kind}" for kind, number in sorted(counts.items(), key=lambda pair: pair[0] != "fits")
    )
    print(f"{total:,} {'history' if total == 1 else 'histories'} replayed: {words or 'there were none'}")
    if counts["differs"]:
        print(_ADVICE)
