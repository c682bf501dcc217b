"""``Surroundings``: what an instance's ``Step`` and its copies share. Not for authors."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from actors.workflow.commands import Commands
    from actors.workflow.updates import Updates


class Surroundings:
    """What an instance's ``Step`` and its copies share, and what the guards of workflow code ask; made when needed."""

    __slots__ = (
        "_commands",
        "_streams",
        "generation",
        "log",
        "name",
        "priority",
        "restarts",
        "step_defaults",
        "updates",
        "value_bytes_max",
        "version",
    )

    def __init__(self, commands: Commands, name: str, version: str, *, value_bytes_max: int) -> None:
        self._commands = commands
        self.name = name
        """The registered name of the instance's workflow."""
        self.version = version
        """The version of the code that it runs."""
        self.value_bytes_max = value_bytes_max
        """Limit of one value, encoded."""
        self.step_defaults: Mapping[str, object] = {}
        """What the workflow's definition, and its priority, say of the steps that it runs."""
        self.priority = 0
        """The instance's, which its children inherit."""
        self.restarts: Sequence[int] = ()
        """For each restart of the instance, in order: the number of the event after which everything was fed again."""
        self.generation = ""
        """Id of the event that began the instance: seeds what is random."""
        self.log: FilteringBoundLogger | None = None
        self._streams: dict[str, Random] | None = None
        self.updates: Updates | None = None
        """Handlers of updates, and the updates that wait for one."""

    @property
    def now_ms(self) -> int:
        """Recorded time of the latest event, ms since the epoch."""
        return self._commands.now_ms

    @property
    def attempt(self) -> int:
        """One more than the number of the restart under which the event being fed was fed last: so also on a replay."""
        at = self._commands.at
        return max((number for number, after in enumerate(self.restarts, 1) if after < at), default=0) + 1

    @property
    def dead(self) -> bool:
        """Whether nothing is recorded any more: the instance has ended, or leaves the worker's memory."""
        return self._commands.dead

    @property
    def silent(self) -> bool:
        """Whether what is logged now was logged when the code ran the first time, or belongs to no run at all."""
        return self._commands.replaying or self._commands.dead

    def stream(self, purpose: str) -> Random:
        """Return the random numbers for one purpose, the same on every replay. Purposes do not disturb one another."""
        streams = self._streams
        if streams is None:
            streams = self._streams = {}
        found = streams.get(purpose)
        if found is None:
            seed = f"{self._commands.workflow_id}|{self.generation}|{purpose}"
            found = streams[purpose] = Random(seed)  # noqa: S311 - repeatable is what it is for
        return found
