"""The store: the only code that speaks Redis. ``Store`` is its face, one method a script, grouped by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.store.custody import Custody
from kernel.store.dead import Dead
from kernel.store.discarding import Discarding
from kernel.store.exclusive import Exclusives
from kernel.store.gateway import Gateway
from kernel.store.hearing import Hearing
from kernel.store.instances import Instances
from kernel.store.mending import Mending
from kernel.store.outbox import Outbox
from kernel.store.pools import Pools
from kernel.store.steps import Steps
from kernel.store.survey import Survey
from kernel.store.timers import Timers
from kernel.store.turns import Turns

if TYPE_CHECKING:
    from kernel.store.space import Space


class Store:
    """Every transition of one namespace."""

    def __init__(self, space: Space) -> None:
        """Work in a space, opened or to be opened."""
        self.space = space
        self.instances = Instances(space)
        self.turns = Turns(space)
        self.steps = Steps(space)
        self.timers = Timers(space)
        self.custody = Custody(space)
        self.outbox = Outbox(space)
        self.pools = Pools(space)
        self.gateway = Gateway(space)
        self.exclusives = Exclusives(space)
        self.dead = Dead(space)
        self.mending = Mending(space)
        self.discarding = Discarding(space)
        self.hearing = Hearing(space)
        self.survey = Survey(space)

    async def close(self) -> None:
        """Close every connection."""
        await self.hearing.close()
        await self.exclusives.close()
        await self.space.close()


__all__ = ["Store"]
