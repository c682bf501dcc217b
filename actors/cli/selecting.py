"""Selecting: how commands say which instances they mean: one by its id, or all that fit a filter."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from actors.cli.errors import CommandError
from actors.cli.options import connected
from actors.cli.output import counted, write_json
from actors.listing import STATUS_NAMES, Selection, StatusName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from actors.manager import WorkflowManager

WRONG_USAGE: Final = 2


def add_filter(parser: argparse.ArgumentParser, statuses: Sequence[StatusName] = STATUS_NAMES) -> None:
    """Add the filter; ``statuses``: those that make sense for the command."""
    parser.add_argument("--workflow", help="only those of this workflow, by its registered name")
    parser.add_argument("--status", choices=statuses, help="only those with this status")
    parser.add_argument(
        "--tag",
        action="append",
        type=_tag,
        default=[],
        metavar="KEY=VALUE",
        help="only those with this tag; repeatable",
    )


def selection(said: argparse.Namespace) -> Selection:
    """Return the filter as it was said."""
    return Selection(workflow=said.workflow, status=said.status, tags=dict(said.tag))


def add_bulk(parser: argparse.ArgumentParser, statuses: Sequence[StatusName]) -> None:
    """Add an id or a filter."""
    parser.add_argument("id", nargs="?", help="the workflow's id, as headrace list shows it; or a filter in its place")
    add_filter(parser, statuses)
    parser.add_argument("--yes", action="store_true", help="with a filter: change all that fit it")
    parser.set_defaults(refuse=parser.error)


def is_bulk(said: argparse.Namespace) -> bool:
    """Tell whether a filter was given and no id; refuse both and neither."""
    filtered = bool(said.workflow or said.status or said.tag)
    if bool(said.id) == filtered:
        said.refuse("give an id, or a filter: --workflow, --status, --tag")
    return filtered


def run_bulk(
    said: argparse.Namespace, done: str, change: Callable[[WorkflowManager, Selection], Awaitable[int]]
) -> int:
    """Change all that fit the filter, if it was confirmed; ``done``: the word for what was done to them."""
    if not said.yes:
        raise CommandError("a filter can mean many workflows: see them with headrace list, then add --yes")
    count = connected(said, lambda manager: change(manager, selection(said)))
    if said.json:
        write_json({done: count})
    else:
        print(f"{done} {counted(count, 'workflow')}")
    return 0


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r}: write a tag as key=value")
    return key, value
