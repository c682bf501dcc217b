"""Letters: messages to the gateway, read and checked. What is wrong is said in words that the sender can use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, cast

from actors.errors import HeadraceError, Misuse
from actors.events import encode_error, encode_event
from actors.options import check_name
from kernel import EVENT_FAILED, FIRST, SINCE, first_entry, keys

if TYPE_CHECKING:
    from kernel import Entry

FIELDS: Final[dict[str, frozenset[str]]] = {
    "start": frozenset({"workflow", "id", "args"}),
    "event": frozenset({"id", "name", "value", "error", "dedupe"}),
    "cancel": frozenset({"id", "cleanup"}),
}
"""What each type of message may have."""


class Malformed(HeadraceError):
    """The message cannot be understood, now or later."""


@dataclass(frozen=True, slots=True)
class StartLetter:
    """Start an instance."""

    entry: str
    workflow: str
    id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventLetter:
    """Tell an instance an event."""

    entry: str
    id: str
    kind: str
    """As in the journal."""
    name: str
    payload: bytes
    dedupe: str


@dataclass(frozen=True, slots=True)
class CancelLetter:
    """Cancel an instance."""

    entry: str
    id: str
    cleanup: bool


Letter: TypeAlias = StartLetter | EventLetter | CancelLetter


def read_letter(entry: Entry, *, value_bytes_max: int) -> Letter:
    """Return the message in an entry of the gateway's stream.

    Raises:
        Malformed: with what to send instead.
    """
    fields = _fields(entry)
    kind = fields.pop("type", "")
    if kind not in FIELDS:
        raise Malformed(f"type={kind!r}: give one of {', '.join(FIELDS)}")
    if unknown := fields.keys() - FIELDS[kind]:
        raise Malformed(
            f"unknown field {min(unknown)!r}: a message of type {kind} has {', '.join(sorted(FIELDS[kind]))}"
        )
    came_as = first_entry(entry)
    match kind:
        case "start":
            return _start(came_as, fields)
        case "event":
            return _event(came_as, fields, value_bytes_max=value_bytes_max)
        case _:
            cleanup = fields.get("cleanup", "false")
            if cleanup not in {"true", "false"}:
                raise Malformed(f"cleanup={cleanup!r}: give true or false")
            return CancelLetter(came_as, _id(fields), cleanup == "true")


def _fields(entry: Entry) -> dict[str, str]:
    try:
        pairs = zip(entry.fields[::2], entry.fields[1::2], strict=True)
        return {name.decode(): value.decode() for name, value in pairs if name not in {FIRST, SINCE}}
    except UnicodeDecodeError:
        raise Malformed("a field is no UTF-8 text: send texts, and arguments and values as JSON") from None


def _start(came_as: str, fields: dict[str, str]) -> StartLetter:
    workflow = fields.get("workflow", "")
    if not workflow:
        raise Malformed("there is no field 'workflow': give the registered name of the workflow to start")
    value = cast("dict[str, Any] | list[Any] | str | float | None", _json(fields, "args", "[]"))
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    if isinstance(value, dict):
        kwargs = value
    elif isinstance(value, list):
        args = value
    else:
        raise Malformed(f"args={fields['args']!r}: give a JSON object (by name) or array (by position)")
    return StartLetter(came_as, workflow, _id({"id": came_as, **fields}), tuple(args), kwargs)


def _event(came_as: str, fields: dict[str, str], *, value_bytes_max: int) -> EventLetter:
    if "name" not in fields:
        raise Malformed("there is no field 'name': give the name of the event")
    if "error" in fields and "value" in fields:
        raise Malformed("there are both 'value' and 'error': give one of them")
    try:
        name = check_name("name", fields["name"])
        dedupe = check_name("dedupe", fields["dedupe"]) if "dedupe" in fields else f"gateway|{came_as}"
        if "error" in fields:
            return EventLetter(came_as, _id(fields), EVENT_FAILED, name, encode_error(fields["error"]), dedupe)
        payload = encode_event(name, _json(fields, "value", "null"), bytes_max=value_bytes_max)
    except Misuse as error:
        raise Malformed(str(error)) from None
    return EventLetter(came_as, _id(fields), "event", name, payload, dedupe)


def _id(fields: dict[str, str]) -> str:
    workflow_id = fields.get("id", "")
    if not keys.valid_id(workflow_id):
        raise Malformed(f"id={workflow_id!r}: give a workflow's id, 1 to 200 bytes of printable text")
    return workflow_id


def _json(fields: dict[str, str], name: str, default: str) -> object:
    text = fields.get(name, default)
    try:
        return cast("object", json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{name}={text[:200]!r} is not JSON ({error}): a text is written with its quotes") from None


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
