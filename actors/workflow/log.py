"""The logger of workflow code: structlog's, as the process has configured it, silent while a journal is replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import FilteringBoundLogger, WrappedLogger

    from actors.workflow.commands import Commands


class _SilentInReplay:
    """A structlog processor that drops what was logged when the code ran the first time."""

    __slots__ = ("_commands",)

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def __call__(
        self, _logger: WrappedLogger, _method: str, entry: MutableMapping[str, object]
    ) -> MutableMapping[str, object]:
        if self._commands.replaying or self._commands.dead:
            raise structlog.DropEvent
        return entry


def make_log(commands: Commands) -> FilteringBoundLogger:
    """Return a logger bound to the instance."""
    configured = structlog.get_config()["processors"]
    log = structlog.wrap_logger(
        None, processors=[_SilentInReplay(commands), *configured], workflow_id=commands.workflow_id
    )
    return cast("FilteringBoundLogger", log)
