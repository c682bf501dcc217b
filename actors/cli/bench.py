"""``headrace bench``: measures the engine beside bare redis-py and prints a table, or lines of JSON."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from actors.bench import WORKLOADS, Line, Plan, json_line, run_benchmark, table
from actors.cli.output import one_line
from actors.errors import HeadraceError
from kernel import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from actors.bench import Facts

_EPILOG = """\
workloads:
{workloads}

Every line has the floor beside it: what bare redis-py pipelines of the same number of script calls do in the same
sitting. Noise between two sittings may be 40 % on a shared machine: compare ratios.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` to the command line."""
    listed = "\n".join(
        f"  {workload.name:<11}{(workload.__doc__ or '').partition(chr(10))[0]}" for workload in WORKLOADS.values()
    )
    parser = subparsers.add_parser(
        "bench",
        help="measure throughput, latency and cost on this machine",
        description="Measure the engine with real worker processes, beside what bare redis-py does.",
        epilog=_EPILOG.format(workloads=listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workloads", nargs="*", type=_workload, metavar="WORKLOAD", help=f"any of {', '.join(WORKLOADS)}; default: all"
    )
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="worker processes (default 1)")
    parser.add_argument(
        "--count", type=_positive, metavar="N", help="size: workflows, steps, starts or calls (default: each its own)"
    )
    parser.add_argument(
        "--runs",
        type=_positive,
        metavar="N",
        help="measurements of each (default 5; parked 3, idle 1); medians count",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=20.0, metavar="S", help="how long `idle` watches (default 20)"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each workload")
    parser.add_argument(
        "--url", help="server to measure on, in namespaces of its own (default: a private one, synced every second)"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Carry out ``headrace bench``; return the exit code."""
    plan = Plan(
        workloads=tuple(dict.fromkeys(args.workloads)) or tuple(WORKLOADS),
        workers=args.workers,
        count=args.count,
        runs=args.runs,
        seconds=args.seconds,
        url=args.url,
    )
    try:
        (_print_json if args.json else _print_table)(plan)
    except (HeadraceError, KernelError) as error:
        sys.stderr.write(f"headrace bench: {one_line(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _print_json(plan: Plan) -> None:
    with contextlib.closing(run_benchmark(plan, _no_progress)) as lines:
        for line, facts in lines:
            print(json_line(line, facts), flush=True)


def _print_table(plan: Plan) -> None:
    console, done = Console(), list[tuple[Line, "Facts"]]()
    with _progress() as progress, contextlib.closing(run_benchmark(plan, progress)) as lines:
        done.extend(lines)
    console.print(table([line for line, _ in done], done[-1][1]))


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str], None]]:
    """Give a function that shows what is under way, on stderr; nothing is shown where that is no terminal."""
    with Console(stderr=True).status("") as status:
        yield status.update


def _no_progress(_what: str) -> None: ...


def _workload(text: str) -> str:
    if text not in WORKLOADS:
        raise argparse.ArgumentTypeError(f"{text!r} is no workload: use any of {', '.join(WORKLOADS)}")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3_600:  # noqa: PLR2004 - said in the message
        raise argparse.ArgumentTypeError(f"{text!r}: give seconds, more than 0 and at most 3600")
    return seconds
