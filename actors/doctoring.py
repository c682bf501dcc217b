"""Doctoring: how a manager has its namespace looked over, and what is damaged for good removed."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from actors.doctor import Examination, Thoroughness, discard
from actors.options import Duration, duration_ms
from kernel import EvictingServer

if TYPE_CHECKING:
    from actors.doctor import Report
    from actors.manager import WorkflowManager
    from kernel import Discarded, Store


class Doctoring:
    """The part of a manager that looks after what is stored."""

    allows_eviction = False
    """Whether a server that may delete keys is opened all the same, to say what is wrong with it."""

    if TYPE_CHECKING:

        async def store(self) -> Store:
            """Return the open store."""
            ...

        async def _open(self, *, patience_s: float | None) -> Store: ...

    async def doctor(
        self,
        *,
        repair: bool = False,
        stuck_after: Duration = 300,
        orphans_older_than: Duration = timedelta(days=1),
        leftover_after: Duration = 60,
    ) -> Report:
        """Look over the whole namespace, in slices, while workers go on; say what is wrong and what to do about it.

        Args:
            repair: mend what can be mended safely; each thing is looked at once more by the script that mends it.
            stuck_after: what has waited for longer is reported.
            orphans_older_than: only keys without record that nobody has used for longer are deleted (``repair``).
            leftover_after: a consumer without worker that was idle for longer is reported.

        Raises:
            InvalidOption: with what to give instead.
        """
        thoroughness = Thoroughness(
            repair=repair,
            stuck_after_s=duration_ms("stuck_after", stuck_after) / 1000,
            orphans_older_than_s=duration_ms("orphans_older_than", orphans_older_than) / 1000,
            leftover_after_s=duration_ms("leftover_after", leftover_after) / 1000,
            worker_timeout_s=cast("WorkflowManager", self).worker_timeout_s,
        )
        try:
            return await Examination(await self.store(), thoroughness).run()
        except EvictingServer:
            lenient = copy.copy(self)
            lenient.allows_eviction = True
            store = await lenient._open(patience_s=10.0)  # noqa: SLF001 - it is another of the same class
        try:  # which says so, among all else
            return await Examination(store, thoroughness).run()
        finally:
            await store.close()

    async def discard(self, workflow_id: str) -> Discarded:
        """Remove an instance so damaged that nothing else ends it, with all that lies of it anywhere in Redis.

        Its children are canceled and deleted; whoever waits for it, if that can be read, gets ``OutcomeUnknown``.

        Raises:
            Misuse: it is not damaged, or what was wrong could be mended: cancel it, and clean it up.
            WorkflowNotFound: there is nothing of it.
        """
        return await discard(await self.store(), workflow_id)
