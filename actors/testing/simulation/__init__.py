"""Simulation: several whole workers at once, on virtual time, over one in-memory server, while things go wrong by seed.

::

    async with Simulation(manager, seed=7) as simulation:
        handle = await simulation.start(order, "o-1")
        assert await handle.result() == "receipt-1"
        await simulation.finish()

At every boundary to Redis (each call that may change something, ``MULTI`` up to ``EXEC`` as one, each read for a group
that returned something) a worker may be killed before or after the call took effect, lose the reply, wait for it in
vain, have the call come late or twice, stand still until it is taken for dead and then go on, be cut off, have a clock
that is wrong; the server may lose its last writes or its groups; some workers may run older code. What goes wrong is a
``Schedule``, data that is drawn from the seed and has a text; the same schedule gives the same run.

The interface:

- ``Simulation(manager, seed=…, workers=3, faults=Faults(…), old=…)`` or ``Simulation(manager, schedule="seed=7 …")``:
  what a ``WorkflowTester`` can do, and ``finish()`` (until all has ended), ``vanish()`` (and then is cleaned up, to the
  last key), ``check()``, ``injected``, ``violations``, ``digest``, ``trace``. Leaving the block checks too.
- ``Schedule.parse(text)``, ``str(schedule)``, ``Faults(kinds, most).draw(seed, workers=3)``, ``Fault``.
- ``run(make, schedule)``: plays the ``Scenario`` (``manager``, ``old``, ``play(simulation)``) that ``make(schedule)``
  makes; returns a ``Run`` with the schedule, what was injected, the digest and ``error`` (None: all was well).
- ``shrink(play, failed_run)``: the run with the shortest schedule that still fails; ``simulate(make, seeds)``: many
  runs, raises SimulationFailed with the shrunken schedule of the first that fails.

After every call that took effect the invariants of ARCHITECTURE.md are checked on what it touched.
"""

from __future__ import annotations

from actors.testing.simulation.running import Run, Scenario, run, shrink, simulate
from actors.testing.simulation.schedule import KINDS, NO_FAULTS, Fault, FaultKind, Faults, Schedule
from actors.testing.simulation.simulation import Simulation, SimulationFailed

__all__ = [
    "KINDS",
    "NO_FAULTS",
    "Fault",
    "FaultKind",
    "Faults",
    "Run",
    "Scenario",
    "Schedule",
    "Simulation",
    "SimulationFailed",
    "run",
    "shrink",
    "simulate",
]
