"""The demo: real files through durable workflows, a worker killed in the middle, and a check that nothing was lost."""

from __future__ import annotations

from actors.demo.run import run_demo
from actors.demo.settings import DemoError, DemoSettings

__all__ = ["DemoError", "DemoSettings", "run_demo"]
