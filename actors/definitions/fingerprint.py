"""The fingerprint of a workflow's code, by which workers notice that it was mended. The same in every process.

What counts: the code of the function and of the functions of its module that it names; the values of their default
arguments and of what they close over, as far as these are plain or functions; the registered names of what they run.
What does not: lines and comments, helpers that are imported from elsewhere, global variables, objects of other types.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from types import CodeType, EllipsisType, FunctionType, NoneType
from typing import Any, Final, cast

from actors.definitions.base import Definition

_PLAIN: Final = frozenset({bool, bytes, complex, Decimal, EllipsisType, float, int, NoneType, str, timedelta})
"""Types whose ``repr`` is the same in every process."""

Update = Callable[[bytes], None]


def fingerprint_of(function: Callable[..., Any]) -> str:
    """Return the hash of a workflow function's code, in hexadecimal. Another Python version gives another one."""
    digest = hashlib.blake2b(digest_size=8)
    _digest_function(inspect.unwrap(function), digest.update, seen=set())
    return digest.hexdigest()


def _digest_function(function: Callable[..., Any], update: Update, *, seen: set[int]) -> None:
    if not isinstance(function, FunctionType) or id(function) in seen:
        return
    seen.add(id(function))
    names: list[str] = []
    _digest_code(function.__code__, update, names)
    for name, value in _values_of(function):
        update(f"{name}=".encode())
        _digest_value(value, update, seen=seen)
    for name in names:
        used = function.__globals__.get(name)
        if isinstance(used, Definition):
            update(cast("Definition[..., Any]", used).name.encode())
        elif isinstance(used, FunctionType) and used.__module__ == function.__module__:
            _digest_function(used, update, seen=seen)


def _values_of(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield the values that belong to the function itself, with what tells them apart."""
    yield "defaults", function.__defaults__
    yield from sorted((function.__kwdefaults__ or {}).items())
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue


def _digest_value(value: object, update: Update, *, seen: set[int]) -> None:
    if isinstance(value, Definition):
        update(cast("Definition[..., Any]", value).name.encode())
    elif isinstance(value, FunctionType):
        _digest_function(value, update, seen=seen)
    elif _is_plain(value):
        update(_stable_repr(value).encode("utf-8", "surrogatepass"))
    elif type(value) is tuple:
        for item in cast("tuple[object, ...]", value):
            _digest_value(item, update, seen=seen)


def _is_plain(value: object) -> bool:
    if type(value) in {tuple, frozenset}:
        return all(_is_plain(item) for item in cast("frozenset[object] | tuple[object, ...]", value))
    return type(value) in _PLAIN


def _digest_code(code: CodeType, update: Update, names: list[str]) -> None:
    """Feed ``update`` with what the code does, without where it stands; add the globals that it names to ``names``."""
    names.extend(code.co_names)
    update(code.co_code)
    update(repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _digest_code(constant, update, names)
        else:
            update(_stable_repr(constant).encode("utf-8", "surrogatepass"))


def _stable_repr(constant: object) -> str:
    if isinstance(constant, frozenset):
        return f"{{{', '.join(sorted(_stable_repr(item) for item in cast('frozenset[object]', constant)))}}}"
    if isinstance(constant, tuple):
        return f"({', '.join(_stable_repr(item) for item in cast('tuple[object, ...]', constant))})"
    return repr(constant)
