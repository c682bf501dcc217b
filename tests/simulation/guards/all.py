"""All guards that are taken away one at a time to see that the simulator notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.guards.engine import ENGINE
from tests.simulation.guards.kernel import KERNEL
from tests.simulation.guards.liveness import LIVENESS

if TYPE_CHECKING:
    from tests.simulation.guards.guard import Guard

GUARDS: Final[tuple[Guard, ...]] = (*KERNEL, *ENGINE, *LIVENESS)
