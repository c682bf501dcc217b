"""``headrace dead``: what was set aside for a person: list it, show it, have it tried again, or drop it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from actors.cli.errors import CommandError
from actors.cli.options import add_common, add_connection, connected, positive, seconds
from actors.cli.output import console, counted, shorten, table, when, write_json, write_rows

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.dead import Dead, DeadPage
    from actors.manager import WorkflowManager


NAME_CHARACTERS_MAX: Final = 40
"""How much of an id, a name or a single word of a reason the table shows; ``headrace dead show`` has it whole."""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("dead", help="what was set aside: messages and steps that failed for good")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser("list", help="list what was set aside")
    one.add_argument("--limit", type=positive, default=100, help="how many at most (default: 100)")
    one.add_argument("--cursor", help="go on after the page that ended with this cursor")
    _finish(one, list_dead)
    one = actions.add_parser("show", help="show one with all its fields")
    one.add_argument("id", help="as headrace dead list shows it")
    _finish(one, show)
    one = actions.add_parser("requeue", help="have it tried again")
    one.add_argument("id", help="as headrace dead list shows it")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="of a message: give a field this value instead, an empty one takes it away; repeatable",
    )
    _finish(one, requeue)
    one = actions.add_parser("drop", help="delete for good")
    one.add_argument("id", nargs="?", help="as headrace dead list shows it; or --all in its place")
    one.add_argument("--all", action="store_true", help="all that was set aside longer ago than --older-than")
    one.add_argument("--older-than", type=seconds, metavar="SECONDS", help="goes with --all")
    _finish(one, drop)


def _finish(parser: argparse.ArgumentParser, function: object) -> None:
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=function, refuse=parser.error)


def list_dead(said: argparse.Namespace) -> int:
    """Print a page."""

    async def inside(manager: WorkflowManager) -> DeadPage:
        return await manager.dead.list(limit=said.limit, cursor=said.cursor)

    page = connected(said, inside)
    if said.json:
        for item in page.items:
            write_json(asdict(item))
        if page.cursor is not None:
            write_json({"cursor": page.cursor})
        return 0
    if not page.items:
        print(f"nothing was set aside in {said.namespace!r}")
        return 0
    shown: Any = table("id", "sent as", "set aside", "reason", "what", "workflow")
    for item in page.items:
        what, workflow = shorten(_what(item), NAME_CHARACTERS_MAX), shorten(item.workflow_id, NAME_CHARACTERS_MAX)
        shown.add_row(item.id, item.message, when(item.at), _reason(item), what, workflow)
    out = console()
    out.print(shown)
    if page.cursor is not None:
        out.print(f"there are more: --cursor '{page.cursor}'", soft_wrap=True)
    return 0


def _reason(item: Dead) -> str:
    """Return why, in which ids and values are cut, so that the words around them are seen."""
    return shorten(" ".join(shorten(word, NAME_CHARACTERS_MAX) for word in item.reason.split()), 120)


def _what(item: Dead) -> str:
    return (
        f"step {item.seq} ({item.step})" if item.kind == "step" else f"message {item.fields.get('type', '')}".rstrip()
    )


def show(said: argparse.Namespace) -> int:
    """Print one."""

    async def inside(manager: WorkflowManager) -> Dead:
        return await manager.dead.show(said.id)

    item = connected(said, inside)
    if said.json:
        write_json(asdict(item))
        return 0
    rows: list[tuple[str, object]] = [("id", item.id), ("set aside", when(item.at)), ("what", _what(item))]
    if item.message:
        rows.append(("sent as", item.message))
    rows += [("workflow", item.workflow_id), ("reason", item.reason)]
    if item.worker:
        rows.append(("worker", item.worker))
    write_rows([*rows, *((f"field {name}", value) for name, value in item.fields.items())])
    return 0


def requeue(said: argparse.Namespace) -> int:
    """Have one tried again."""
    pairs = [pair.partition("=") for pair in said.set]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        said.refuse(f"--set {wrong[0]!r}: write FIELD=VALUE, such as args='[]'")

    async def inside(manager: WorkflowManager) -> None:
        await manager.dead.requeue(said.id, fields={name: value for name, _, value in pairs})

    connected(said, inside)
    if said.json:
        write_json({"id": said.id, "requeued": True})
    else:
        print(f"{said.id}: requeued")
    return 0


def drop(said: argparse.Namespace) -> int:
    """Delete one, or all that are old."""
    if bool(said.id) == said.all or said.all != (said.older_than is not None):
        said.refuse("give an id, or --all --older-than SECONDS")

    async def inside(manager: WorkflowManager) -> int:
        if said.all:
            return await manager.dead.drop_all(older_than=said.older_than)
        return int(await manager.dead.drop(said.id))

    count = connected(said, inside)
    if said.id and not count:
        raise CommandError(f"there is no dead letter {said.id!r}: see the ids in headrace dead list")
    if said.json:
        write_json({"dropped": count})
    else:
        print(f"dropped {counted(count, 'dead letter')}")
    return 0
