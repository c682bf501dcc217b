"""Finding: one line of workflow code that a replay may not repeat."""

from __future__ import annotations

import linecache
from typing import Final, NamedTuple

ALLOWED: Final = "# headrace: ok"
"""What an author writes at the end of a line that is harmless in spite of what it looks like."""


class Finding(NamedTuple):
    """One line of workflow code and what to write instead. Sorted by place."""

    file: str
    line: int
    function: str
    """Name of the function that the line is in, with the ones around it."""
    what: str
    """What the code does, such as ``datetime.now() reads the machine's clock``."""
    instead: str
    certain: bool
    """Whether it is a mistake wherever it stands; such a workflow cannot be defined."""

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.file}:{self.line} in {self.function}: {self.what}: {self.instead}"

    @property
    def allowed(self) -> bool:
        """Whether the author has said that the line is harmless."""
        return ALLOWED in linecache.getline(self.file, self.line)
