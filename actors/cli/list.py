"""``headrace list``: instances by workflow, status and tags, the newest first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from actors.cli.options import add_common, add_connection, connected, positive
from actors.cli.output import console, printable, seconds, state, table, when, write_json
from actors.cli.selecting import add_filter, selection

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.listing import Page
    from actors.manager import WorkflowManager


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("list", help="list workflows")
    add_filter(parser)
    parser.add_argument("--limit", type=positive, default=100, help="how many at most (default: 100)")
    parser.add_argument("--oldest-first", action="store_true", help="begin with the oldest")
    parser.add_argument("--cursor", help="go on after the page that ended with this cursor")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=list_workflows)


def list_workflows(said: argparse.Namespace) -> int:
    """Print a page."""

    async def inside(manager: WorkflowManager) -> Page:
        return await manager.list(
            order="asc" if said.oldest_first else "desc", limit=said.limit, cursor=said.cursor, **selection(said)
        )

    page = connected(said, inside)
    for damaged in page.damaged:
        print(f"{printable(damaged)} is damaged and not listed: run headrace doctor", file=sys.stderr)
    if said.json:
        for item in page.items:
            write_json(item)
        if page.cursor is not None:
            write_json({"cursor": page.cursor})
        return 0
    if not page.items:
        print(
            "no workflows"
            + (" like that" if said.workflow or said.status or said.tag else "")
            + f" in {said.namespace!r}"
        )
        return 0
    _print(page)
    return 0


def _print(page: Page) -> None:
    tagged = any(item.tags for item in page.items)
    shown: Any = table("id", "workflow", "status", "started", "took", *(["tags"] if tagged else []))
    for item in page.items:
        took = seconds(item.created, item.ended)
        tags = [printable(", ".join(f"{key}={value}" for key, value in item.tags.items()))] if tagged else []
        shown.add_row(printable(item.id), printable(item.workflow), state(item.status), when(item.created), took, *tags)
    out = console()
    out.print(shown)
    if page.cursor is not None:
        out.print(f"there are more: --cursor '{page.cursor}'", soft_wrap=True)
