"""Workflow: collects the findings of a workflow function, of what is nested in it and of the helpers that it names."""

from __future__ import annotations

import inspect
import sysconfig
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import TYPE_CHECKING, Final

from actors.checks.finding import Finding
from actors.checks.references import find_references
from actors.checks.shapes import find_shapes
from actors.errors import DeterminismViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_SHOWN: Final = 10
_OWN: Final = __file__.rpartition("/")[0].removesuffix("actors/checks")
_LIBRARIES: Final = (
    *(path + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))),
    *(_OWN + package for package in ("actors/", "kernel/")),
    "<",
)

_collecting: ContextVar[bool] = ContextVar("collecting", default=False)


@contextmanager
def collecting() -> Generator[None]:
    """Let definitions pass inside the block, for somebody who asks for all findings afterwards."""
    token = _collecting.set(True)
    try:
        yield
    finally:
        _collecting.reset(token)


def check_definition(function: Callable[..., object]) -> None:
    """Refuse a workflow function that is certainly wrong, or that calls a helper of its module that is.

    Helpers that are defined further down are not there yet: a worker that starts checks once more.

    Raises:
        DeterminismViolation: with every such line and what to write instead.
    """
    if _collecting.get():
        return
    plain = inspect.unwrap(function)
    findings = [
        finding
        for finding in _walk(plain, lambda helper: helper.__module__ == plain.__module__)
        if isinstance(finding, Finding) and finding.certain
    ]
    # Only now is the source looked at, in which the author may have said otherwise.
    findings = sorted({finding for finding in findings if not finding.allowed})
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings[:_SHOWN])
        raise DeterminismViolation(
            f"{plain.__qualname__}() is a workflow and cannot be replayed as it is:\n{lines}\n"
            "(if a line is harmless, end it with `# headrace: ok`)"
        )


def check_workflow(function: Callable[..., object]) -> list[Finding]:
    """Return everything found in a workflow function and in the author's functions that it names, sorted by place."""
    found: set[Finding] = set()
    for item in _walk(inspect.unwrap(function), _is_authors):
        if isinstance(item, Finding):
            found.add(item)
        else:
            found.update(find_shapes(item))
    return sorted(finding for finding in found if not finding.allowed)


def _walk(function: Callable[..., object], follow: Callable[[FunctionType], bool]) -> Iterator[Finding | FunctionType]:
    """Yield the function, what is found in it, and the same for every function that it names and ``follow`` takes."""
    assert isinstance(function, FunctionType), "definitions are functions"
    waiting, seen = [function], {function}
    while waiting:
        current = waiting.pop()
        yield current
        for item in find_references(current):
            if isinstance(item, Finding):
                yield item
                continue
            helper = inspect.unwrap(item)
            if isinstance(helper, FunctionType) and helper not in seen and follow(helper):
                seen.add(helper)
                waiting.append(helper)


def _is_authors(function: FunctionType) -> bool:
    return not function.__code__.co_filename.startswith(_LIBRARIES)
