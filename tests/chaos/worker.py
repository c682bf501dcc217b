"""What ``headrace worker tests.chaos.worker:manager`` runs: the app that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos.app import NAMESPACE, TIMEOUT, TRACE, make_app

manager = make_app(
    os.environ["HEADRACE_URL"],
    namespace=os.environ[NAMESPACE],
    worker_timeout_s=float(os.environ[TIMEOUT]),
    trace=Path(os.environ[TRACE]),
).manager
