"""The command line, ``headrace``: how people say what ``WorkflowManager`` does, and how they read it.

One file a group of commands, each with ``register``. Errors are one line on stderr; exit code 1, for wrong usage 2.
"""

from __future__ import annotations

from actors.cli.program import main

__all__ = ["main"]
