"""``headrace queues``: what waits, for how long, what runs, and who serves it; and the pools that limit it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from actors.cli.options import add_common, add_connection, connected
from actors.cli.output import console, counted, seconds, table, write_json
from actors.fleet import read_workers
from actors.views import moment

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.fleet import WorkerView
    from actors.manager import WorkflowManager
    from kernel import Depths, PoolStatus, QueueDepth


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("queues", help="show the queues: what waits, for how long, what runs, who serves them")
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=queues)


def queues(said: argparse.Namespace) -> int:
    """Print a line for each queue that has a step or a worker, and for each pool."""

    async def inside(manager: WorkflowManager) -> tuple[Depths, list[WorkerView], dict[str, PoolStatus]]:
        store = await manager.store()
        depths, (workers, _) = await asyncio.gather(store.survey.depths(), read_workers(store))
        pools = {name: await store.pools.status(name) for name in await store.pools.names()}
        return depths, [view for view in workers if not view.gone], pools

    depths, workers, pools = connected(said, inside)
    served = Counter(queue for view in workers for queue in view.queues)
    silent = Counter(queue for view in workers if not view.beats for queue in view.queues)
    names = sorted(depths.queues.keys() | served.keys())
    if said.json:
        for name in names:
            write_json({"queue": name, **_facts(depths, name), "workers": served[name], "silent_workers": silent[name]})
        for name, status in pools.items():
            write_json({"pool": name, **status._asdict()})
        return 0
    if not names and not pools:
        print(f"no queues in {said.namespace!r}: nothing was asked for yet, and no worker runs")
        return 0
    _print(depths, served, silent, names)
    if pools:
        _print_pools(pools)
    return 0


def _facts(depths: Depths, name: str) -> dict[str, object]:
    depth = depths.queues.get(name)
    if depth is None:
        return {"waiting": 0, "oldest": None, "delayed": 0, "retrying": 0, "running": 0}
    oldest = None if depth.oldest_ms is None else moment(depth.oldest_ms)
    return {
        "waiting": depth.waiting,
        "oldest": oldest,
        "delayed": depth.delayed,
        "retrying": depth.retrying,
        "running": depth.running,
    }


def _print(depths: Depths, served: Counter[str], silent: Counter[str], names: list[str]) -> None:
    now = datetime.now(UTC)
    shown = table("queue", "waiting", "oldest", "delayed", "retrying", "running", "workers")
    for name in names:
        facts = _facts(depths, name)
        oldest = facts["oldest"]
        shown.add_row(
            name,
            f"{facts['waiting']:,}",
            seconds(oldest, now) if isinstance(oldest, datetime) else "",
            f"{facts['delayed']:,}",
            f"{facts['retrying']:,}",
            f"{facts['running']:,}",
            _workers(served[name], silent[name], needed=_has(depths.queues.get(name))),
        )
    console().print(shown)
    for name in names:
        if served[name] == silent[name] and _has(depths.queues.get(name)):
            that = " that beats" if silent[name] else ""
            print(f"no worker{that} serves {name!r}: start one with headrace worker module:manager --queues {name}")
    if depths.unseen:
        print(f"{counted(depths.unseen, 'further step or timer')} delayed, retrying or running were not looked at")


def _print_pools(pools: dict[str, PoolStatus]) -> None:
    shown = table("pool", "limit", "under way", "waiting")
    for name, status in pools.items():
        limit = "" if status.max_parallelism is None else f"{status.max_parallelism:,}"
        shown.add_row(name, limit, f"{status.under_way:,}", f"{status.waiting:,}")
    console().print(shown)
    for name, status in pools.items():
        if status.max_parallelism is None:
            print(f"no worker has declared the pool {name!r}: write Workpool(manager, {name!r}, max_parallelism=…)")
        elif not status.max_parallelism and status.waiting:
            print(f"the pool {name!r} is paused: its limit is 0")


def _workers(served: int, silent: int, *, needed: bool) -> Text:
    style = "red" if served == silent and needed else ""
    return Text(f"{served} ({silent} silent)" if silent else str(served), style=style)


def _has(depth: QueueDepth | None) -> bool:
    """Tell whether steps will need a worker."""
    return depth is not None and depth.waiting + depth.delayed + depth.retrying > 0
