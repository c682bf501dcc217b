"""What asyncio leaves to sets, and what its versions do differently, comes out the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXPECTED = (HERE / "orders.txt").read_text(encoding="utf-8")
"""Written by CPython 3.11; a change of what the core asks for changes it: ``python -m tests.workflow.orders 0``."""


@pytest.mark.parametrize("seed", range(6))
def test_the_order_is_the_same_under_another_hash_seed_another_heap_and_another_python(seed: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.workflow.orders", str(seed * 10_007)],
        cwd=HERE.parent.parent,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.stderr == ""
    assert ran.stdout == EXPECTED
