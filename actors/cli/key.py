"""``headrace key``: where an instance lives in Redis, and its keys, for people who look at it with ``redis-cli``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import console, duration, printable, table, write_json
from actors.errors import WorkflowNotFound
from actors.starting import completion_address

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager
    from kernel import KeyFacts, Place

HOLDS = {
    "": "the record: status, counts, times",
    "journal": "arguments, commands, outcomes, events",
    "open": "what is under way",
    "staged": "chunks of one undecided turn",
    "events": "mailbox: the latest events",
    "values": "published values",
    "large": "payloads too large for the journal",
}
"""What each part of an actor holds; docs/protocol.md has the fields."""


class Found(NamedTuple):
    """What Redis has of an instance."""

    place: Place
    keys: list[tuple[str, KeyFacts]]
    """With whose it is: ``workflow``, or ``on_complete``."""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "key",
        help="show a workflow's keys in Redis",
        description="Shows a workflow's keys in Redis, for redis-cli or headrace redis. docs/protocol.md says what is "
        "in their fields.",
    )
    parser.add_argument("id", help="the workflow's id, as headrace list shows it")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=key)


def key(said: argparse.Namespace) -> int:
    """Print a line for each key."""

    async def inside(manager: WorkflowManager) -> Found:
        store, address = await manager.store(), manager.handle(said.id).address
        record = await store.instances.record(address)
        found = [("workflow", facts) for facts in await store.survey.keys_of(address)]
        if not found:
            raise WorkflowNotFound(
                f"there is no key of a workflow {said.id!r} in namespace {said.namespace!r}: see headrace list"
            )
        for generation in record.get("completions", b"").decode().split():
            facts = await store.survey.keys_of(completion_address(address, generation))
            found += [("on_complete", one) for one in facts]
        return Found(store.survey.place_of(address), found)

    place, keys = connected(said, inside)
    if said.json:
        for owner, facts in keys:
            write_json({"of": owner, **facts._asdict(), "holds": _holds(facts), "slot": place.slot})
        return 0
    shown = table("key", "type", "entries", "bytes", "expires in", "holds")
    for owner, facts in keys:
        shown.add_row(
            printable(facts.key),
            facts.type,
            f"{facts.entries:,}",
            "" if facts.bytes is None else f"{facts.bytes:,}",
            "" if facts.ttl_ms is None else duration(facts.ttl_ms / 1000),
            _holds(facts) if owner == "workflow" else f"on_complete: {_holds(facts)}",
        )
    console().print(shown)
    total = sum(facts.bytes or 0 for _, facts in keys)
    print(f"partition {place.partition}, tag {place.tag}, Cluster slot {place.slot}; {total:,} bytes in all")
    return 0


def _holds(facts: KeyFacts) -> str:
    """Return what a key is for: ``{ns:0}:wf.journal:order-7`` is a journal."""
    kind = facts.key.partition("}:")[2].partition(":")[0]
    return HOLDS[kind.partition(".")[2]]
