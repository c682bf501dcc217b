"""Naming: the one name by which the rules know a function, however the code has imported it."""

from __future__ import annotations

import random
import sys
import time
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from actors.checks.rules import CLOCK_BY_VALUE, RANDOM_BY_VALUE, RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.checks.rules import Rule

_ABSENT: Final = object()
_PUBLIC: Final[Mapping[str, str]] = {
    "posix": "os", "nt": "os", "_io": "io", "_socket": "socket", "_sqlite3": "sqlite3", "_datetime": "datetime",
    "pathlib._local": "pathlib", "posixpath": "os.path", "ntpath": "os.path", "genericpath": "os.path",
}  # fmt: skip
"""Modules that functions say they are from → the ones that people import."""
_CLOCKS: Final = frozenset(
    {
        name
        for base in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
        for name in (base, f"{base}_ns")
    }
)


class Named(NamedTuple):
    """Something that code refers to."""

    shown: str
    """As the code writes it."""
    dotted: str
    """By way of modules and classes; for what is not imported yet, all that is known."""
    value: object
    """``ABSENT`` where it is not known."""

    @property
    def known(self) -> bool:
        """Whether the object itself is at hand."""
        return self.value is not _ABSENT

    def attribute(self, name: str) -> Named | None:
        """Return what ``.name`` of it is; None where that takes running code."""
        shown, value = f"{self.shown}.{name}", self.value
        if value is _ABSENT:
            return Named(shown, f"{self.dotted}.{name}", _ABSENT)
        if isinstance(value, ModuleType):
            return Named(shown, f"{_public(value.__name__)}.{name}", vars(value).get(name, _ABSENT))
        if isinstance(value, type):
            for base in value.__mro__:
                if name in vars(base):
                    return Named(shown, f"{_public(base.__module__)}.{base.__qualname__}.{name}", _ABSENT)
        return None

    def rule(self) -> Rule | None:
        """Return the rule that it breaks."""
        found = RULES.get(self.dotted)
        if found is None and self.known:
            found = _by_value(self.value) if "." not in self.shown else None
            if found is None:
                found = next((RULES[name] for name in _own_names(self.value) if name in RULES), None)
        return found


def module_named(shown: str, name: str) -> Named:
    """Return a module by its name, whether it is imported or not."""
    return Named(shown, name, sys.modules.get(name, _ABSENT))


def value_named(shown: str, value: object) -> Named:
    """Return what a variable holds."""
    dotted = value.__name__ if isinstance(value, ModuleType) else ""
    return Named(shown, dotted, value)


def _public(module: str) -> str:
    return _PUBLIC.get(module, module)


def _own_names(value: object) -> tuple[str, ...]:
    """Return the names that a function or class gives itself."""
    if not isinstance(value, FunctionType | BuiltinFunctionType | type):
        return ()
    module = cast("str | None", getattr(value, "__module__", None)) or ""
    name = value.__qualname__
    return (f"{_public(module)}.{name}", f"{module.partition('.')[0]}.{name}")


def _by_value(value: object) -> Rule | None:
    """Return the rule for what was stable, had it not been imported by its name."""
    owner = cast("object", getattr(value, "__self__", None))
    name = cast("str", getattr(value, "__name__", ""))
    if owner is random._inst:  # noqa: SLF001 - whose methods the module's functions are
        return RANDOM_BY_VALUE._replace(instead=RANDOM_BY_VALUE.instead.format(name))
    if owner is time and isinstance(value, BuiltinFunctionType) and name in _CLOCKS:
        return CLOCK_BY_VALUE._replace(instead=CLOCK_BY_VALUE.instead.format(name))
    return None
