"""Heap: takes what a worker's program has loaded out of the garbage collector's sight. Only for processes of ours."""

from __future__ import annotations

import gc


def freeze_loaded() -> None:
    """Have the collector pass over all that exists now; to be called once the author's modules are loaded.

    Modules and definitions live as long as the process. Each full collection would go through them all, in the middle
    of somebody's step.
    """
    gc.collect()
    gc.freeze()
