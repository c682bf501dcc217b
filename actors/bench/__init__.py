"""The benchmark behind ``headrace bench``: workloads on real processes, beside bare redis-py. Tests nothing."""

from __future__ import annotations

from actors.bench.job import BenchError, Plan
from actors.bench.report import Facts, Line, json_line, table
from actors.bench.sitting import run_benchmark
from actors.bench.workloads import WORKLOADS

__all__ = ["WORKLOADS", "BenchError", "Facts", "Line", "Plan", "json_line", "run_benchmark", "table"]
