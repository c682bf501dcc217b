"""Guards of workflow code while it runs: what a worker installs when it starts and takes away when it stops.

==============  =======================================================================================================
``clocks``      ``time.*`` tell the workflow's time; ``time.sleep`` is refused
``randomness``  ``random.*`` and ``uuid.uuid4`` repeat themselves on every replay; secrets are refused
``threads``     thread pools and asyncio's other loops are refused
``audit``       files, sockets, processes and threads are refused where they are asked for
``silence``     what a replay logs once more is dropped
``watchdog``    a turn that blocks the worker is broken off
==============  =======================================================================================================

None of it is installed by an import. All but the watchdog look at one context variable, ``active_step``, which is set
in the context of workflow code alone: other code, in this thread or another, gets what it always got.

What they do not see: names bound by value before a worker started (``from time import time``), clocks read in C
(``datetime.now``), and I/O on connections that are open already. ``actors.checks`` finds the first two in the code.
"""

from __future__ import annotations

from actors.determinism.installation import Installation, install
from actors.determinism.watchdog import Watch

__all__ = ["Installation", "Watch", "install"]
