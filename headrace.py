"""The command ``headrace`` as it is installed, and ``python -m headrace``: Ctrl-C ends it from its first moment on.

All else is in ``actors.cli``, whose import takes a moment. No part of the API: programs import ``actors``.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED: Final = 130


def main() -> int:
    """Run the command line; return its exit code. A Ctrl-C while it is imported ends the process without a word."""
    if heeds := signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it was started to ignore it
        signal.signal(signal.SIGINT, _leave)
    from actors.cli import main as run  # noqa: PLC0415 - what is imported before is not covered

    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once: an exception in the middle of an import would be told by a traceback, or be lost in a library."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
