"""Hash seed: by which Python orders sets of texts. All workers of a namespace run under the same one."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

HASH_SEED: Final = "PYTHONHASHSEED"


def run_anew(seed: int | str) -> NoReturn:
    """Execute this program anew under a seed: a running interpreter cannot take another."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, HASH_SEED: str(seed)})  # noqa: S606 - no shell is meant
