"""The measuring process of the benchmark: a service that starts workflows, beside the workers and not one of them.

It says what server it found, then answers words on stdin (``warm``, ``engine``, ``floor``, ``sweep``), each with a line
of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, cast

from actors.bench.floor import Floor
from actors.bench.flows import define_flows
from actors.bench.job import BenchError, Job, Sample
from actors.bench.member import hear, log_to_stderr, make_manager, say
from actors.bench.session import Session
from actors.bench.workloads import WORKLOADS
from actors.errors import HeadraceError
from kernel import KernelError

if TYPE_CHECKING:
    from kernel import Space

SETTINGS: Final = ("appendonly", "appendfsync", "save", "maxmemory-policy", "io-threads")
SWEEP: Final = 1_000
"""Keys that are looked at, at most, by one command of the sweep."""


async def serve(job: Job) -> None:
    """Answer until the parent closes its end."""
    manager = make_manager(job)
    flows = define_flows(manager)
    async with manager:
        space = (await manager.store()).space
        session = Session(job, manager, space, flows, Floor(space))
        await session.floor.load()
        say(json.dumps(await _facts(space)))
        while verb := await hear():
            say(await _answer(session, verb))


async def _answer(session: Session, verb: str) -> str:
    workload = WORKLOADS[session.job.workload]
    try:
        match verb:
            case "engine":
                sample = await workload.measure(session, session.job.count)
            case "floor":
                sample = await workload.measure_floor(session, session.job.count)
            case "warm":
                sample = await workload.measure(session, max(round(session.job.count * workload.warm_up), 1))
            case "sweep":
                sample = await _sweep(session.space)
            case _:
                raise BenchError(f"{verb!r} is no word that the measuring process knows")
    except (HeadraceError, KernelError) as error:
        return json.dumps({"error": str(error)})
    return json.dumps(asdict(sample))


async def _facts(space: Space) -> dict[str, str]:
    """Return the server's version and the settings that speed depends on."""
    tag = space.keys.tags[0]
    info = (await space.send(tag, "INFO", "server")) or b""
    assert isinstance(info, bytes)
    server = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    facts = {"version": server.get("valkey_version") or server.get("redis_version", "")}
    for setting in SETTINGS:
        try:
            reply = await space.send(tag, "CONFIG", "GET", setting)
        except KernelError:
            # Managed servers often forbid CONFIG; then nobody can tell.
            reply = None
        match cast("list[bytes] | None", reply):
            case [_, value]:
                facts[setting] = value.decode()
            case _:
                pass
    return facts | {"partitions": str(space.keys.partitions), "process_id": server.get("process_id", "")}


async def _sweep(space: Space) -> Sample:
    """Delete everything of this namespace."""
    deleted = 0
    for tag in space.keys.tags:
        cursor, first = b"0", True
        while first or cursor != b"0":
            reply = await space.send(tag, "SCAN", cursor, "MATCH", f"{tag}:*", "COUNT", SWEEP)
            cursor, found = cast("tuple[bytes, list[bytes]]", reply)
            first = False
            if found:
                await space.send(tag, "UNLINK", *found)
                deleted += len(found)
    for name in (space.keys.workers, f"{space.keys.workers}:about", space.keys.gateway, space.keys.dead):
        await space.send(name, "UNLINK", name)
    return Sample(deleted)


if __name__ == "__main__":
    log_to_stderr()
    try:
        asyncio.run(serve(Job.decode(sys.argv[1])))
    except (HeadraceError, KernelError) as failure:
        say(json.dumps({"error": str(failure)}))
