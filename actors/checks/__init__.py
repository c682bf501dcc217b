"""Checks: what can be seen in workflow code without running it, with file, line and what to write instead.

``references`` reads the bytecode: which functions of clocks, random numbers, files, networks, processes and threads
the code names. ``shapes`` reads the source: iteration over sets, module state that is changed. Both take in nested
functions and the helpers that the code calls.

At definition only what is certainly a mistake counts, and raises (``check_definition``). ``headrace check`` shows
everything (``check_workflow``). A line that ends in ``# headrace: ok`` is left out.
"""

from __future__ import annotations

from actors.checks.finding import Finding
from actors.checks.workflow import check_definition, check_workflow, collecting

__all__ = ["Finding", "check_definition", "check_workflow", "collecting"]
