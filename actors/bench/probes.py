"""Probes: what processes and the server have used so far. Reads only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from actors.bench.job import BenchError

if TYPE_CHECKING:
    from kernel import Space


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process with all its threads has used, s.

    Raises:
        BenchError: this system has no /proc.
    """
    # The program's name, in brackets, may hold anything; the 14th and 15th field are ticks in user and system mode.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM.

    Raises:
        BenchError: this system has no /proc.
    """
    return int(_read(pid, "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(
            f"/proc/{pid}/{name} cannot be read ({error.strerror}): run this workload on Linux, where /proc tells what "
            "a process uses"
        ) from error


async def server_info(space: Space, section: str) -> dict[str, str]:
    """Return one section of the server's INFO; for a Cluster that of the first partition's node."""
    reply = await space.send(space.keys.tags[0], "INFO", section)
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


async def script_calls(space: Space) -> int:
    """Return how many script calls the server has answered."""
    stats = await server_info(space, "commandstats")
    line = stats.get("cmdstat_evalsha", "calls=0,")
    return int(line.partition("calls=")[2].partition(",")[0])


async def server_cpu_s(space: Space) -> float:
    """Return the CPU time that the server has used, s."""
    info = await server_info(space, "cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def data_bytes(space: Space) -> int:
    """Return the server's memory without the buffers of its connections and of its append-only file."""
    info = await server_info(space, "memory")
    return int(info["used_memory"]) - int(info.get("mem_clients_normal", 0)) - int(info.get("mem_aof_buffer", 0))
