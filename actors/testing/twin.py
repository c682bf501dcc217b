"""The manager's twin: the same definitions over a Redis in this process, on virtual time, with fakes for some steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.definitions import Mutation, Query, StepDefinition, ThreadAction
from actors.manager import WorkflowManager
from actors.testing.clock import end_housekeeping
from actors.testing.crashes import Life, MortalConnector
from actors.testing.fakes import Fake, replaced
from kernel import Space, Store, connector

if TYPE_CHECKING:
    from actors.testing.clock import VirtualClock
    from kernel import Connector


class Twin(WorkflowManager):
    """Stands in for a manager. What is registered with that one later is known here too."""

    clock: VirtualClock
    fakes: dict[str, Fake]
    default_partitions = 1
    """If the manager does not state any."""

    @classmethod
    def of(cls, manager: WorkflowManager, *, url: str, clock: VirtualClock) -> Twin:
        """Return a twin that is not connected yet. ``url``: of an in-memory server."""
        # Not by the constructor: whatever a manager can be set to is to be the same here.
        twin = object.__new__(cls)
        twin.__dict__.update(vars(manager))
        twin.__dict__.update(url=url, _store=None, _loop=None, _opening=None, _embedded=None)
        twin.clock, twin.fakes = clock, {}
        return twin

    async def _open(self, *, patience_s: float | None) -> Store:
        return await self._open_on(self._connector(), patience_s=patience_s)

    async def open_over(self, source: Connector, space: type[Space] = Space) -> Store:
        """Return connections that ``source`` makes."""
        return await self._open_on(source, patience_s=None, kind=space)

    async def open_mortal(self, life: Life) -> Store:
        """Return connections that end with one life."""
        return await self._open_on(MortalConnector(self._connector(), life), patience_s=None)

    def _connector(self) -> Connector:
        assert self.url is not None
        return connector(self.url)

    async def _open_on(self, source: Connector, *, patience_s: float | None, kind: type[Space] = Space) -> Store:
        space = kind(
            source,
            namespace=self.namespace,
            partitions=self._partitions,
            default_partitions=self.default_partitions,
            patience_s=patience_s,
            now_ms=self.clock.now_ms,
            codec=self.codec,
        )
        try:
            await space.open()
        except BaseException:
            await space.close()
            raise
        return Store(space)

    def get_step(self, name: str) -> StepDefinition[..., Any]:
        """Return the step that runs here under a name: the real one, or its fake. Raises UnknownDefinition."""
        step = super().get_step(name)
        fake = self.fakes.get(name)
        transacts = isinstance(step, Query | Mutation)

        async def run(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - whatever the step takes
            end_housekeeping()  # what a step waits for is worth moving the time for
            if fake is None:
                return await step.function(*args, **kwargs)
            return await fake.run(*(args[1:] if transacts else args), **kwargs)

        # In a thread there is no loop that could make timers; the clock waits for it.
        return step if fake is None and isinstance(step, ThreadAction) else replaced(step, run)
