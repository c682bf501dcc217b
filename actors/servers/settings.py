"""What a worker can be set to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.errors import InvalidOption
from actors.wording import shown
from kernel import keys

LEAVE_S_MAX: Final = 3.0
"""How long a worker that stops tries to hand something back to a server that is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Bounds of one worker process."""

    concurrency: int = 100
    """Steps that may run at once."""
    queues: tuple[str, ...] = ("default",)
    """Queues that it serves."""
    grace_s: float = 30.0
    """How long running steps may go on when it is asked to stop; what is left is handed to others."""
    worker_timeout_s: float = 5.0
    """How long a heartbeat may stay unchanged before its worker is taken for dead."""
    cache_instances: int = 10_000
    """Instances kept in memory between turns; 0: each turn replays."""
    cache_bytes: int = 256 * 2**20
    """Bytes of journal that those may stand for."""
    journal_bytes_max: int = 2**24
    """A workflow whose journal grows beyond fails."""
    retention_ms: int | None = None
    """How long ended instances are kept that a message to the gateway started; None: for ever."""
    deaths_max: int = 3
    """A command, or a turn, during which so many workers died is set aside."""
    dead_retention_ms: int = 30 * 86_400_000
    """How long what was set aside is kept."""
    jitter_seed: int | None = None
    """Of the random part of retries' delays; None: another one each time."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            InvalidOption: with the bounds.
        """
        if type(self.concurrency) is not int or not 1 <= self.concurrency <= 10_000:  # noqa: PLR2004 - said in the message
            raise InvalidOption(f"concurrency={shown(self.concurrency)}: give a whole number from 1 to 10,000")
        if not self.queues or not all(keys.valid_queue(queue) for queue in self.queues):
            raise InvalidOption(
                f"queues={shown(self.queues)}: name at least one; letters, digits, dots, dashes and underscores, "
                "64 at most"
            )
        if not 0 <= self.grace_s <= 86_400:  # noqa: PLR2004 - said in the message
            raise InvalidOption(f"grace={shown(self.grace_s)}: give seconds from 0 to 86,400")
        if not 0.5 <= self.worker_timeout_s <= 600:  # noqa: PLR2004 - said in the message
            raise InvalidOption(f"worker_timeout={shown(self.worker_timeout_s)}: give seconds from 0.5 to 600")
