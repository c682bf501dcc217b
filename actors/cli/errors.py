"""What ends a command in an orderly way."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what was asked: one line that says what to do. Exit code 1."""


class Interrupted(Exception):
    """A person ended a wait by Ctrl-C; the message says what goes on without it. Exit code 130."""
