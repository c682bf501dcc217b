"""``headrace send-event``: tells a workflow an event, with a value or an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from actors.cli.errors import CommandError
from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import write_json

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("send-event", help="send an event to a workflow")
    parser.add_argument("id", help="the workflow's id, as headrace list shows it")
    parser.add_argument("name", help="the event's name, or an id that manager.create_event() gave")
    parser.add_argument("value", nargs="?", help="the value as JSON: a text is written with its quotes (default: null)")
    parser.add_argument("--error", metavar="TEXT", help="instead of a value: the workflow's wait raises this")
    parser.add_argument("--event-id", help="what is sent twice under one id is one event")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=send_event)


def send_event(said: argparse.Namespace) -> int:
    """Send, and say so."""
    if said.error is not None and said.value is not None:
        raise CommandError("give a value or --error, not both")
    value = _value(said.value)

    async def inside(manager: WorkflowManager) -> None:
        handle = manager.handle(said.id)
        if said.error is None:
            await handle.send_event(said.name, value, id=said.event_id)
        else:
            await handle.send_event(said.name, error=said.error, id=said.event_id)

    connected(said, inside)
    if said.json:
        write_json({"id": said.id, "event": said.name, "sent": True})
    else:
        print(f"{said.id}: event {said.name!r} sent")
    return 0


def _value(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise CommandError(
            f"the value {text!r} is not JSON ({error}): a text is written with its quotes, such as '\"yes\"'"
        ) from None
