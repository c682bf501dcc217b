"""Starting: what a call of a workflow becomes when it is to be an instance of its own. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.definitions import BoundWorkflow
    from kernel import Beginning


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
        "fields": workflow.record_fields(),
    }
