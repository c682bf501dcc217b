"""Recorded histories: an instance's journal as a file, to be replayed against the code of another day.

The file is JSON. Payloads are the journal's own bytes, in base64: they mean the same to every version of the code.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from actors.errors import Misuse, WorkflowNotFound
from kernel import ZERO, Command, Event, Gone, NotFound, event_number

if TYPE_CHECKING:
    from kernel import Store

FORMAT: Final = 1
"""Version of the file's layout."""
_COMMAND_BYTES: Final = ("arguments", "options")
_EVENT_BYTES: Final = ("payload",)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedHistory:
    """All that a replay of one instance needs."""

    id: str
    workflow: str
    """Registered name."""
    version: str
    """Of the workflow; empty: the first."""
    python: str
    """Version that ran it, where that is known."""
    status: str
    """``running``, ``completed``, ``failed``, ``canceled`` …, as recorded."""
    result: bytes
    """Payload of the result or failure; empty if it has not ended."""
    commands: tuple[Command, ...]
    events: tuple[Event, ...]
    """Those that a turn has taken, in order."""
    seed: int = 0
    """Of Python's text hashes, under which the namespace's workers run: sets of texts have its order. 0: not known."""

    def write(self, path: str | Path) -> None:
        """Write it to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """Return it as text."""
        fields = {
            "format": FORMAT,
            "id": self.id,
            "workflow": self.workflow,
            "version": self.version,
            "python": self.python,
            "status": self.status,
            "seed": self.seed,
            "result": _text(self.result),
            "commands": [_as_plain(command, _COMMAND_BYTES) for command in self.commands],
            "events": [_as_plain(event, _EVENT_BYTES) for event in self.events],
        }
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> RecordedHistory:
        """Read a file that ``write`` or ``headrace history`` made.

        Raises:
            Misuse: it is none.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Misuse(f"{path} holds no recorded history that can be read ({error!r}): export it again") from error

    @classmethod
    def from_json(cls, text: str) -> RecordedHistory:
        """Read what ``to_json`` gave. Raises ValueError, KeyError or TypeError for anything else."""
        fields = cast("dict[str, Any]", json.loads(text))
        if fields["format"] != FORMAT:
            raise ValueError(f"its format is {fields['format']!r}, this version reads {FORMAT}")
        return cls(
            id=fields["id"],
            workflow=fields["workflow"],
            version=fields["version"],
            python=fields["python"],
            status=fields["status"],
            seed=int(fields.get("seed", 0)),
            result=_bytes(fields["result"]),
            commands=tuple(Command(**_from_plain(item, _COMMAND_BYTES)) for item in fields["commands"]),
            events=tuple(Event(**_from_plain(item, _EVENT_BYTES)) for item in fields["events"]),
        )


async def record_history(store: Store, workflow_id: str) -> RecordedHistory:
    """Read an instance's journal as far as its turns have taken it.

    Raises:
        WorkflowNotFound: there is no such instance.
    """
    address = f"wf/{workflow_id}"
    try:
        record = (await store.turns.fetch(address, generation="", fed=ZERO)).record
        history = await store.turns.history(address, record)
    except (NotFound, Gone):
        raise WorkflowNotFound(f"there is no workflow {workflow_id!r}: it may have been cleaned up") from None
    result = await store.instances.result(address)
    consumed = event_number(record.consumed)
    return RecordedHistory(
        id=workflow_id,
        workflow=record.name,
        version=record.version,
        python=record.python,
        status=record.status,
        seed=store.space.seed,
        result=(result or b"").partition(b"\n")[2],
        commands=tuple(history.commands),
        events=tuple(event for event in history.events if event.number <= consumed),
    )


def _as_plain(item: Command | Event, payloads: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a value that are not what they are when left out."""
    defaults = type(item)._field_defaults
    return {
        name: _text(value) if name in payloads else value
        for name, value in item._asdict().items()
        if name not in defaults or value != defaults[name]
    }


def _from_plain(fields: dict[str, Any], payloads: tuple[str, ...]) -> dict[str, Any]:
    return {name: _bytes(value) if name in payloads else value for name, value in fields.items()}


def _text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
