"""Workload: the shape that all workloads share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from actors.bench.job import Sample
    from actors.bench.session import Session


class Workload(ABC):
    """One thing that is measured, and its floor. Both run in the measuring process, several times in turn."""

    name: ClassVar[str]
    unit: ClassVar[str]
    count: ClassVar[int] = 0
    """Size, unless stated on the command line; what it counts the workload's docstring says. 0: it has none."""
    runs: ClassVar[int] = 5
    """How often it is measured, unless stated."""
    warm_up: ClassVar[float] = 0.1
    """Part of the size that is run before the first measurement, and not counted."""
    has_workers: ClassVar[bool] = True
    has_floor: ClassVar[bool] = True
    shares_floor: ClassVar[bool] = False
    """The floor is a rate, measured by as many processes at once as there are workers, and added up."""
    cache_instances: ClassVar[int] = 10_000

    @abstractmethod
    async def measure(self, session: Session, count: int) -> Sample:
        """Measure the engine once."""

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Measure the floor once, with the same size."""
        raise NotImplementedError
