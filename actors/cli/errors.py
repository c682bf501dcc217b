"""What ends a command in an orderly way."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what was asked: one line that says what to do. Exit code 1."""
