"""Finds the author's line among the frames that lead to a guard, and refuses in the words of all refusals."""

from __future__ import annotations

import sys
import sysconfig
from typing import TYPE_CHECKING, Final, NoReturn

from actors.errors import DeterminismViolation
from actors.workflow.disposal import dispose_loop
from actors.workflow.loop import WorkflowLoop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

OWN: Final = __file__.rpartition("/")[0].removesuffix("/determinism") + "/"
STANDARD: Final = sysconfig.get_path("stdlib") + "/"
INSTALLED: Final = tuple(
    {path + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
)
"""Folders of the standard library and of installed packages."""

_TURN: Final = WorkflowLoop._drain.__code__  # noqa: SLF001 - where workflow code is entered
_DISPOSAL: Final = dispose_loop.__code__

IO: Final = "do the I/O in a function decorated with @manager.action and call step.run_action"
THREAD: Final = "run the blocking function as a step: decorate it with @manager.action and call step.run_action"


def frames_of_workflow(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames of workflow code, the innermost first."""
    while frame is not None and frame.f_code is not _TURN and frame.f_code is not _DISPOSAL:
        yield frame
        frame = frame.f_back


def author_site(frame: FrameType | None) -> str:
    """Return ``file:line in function`` of the innermost frame that is the author's, as far as folders tell."""
    fallback: FrameType | None = None
    for inner in frames_of_workflow(frame):
        filename = inner.f_code.co_filename
        if filename.startswith((OWN, "<frozen ")):
            continue
        if not filename.startswith(INSTALLED):
            return _site(inner)
        if fallback is None and ("-packages/" in filename or not filename.startswith(STANDARD)):
            # The author's code may be an installed package itself.
            fallback = inner
    return "" if fallback is None else _site(fallback)


def refuse(what: str, instead: str) -> NoReturn:
    """Raise DeterminismViolation for ``what``, naming the author's line and the replacement."""
    site = author_site(sys._getframe(1))  # noqa: SLF001 - the documented way to a caller's frame
    raise DeterminismViolation(f"{what} is not possible in workflow code ({site}): {instead}")


def _site(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
