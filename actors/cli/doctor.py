"""``headrace doctor``: look a namespace over, say what is wrong and what to do, and mend what can be mended safely."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Final

from rich.text import Text

from actors.cli.errors import CommandError
from actors.cli.options import add_common, add_connection, connected, seconds
from actors.cli.output import console, counted, printable, write_json, write_rows
from actors.doctor import UNCHECKED

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.doctor import Finding, Report
    from actors.manager import WorkflowManager

SHOWN_MAX: Final = 20
"""Findings of one kind that people are shown; ``--json`` has more."""
UNHEALTHY: Final = 1


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("doctor", help="look for what is wrong, and mend it")
    parser.add_argument("--repair", action="store_true", help="mend what can be mended safely")
    parser.add_argument(
        "--discard",
        metavar="ID",
        help="remove this instance, which is damaged so that nothing else ends it, with all that lies of it in Redis",
    )
    parser.add_argument("--yes", action="store_true", help="with --discard: do it, it cannot be taken back")
    parser.add_argument(
        "--stuck-after",
        type=seconds,
        default=300.0,
        metavar="SECONDS",
        help="report what has waited for longer (default: 300)",
    )
    parser.add_argument(
        "--orphans-older-than",
        type=seconds,
        default=86_400.0,
        metavar="SECONDS",
        help="with --repair: delete keys without owner that nobody has used for longer (default: 86400)",
    )
    add_connection(parser)
    add_common(parser)
    parser.set_defaults(func=doctor, refuse=parser.error)


def doctor(said: argparse.Namespace) -> int:
    """Print what was found; 1 if something is left to be done."""
    if (said.yes and said.discard is None) or (said.repair and said.discard is not None):
        said.refuse("--yes goes with --discard ID, and --repair does not")
    if said.discard is not None:
        return _discard(said)

    async def inside(manager: WorkflowManager) -> Report:
        return await manager.doctor(
            repair=said.repair, stuck_after=said.stuck_after, orphans_older_than=said.orphans_older_than
        )

    report = connected(said, inside)
    if _is_shadowed():
        report.facts["packages"] = "another distribution named kernel is installed: uninstall it"
    if said.json:
        for finding in report.findings:
            write_json(asdict(finding))
        summary = {"instances": report.instances, "problems": report.problems, "repaired": report.repaired}
        write_json({"healthy": report.healthy, "facts": report.facts, "counts": report.counts, **summary})
    else:
        _print(report)
    return 0 if report.healthy else UNHEALTHY


def _discard(said: argparse.Namespace) -> int:
    """Remove one damaged instance and say what was removed."""
    if not said.yes:
        raise CommandError(
            f"all that is stored of {said.discard!r} would be deleted for good: see what headrace doctor says of it, "
            "then add --yes"
        )
    found = connected(said, lambda manager: manager.discard(said.discard))
    if said.json:
        facts = {"keys": found.parts, "places": dict(found.places), "told": found.told}
        write_json({"id": said.discard, "discarded": True, **facts})
        return 0
    items = [f"{counted(count, 'item')} of {name}" for name, count in sorted(found.places.items())]
    print(f"{said.discard}: removed {', '.join([*found.parts, *items])}; told {counted(found.told, 'other')} of it")
    return 0


def _is_shadowed() -> bool:
    """Tell whether the distribution ``kernel`` of the package index, which is another's, lies over ours."""
    try:
        return bool(distribution("kernel"))
    except PackageNotFoundError:
        return False


def _print(report: Report) -> None:
    write_rows(report.facts.items())
    by_code: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_code.setdefault(finding.code, []).append(finding)
    out = console()
    for code, findings in by_code.items():
        out.print()
        for finding in findings[:SHOWN_MAX]:
            out.print(_line(finding), soft_wrap=True)
            out.print(
                f"  {printable(f'done: {finding.repaired}' if finding.repaired else finding.advice)}", soft_wrap=True
            )
        if report.counts[code] > SHOWN_MAX:
            out.print(f"… and {report.counts[code] - SHOWN_MAX:,} more like that (--json shows more)")
    looked_at = f"looked at {counted(report.instances, 'instance')}"
    mended = f", mended {counted(report.repaired, 'thing')}" if report.repaired else ""
    well = "healthy, as far as it could be looked at" if report.counts[UNCHECKED] else "healthy"
    left = well if report.healthy else f"{counted(report.problems, 'problem')} to be seen to"
    out.print(f"\n{looked_at}{mended}: {left}")


def _line(finding: Finding) -> Text:
    colours = {"note": "blue", "problem": "red"}
    word = "mended" if finding.repaired else finding.severity
    style = "green" if finding.repaired else colours[finding.severity]
    text = printable(" ".join(finding.text.split()))
    return Text.assemble((f"{word:8}", style), " ", (printable(finding.subject), "bold"), f": {text}")
