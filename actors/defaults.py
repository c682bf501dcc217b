"""Defaults of parameters that can be changed in place: each call gets its own. Reads signatures, calls nothing."""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from pydantic import BaseModel

if TYPE_CHECKING:
    import inspect
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

_CHANGEABLE: Final = (list, dict, set, bytearray, deque, BaseModel)


class OwnDefaults:
    """What a call of one function leaves out and would share with all others. Empty, and false, for most functions."""

    __slots__ = ("_by_name", "_by_position")

    def __init__(self, parameters: Sequence[inspect.Parameter]) -> None:
        """``parameters``: those that a call may fill, in order."""
        self._by_name: list[tuple[str, int, object]] = []
        """Name, position (beyond all others: by keyword only) and default of what can be passed by name."""
        self._by_position: list[object] = []
        """Defaults of what stands by position only, up to the last that can be changed; what has none stands for it."""
        for position, parameter in enumerate(parameters):
            default = parameter.default
            if default is parameter.empty or not is_mutable(default):
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                self._by_position = [known.default for known in parameters[: position + 1]]
            else:
                at = len(parameters) if parameter.kind is parameter.KEYWORD_ONLY else position
                self._by_name.append((parameter.name, at, default))

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._by_name or self._by_position)

    def fill(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return a call that fits the signature with copies of what it leaves out."""
        args = (*args, *map(_copy, self._by_position[len(args) :]))
        own = dict(kwargs)
        for name, position, default in self._by_name:
            if name not in own and position >= len(args):
                own[name] = _copy(default)
        return args, own


def is_mutable(value: object) -> bool:
    """Tell whether a value is a list, dict, set, model or dataclass that can be changed, or holds one."""
    if isinstance(value, tuple):
        return any(is_mutable(item) for item in cast("tuple[object, ...]", value))
    if is_dataclass(value) and not isinstance(value, type):
        frozen = cast("Any", type(value)).__dataclass_params__.frozen
        return not frozen or any(is_mutable(getattr(value, field.name, None)) for field in fields(value))
    return isinstance(value, _CHANGEABLE)


def _copy(default: T) -> T:
    if not is_mutable(default):
        return default
    try:
        return deepcopy(default)
    except Exception:  # noqa: BLE001 - it holds what cannot be copied, such as a lock: shared, as Python has it
        return default
