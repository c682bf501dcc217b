"""Starting: what a call of a workflow becomes when it is to be an instance of its own, or somebody's child. No I/O.

A child is started by a courier that need not have the workflow's code, so all that its beginning needs stands in the
command that asked for it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from actors.options import write_tags
from actors.packing import packb, unpackb

if TYPE_CHECKING:
    from actors.definitions import BoundWorkflow, Workflow
    from kernel import Beginning

DEFAULT_VERSION: Final = "1"
ID_BYTES_MAX: Final = 200


def beginning(call: BoundWorkflow[..., Any], *, now_ms: int, retention_ms: int | None) -> Beginning:
    """Return the arguments of ``create``. ``retention_ms``: of instances that say nothing about it; None: for ever."""
    workflow = call.workflow
    options = workflow.options
    return {
        "name": workflow.name,
        "arguments": call.arguments,
        "start_at_ms": options.due_ms(now_ms),
        "retention_ms": retention_ms if options.retention_ms is None else options.retention_ms,
        "timeout_ms": options.timeout_ms,
        "fields": record_fields(workflow),
    }


def record_fields(workflow: Workflow[..., Any], *, inherited: int = 0) -> dict[str, str | bytes]:
    """Return what an instance's record holds of its workflow's options from the beginning.

    ``inherited``: the priority of its parent.
    """
    options = workflow.options
    fields: dict[str, str | bytes] = {}
    if workflow.version != DEFAULT_VERSION:
        fields["version"] = workflow.version
    if options.tags:
        fields["tags"] = write_tags(options.tags)
    if priority := inherited if options.priority is None else options.priority:
        fields["priority"] = str(priority)
    if options.on_complete:
        fields["on_complete"] = options.on_complete
    return fields


class ChildOptions(NamedTuple):
    """Options of a command that starts a child; empty bytes if there are none."""

    id: str = ""
    """The child's id; empty: one that follows from its parent's."""
    retention_ms: int | None = None
    """None: its parent's."""
    fields: dict[str, str | bytes] = {}  # noqa: RUF012 - never changed
    """Of the child's record."""

    @classmethod
    def of(cls, workflow: Workflow[..., Any], *, priority: int) -> ChildOptions:
        """Return what a workflow's options say; ``priority`` is its parent's."""
        options = workflow.options
        return cls(options.id, options.retention_ms, record_fields(workflow, inherited=priority))

    def encode(self) -> bytes:
        """Return the command's options."""
        return packb(tuple(self)) if any((self.id, self.retention_ms is not None, self.fields)) else b""

    @classmethod
    def decode(cls, data: bytes) -> ChildOptions:
        """Read a command's options; fields appended by a newer version are ignored."""
        if not data:
            return cls()
        found, retention_ms, fields, *_ = cast("list[Any]", unpackb(data))
        return cls(found, retention_ms, fields)


def child_address(parent: str, *, seq: str, token: str, options: bytes) -> str:
    """Return the address of the child that a command asked for.

    With an ``id`` of its own, that; else one that is never issued twice (``token`` is one commit's alone), beside its
    parent's, as long as ids may be.
    """
    kind, _, actor_id = parent.partition("/")
    if chosen := ChildOptions.decode(options).id:
        return f"{kind}/{chosen}"
    digest = hashlib.blake2b(token.encode(), digest_size=6).hexdigest()
    return f"{kind}/{_bounded(actor_id, f'{seq}.{digest}')}"


def completion_address(owner: str, generation: str) -> str:
    """Return the address of the actor that does what was asked for on the completion of an actor's generation."""
    return f"retrier/{_bounded(owner.partition('/')[2], f'on_complete/{generation}')}"


def _bounded(actor_id: str, rest: str) -> str:
    """Return ``actor_id/rest``; where that is too long, a digest in place of all but the first part of the id.

    The first part decides about the partition. Only where it is too long itself, it gives way as well.
    """
    if len(whole := f"{actor_id}/{rest}".encode()) <= ID_BYTES_MAX:
        return whole.decode()
    first = actor_id.partition("/")[0]
    digest = hashlib.blake2b(actor_id.encode(), digest_size=12).hexdigest()
    short = f"{first}/{digest}/{rest}"
    return short if len(short.encode()) <= ID_BYTES_MAX else f"{digest}/{rest}"
