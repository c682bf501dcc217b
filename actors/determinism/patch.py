"""Patch: one function of somebody else's module or class that is replaced while workers run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ABSENT: Final = object()


class Patch:
    """A replacement and what it replaces. ``apply`` and ``revert`` may be called again and again."""

    __slots__ = ("_name", "_owner", "_real", "_replacement")

    def __init__(self, owner: object, name: str, replacement: Callable[..., Any], *, method: bool = False) -> None:
        """``replacement`` for ``owner.name``; ``method``: the owner is a class and it is called with the instance."""
        self._owner = owner
        self._name = name
        self._real = vars(owner)[name]
        functools.update_wrapper(replacement, self._real)
        # A builtin kept as a class attribute (`clock = time.monotonic`) is called without the instance. A plain
        # function in its place would be called with it.
        self._replacement: object = replacement if method else staticmethod(replacement)

    def apply(self) -> None:
        """Replace it."""
        setattr(self._owner, self._name, self._replacement)

    def revert(self) -> None:
        """Put back what was there, unless somebody else has replaced it since: ours then does no harm."""
        if vars(self._owner).get(self._name, _ABSENT) is self._replacement:
            setattr(self._owner, self._name, self._real)
