"""The command line, ``headrace``. What the commands do is in ``WorkflowManager``; here is how people say it and read it.

One file a group of commands, each with ``register``. Errors are one line on stderr; exit code 1, for wrong usage 2.
"""

from __future__ import annotations

from actors.cli.program import main

__all__ = ["main"]
