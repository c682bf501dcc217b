"""What queries, mutations, actions and workflows have in common: a name, a function, and its calls as bytes."""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeVar, cast

from actors.errors import InvalidDefinition, InvalidOption
from actors.options import check_name
from actors.policy import RetryPolicy
from actors.signature import Arguments, FunctionCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import Self

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Kind = Literal["query", "mutation", "action", "workflow"]

VALUE_BYTES_MAX: Final = 2**20

_SKIPPED: Final[dict[Kind, int]] = {"query": 1, "mutation": 1, "action": 0, "workflow": 1}
"""Leading parameters that the engine fills: the transaction or the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a manager says about all its definitions."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """The policy behind ``retry=True``."""
    retry_actions: bool = False
    """Whether an action for which nothing was said about ``retry`` has that policy."""
    value_bytes_max: int = VALUE_BYTES_MAX
    pool: str = ""
    """The pool of steps that name none; empty: they are in none."""
    pools: dict[str, int] = field(default_factory=dict[str, int])
    """The pools that were declared so far, with their limits."""

    def declare_pool(self, name: str, max_parallelism: int) -> None:
        """Make a pool known to all definitions. Raises InvalidOption: it is known already."""
        if name in self.pools:
            by = " by the manager's max_parallelism" if self.pool == name else ""
            raise InvalidOption(f"the pool {name!r} is declared already{by}: declare it once, or give it another name")
        self.pools[name] = max_parallelism


class Definition(Generic[P, R_co]):
    """A registered function. Immutable; ``with_options`` of the subclasses returns a copy."""

    kind: Kind
    name: str
    """The registered name, the same on every worker."""
    function: Callable[..., Any]
    """What was decorated."""
    site: str
    """``file:line`` of the function, for messages."""
    defaults: Defaults

    def __init__(self, function: Callable[..., Any], *, kind: Kind, name: str | None, defaults: Defaults) -> None:
        """Check that ``function`` can be a definition of ``kind``; it is not called."""
        self.kind = kind
        self.function = function
        self.defaults = defaults
        self.site = _check_function(kind, function)
        self.name = check_name("name", function.__qualname__ if name is None else name)
        self._codec = FunctionCodec(
            function,
            skip=_SKIPPED[kind],
            bytes_max=defaults.value_bytes_max,
            local_names=local_names(function),
        )
        self.encode_arguments: Callable[[tuple[Any, ...], Mapping[str, Any]], bytes] = self._codec.encode_arguments
        """Validate and encode a call; canonical. Raises InvalidArguments, PayloadTooLarge."""
        functools.update_wrapper(cast("Callable[..., Any]", self), function, updated=())

    def check_annotations(self) -> None:
        """Resolve the annotations now instead of at the first call. Raises InvalidDefinition, with what to write."""
        self._codec.prepare()

    def decode_arguments(self, data: bytes) -> Arguments:
        """Return the validated positional and keyword arguments of a call. Raises InvalidArguments."""
        return self._codec.decode_arguments(data)

    def encode_position(self, position: int, value: object, *, count: int) -> bytes:
        """Validate and encode one value of a call by ``count`` values by position. Raises InvalidArguments."""
        return self._codec.encode_position(position, value, count=count)

    def encode_result(self, value: object) -> bytes:
        """Validate and encode what the function returned. Raises InvalidReturn, PayloadTooLarge."""
        return self._codec.encode_result(value)

    def decode_result(self, data: bytes) -> R_co:
        """Return the validated result. Raises InvalidReturn."""
        return cast("R_co", self._codec.decode_result(data))

    def _copy(self) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def __repr__(self) -> str:
        """Name the definition and where it stands."""
        return f"<{self.kind} {self.name!r} at {self.site}>"


@dataclass(frozen=True, slots=True)
class BoundCall(Generic[P, R_co]):
    """A call that is not made yet; its arguments are checked and encoded."""

    definition: Definition[P, R_co]
    arguments: bytes
    """As ``definition.encode_arguments`` gave them."""


def _check_function(kind: Kind, function: object) -> str:
    """Return where ``function`` stands, if it can be a definition of ``kind``."""
    if isinstance(function, Definition):
        known = cast("Definition[..., Any]", function)
        raise InvalidDefinition(f"{known!r} is a definition already: decorate the plain function, once")
    origin = inspect.unwrap(cast("Callable[..., Any]", function)) if callable(function) else function
    if not inspect.isfunction(function) or not inspect.isfunction(origin):
        raise InvalidDefinition(f"{function!r} is no function: decorate a function written with def or async def")
    site = f"{origin.__code__.co_filename}:{origin.__code__.co_firstlineno}"
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidDefinition(
            f"{function.__qualname__}() at {site} is a generator: return a value instead of yielding"
        )
    if kind != "action" and not inspect.iscoroutinefunction(function):
        raise InvalidDefinition(f"{function.__qualname__}() at {site} is a {kind}: write it with async def")
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in {"self", "cls"} and _is_in_class(function.__qualname__):
        raise InvalidDefinition(
            f"{function.__qualname__}() at {site} is a method, and no worker has its {parameters[0].name}: "
            "move it out of the class, and pass what it needs as arguments"
        )
    filled = "step" if kind == "workflow" else "tx"
    if kind != "action" and (not parameters or parameters[0].kind not in _POSITIONAL):
        raise InvalidDefinition(f"{function.__qualname__}() at {site} is a {kind}: give it a first parameter, {filled}")
    if kind != "action" and _is_plain(parameters[0].annotation, origin.__globals__):
        raise InvalidDefinition(
            f"{function.__qualname__}() at {site} is a {kind}, but its first parameter is {parameters[0]}: put "
            f"`{filled}: {_FIRST[filled]}` before it"
        )
    return site


def _is_in_class(qualified_name: str) -> bool:
    holder = qualified_name.rpartition(".")[0]
    return bool(holder) and not holder.endswith("<locals>")


_FIRST: Final = {"step": "Step", "tx": "Transaction"}


_PLAIN: Final = (int, float, str, bool, bytes, list, dict, set, tuple)


def _is_plain(annotation: object, names: Mapping[str, object]) -> bool:
    """Tell whether an annotation names a type that is no ``Step`` and no ``Transaction``; what is not known may be."""
    if isinstance(annotation, str):
        name = annotation.partition("[")[0]
        annotation = names.get(name, getattr(builtins, name, None))
    return any(annotation is plain for plain in _PLAIN)


_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


def local_names(function: Callable[..., Any]) -> dict[str, object]:
    """Return what the annotations of a nested function name that its enclosing functions define.

    Annotations are texts (``from __future__ import annotations``) and resolved long after those functions returned,
    so what they name is looked up here, at decoration.
    """
    origin = inspect.unwrap(function)
    texts = [text for text in origin.__annotations__.values() if isinstance(text, str)]
    if not texts or "<locals>" not in origin.__qualname__:
        return {}
    wanted = {name for text in texts for name in _names_in(text)} - set(origin.__globals__)
    found: dict[str, object] = {}
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to the enclosing function's names
    while frame is not None and wanted:
        if frame.f_globals is origin.__globals__:
            found |= {name: frame.f_locals[name] for name in wanted if name in frame.f_locals and name not in found}
            wanted -= found.keys()
        frame = frame.f_back
    return found


def _names_in(annotation: str) -> tuple[str, ...]:
    try:
        return compile(annotation, "<annotation>", "eval").co_names
    except SyntaxError:
        return ()
