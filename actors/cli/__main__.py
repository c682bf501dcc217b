"""``python -m actors.cli``: the same as ``headrace``, where that is not on PATH."""

from __future__ import annotations

import sys

from actors.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
