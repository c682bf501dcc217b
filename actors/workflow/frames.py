"""Finds the author's line among the frames that lead to a call. Used only when an error is made: walking is slow."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

_HERE: Final = __file__.rpartition("/")[0].removesuffix("/workflow") + "/"
_FOREIGN: Final = (_HERE, asyncio.__file__.rpartition("/")[0] + "/", contextlib.__file__)


def author_site() -> str:
    """Return ``file:line in function`` of the innermost running frame that is the author's; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_FOREIGN):
            return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return ""
