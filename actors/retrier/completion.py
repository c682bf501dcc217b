"""What is called when a workflow has ended: written down at its start, made into a call once its result is known.

Both without the code of either: whoever carries the message need not have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from actors.errors import Failure
from actors.packing import packb, unpackb
from actors.payload import pack, unpack
from actors.retrier.retrier import read_call, write_call

if TYPE_CHECKING:
    from kernel import Command


class Completion(NamedTuple):
    """A handler, its options and its context; the record's field ``on_complete``."""

    command: Command
    """The call, less its arguments: they are the encoded context."""
    run_after_ms: int = 0

    def encode(self) -> bytes:
        """Return the record's field."""
        return packb((write_call(self.command), self.run_after_ms))

    @classmethod
    def decode(cls, data: bytes) -> Completion:
        """Read the record's field."""
        call, run_after_ms, *_ = cast("list[Any]", unpackb(data))
        return cls(read_call(call), run_after_ms)

    def call(self, workflow_id: str, status: str, payload: bytes) -> bytes:
        """Return the arguments of the retrier that calls ``f(workflow_id, result, context)``."""
        context = self.command.arguments
        arguments = pack([[workflow_id, _plain_result(status, payload), unpack(context) if context else None]])
        return write_call(self.command._replace(arguments=arguments, due_ms=0))

    def due_ms(self, now_ms: int) -> int:
        """Return when the retrier is to start, ms since the epoch; 0: at once."""
        return now_ms + self.run_after_ms if self.run_after_ms else self.command.due_ms


def _plain_result(status: str, payload: bytes) -> dict[str, object]:
    """Return what ``actors.results.Result`` is once encoded; validation makes one of it again."""
    if status == "completed":
        return {"result": unpack(payload) if payload else None, "type": status}
    if status == "failed":
        failure = Failure.decode(payload)
        error = {name: getattr(failure, name) for name in ("kind", "error_type", "message", "traceback", "attempts")}
        return {"error": error, "type": status}
    return {"type": "canceled"}
