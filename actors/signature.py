"""A function's arguments and return value as bytes and back, by its annotations. Reads the function, never calls it.

Arguments are encoded as ``[[positional …]]`` or ``[[positional …], {name: value}]``; no arguments at all as nothing.
However a call is written, what can stand by position does, the rest is sorted by name: equal calls, equal bytes.
"""

from __future__ import annotations

import inspect
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from actors.defaults import OwnDefaults
from actors.errors import InvalidArguments, InvalidDefinition, InvalidReturn, PayloadTooLarge
from actors.payload import NONE, NotEncodable, ValueCodec, pack, unpack
from actors.round_trip import NO_FIELDS, NoValues

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NO_ARGUMENTS: Final = b""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class FunctionCodec:
    """Encodes calls of one function and what it returns. Annotations are resolved at the first call that needs them."""

    __slots__ = (
        "_by_keyword",
        "_by_name",
        "_by_position",
        "_filled",
        "_function",
        "_locals",
        "_own_defaults",
        "_parameters",
        "_required",
        "_required_names",
        "_rest",
        "_rest_by_name",
        "_result",
        "_signature",
        "_transposable",
        "bytes_max",
        "function_name",
    )

    def __init__(
        self, function: Callable[..., Any], *, skip: int, bytes_max: int, local_names: Mapping[str, object]
    ) -> None:
        """Leave out the first ``skip`` parameters (the transaction or step).

        ``bytes_max`` is the limit for one value; ``local_names`` holds what annotations name that is no global.
        """
        self.function_name = function.__qualname__
        self.bytes_max = bytes_max
        self._function = function
        self._locals = local_names
        parameters = list(inspect.signature(function).parameters.values())[skip:]
        self._parameters = parameters
        self._signature = inspect.Signature(parameters)
        self._own_defaults = OwnDefaults(parameters) or None  # asked for at each call: most have none
        self._refuse_any_model()
        by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._transposable = tuple(p.name if p.kind is p.POSITIONAL_OR_KEYWORD else "" for p in by_position)
        self._filled = [frozenset(p.name for p in by_position[:count]) for count in range(len(by_position) + 1)]
        self._by_keyword = frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self._required_names = frozenset(p.name for p in named if p.default is p.empty)
        self._required = len(self._required_names)
        self._by_position: list[ValueCodec] | None = None
        self._by_name: dict[str, ValueCodec] = {}
        self._rest: ValueCodec | None = None
        self._rest_by_name: ValueCodec | None = None
        self._result: ValueCodec | None = None

    def _refuse_any_model(self) -> None:
        """Refuse at once what nothing that is defined later can make good. Raises InvalidDefinition."""
        origin = inspect.unwrap(self._function)
        for name in (*(parameter.name for parameter in self._parameters), "return"):
            annotation = origin.__annotations__.get(name)
            if (origin.__globals__.get(annotation) if isinstance(annotation, str) else annotation) is BaseModel:
                raise self._unusable(name, NoValues(NO_FIELDS))

    def encode_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Validate and encode. Raises InvalidArguments, PayloadTooLarge."""
        if not args and not kwargs and not self._required:
            return NO_ARGUMENTS
        by_position = self._by_position
        if by_position is None:
            by_position = self._build()
        if not kwargs and len(args) == self._required == len(by_position):
            names: tuple[str, ...] = ()
        else:
            args, names = self._arrange(args, kwargs)
        try:
            plain: list[object] = [codec.to_plain(value) for codec, value in zip(by_position, args, strict=False)]
            if len(args) > len(by_position):
                rest = typing.cast("ValueCodec", self._rest)
                plain.extend(rest.to_plain(value) for value in args[len(by_position) :])
            data = pack(
                [plain, {name: self._named(name).to_plain(kwargs[name]) for name in names}] if names else [plain]
            )
        except NotEncodable:
            raise self._explain(args, {name: kwargs[name] for name in names}) from None
        if len(data) > self.bytes_max:
            raise self._too_large(args, {name: kwargs[name] for name in names}, size=len(data))
        return data

    def decode_arguments(self, data: bytes) -> Arguments:
        """Return positional and keyword arguments, validated. Raises InvalidArguments.

        Of a default that can be changed in place (a list, a model) each call has a copy of its own.
        """
        if not data:
            if self._required:
                self._arrange((), {})
            return self.with_own_defaults((), {})
        by_position = self._by_position
        if by_position is None:
            by_position = self._build()
        args, names, recorded = self._fit(data)
        try:
            values = [codec.from_plain(value) for codec, value in zip(by_position, args, strict=False)]
            if len(args) > len(by_position):
                rest = typing.cast("ValueCodec", self._rest)
                values.extend(rest.from_plain(value) for value in args[len(by_position) :])
            named = {name: self._named(name).from_plain(recorded[name]) for name in names}
        except NotEncodable:
            said = self._findings(args, {name: recorded[name] for name in names}, ValueCodec.from_plain)
            raise InvalidArguments(
                f"the recorded arguments do not fit {self.function_name}() any more: {said}"
            ) from None
        return self.with_own_defaults(tuple(values), named)

    def with_own_defaults(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Return a call with copies of the defaults that it leaves out and could change for all calls after it."""
        return self._own_defaults.fill(args, kwargs) if self._own_defaults else (args, kwargs)

    def prepare(self) -> None:
        """Resolve the annotations now. Raises InvalidDefinition for one that cannot be used."""
        if self._by_position is None:
            self._build()

    def encode_position(self, position: int, value: object, *, count: int) -> bytes:
        """Validate and encode one value of a call by ``count`` values by position. Raises InvalidArguments."""
        by_position = self._build() if self._by_position is None else self._by_position
        self._arrange((None,) * count, {})
        codec = by_position[position] if position < len(by_position) else typing.cast("ValueCodec", self._rest)
        try:
            return pack(codec.to_plain(value))
        except NotEncodable as error:
            raise InvalidArguments(f"value {position + 1} of a call of {self.function_name}(): {error}") from None

    def encode_result(self, value: object) -> bytes:
        """Validate and encode a return value. Raises InvalidReturn, PayloadTooLarge."""
        codec = self._result
        if codec is None:
            self._build()
            codec = typing.cast("ValueCodec", self._result)
        if value is None and type(None) in codec.plain_types:
            return NONE
        try:
            data = pack(codec.to_plain(value))
        except NotEncodable as error:
            raise InvalidReturn(
                f"{self.function_name}() returned what its annotation does not allow: {error}"
            ) from None
        if len(data) > self.bytes_max:
            raise PayloadTooLarge(f"the return value of {self.function_name}()", size=len(data), limit=self.bytes_max)
        return data

    def decode_result(self, data: bytes) -> Any:  # noqa: ANN401 - a value of the return annotation
        """Return the validated return value. Raises InvalidReturn."""
        codec = self._result
        if codec is None:
            self._build()
            codec = typing.cast("ValueCodec", self._result)
        if data == NONE and type(None) in codec.plain_types:
            return None
        try:
            return codec.from_plain(unpack(data))
        except NotEncodable as error:
            raise InvalidReturn(f"the recorded result does not fit {self.function_name}() any more: {error}") from None

    def _arrange(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """Check a call against the signature; return what stands by position and the names of the rest, sorted."""
        if not self._obviously_fits(len(args), kwargs):
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise InvalidArguments(f"{self.function_name}{self._signature}: {error}") from None
        moved: list[Any] = []
        names = set(kwargs)
        for name in self._transposable[len(args) :]:
            if name not in names:
                break
            names.remove(name)
            moved.append(kwargs[name])
        return (*args, *moved), tuple(sorted(names))

    def _obviously_fits(self, count: int, kwargs: Mapping[str, Any]) -> bool:
        """Whether ``count`` values by position and those by name fit; False leaves it to ``inspect`` (slow)."""
        if count >= len(self._filled):
            return False
        filled, names = self._filled[count], kwargs.keys()
        return names <= self._by_keyword and filled.isdisjoint(names) and (self._required_names - filled) <= names

    def _fit(self, data: bytes) -> tuple[tuple[Any, ...], tuple[str, ...], dict[str, Any]]:
        """Return recorded arguments, by position and by name, checked against the signature of today."""
        recorded: list[Any] = unpack(data)
        args: tuple[Any, ...] = tuple(recorded[0])
        kwargs: dict[str, Any] = recorded[1] if len(recorded) > 1 else {}
        if not kwargs and len(args) == self._required == len(self._transposable):
            return args, (), kwargs
        args, names = self._arrange(args, kwargs)
        return args, names, kwargs

    def _named(self, name: str) -> ValueCodec:
        codec = self._by_name.get(name) or self._rest_by_name
        return typing.cast("ValueCodec", codec)

    def _build(self) -> list[ValueCodec]:
        """Resolve the annotations; return the codecs of what can stand by position."""
        codecs = self._codecs()
        by_position: list[ValueCodec] = []
        for parameter in self._parameters:
            codec = codecs[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                self._rest = codec
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._rest_by_name = codec
            else:
                if parameter.kind is not parameter.POSITIONAL_ONLY:
                    self._by_name[parameter.name] = codec
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    by_position.append(codec)
        self._result = codecs["return"]
        self._by_position = by_position
        return by_position

    def _codecs(self) -> dict[str, ValueCodec]:
        """Return the codecs of the parameters that are encoded, and of the return value."""
        origin = inspect.unwrap(self._function)
        codecs: dict[str, ValueCodec] = {}
        for name in (*(parameter.name for parameter in self._parameters), "return"):
            holder = SimpleNamespace(__annotations__={name: origin.__annotations__.get(name, Any)})
            try:
                # One by one: the first parameter's type (the step, the transaction) need not exist at run time.
                hints = typing.get_type_hints(holder, origin.__globals__, dict(self._locals), include_extras=True)
                codecs[name] = ValueCodec(hints[name])
                codecs[name].prepare()
            except (NameError, SyntaxError, TypeError, AttributeError, PydanticUserError) as error:
                raise self._unusable(name, error) from error
        return codecs

    def _unusable(self, name: str, error: Exception) -> InvalidDefinition:
        what = "return type" if name == "return" else f"annotation of {name!r}"
        advice = "; use a type that pydantic knows"
        if isinstance(error, NameError):
            advice = "; import the name outside `if TYPE_CHECKING:`, where it can be resolved at run time"
        elif isinstance(error, NoValues) or getattr(error, "code", None) == "typed-dict-version":
            advice = ""
        said = str(error).splitlines()[0]
        return InvalidDefinition(f"the {what} of {self.function_name}() cannot be used: {said}{advice}")

    def _explain(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> InvalidArguments:
        """Return an error that names every argument that does not fit."""
        said = self._findings(args, kwargs, lambda codec, value: pack(codec.to_plain(value)))
        return InvalidArguments(f"{self.function_name}() was called with wrong arguments: {said}")

    def _findings(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], check: Callable[[ValueCodec, Any], object]
    ) -> str:
        """Return what ``check`` has against each argument, by name."""
        findings: list[str] = []
        for name, codec, value in self._pairs(args, kwargs):
            try:
                check(codec, value)
            except NotEncodable as error:
                findings.append(f"{name}: {error}")
        return "; ".join(findings)

    def _too_large(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, size: int) -> PayloadTooLarge:
        sizes = {name: len(pack(codec.to_plain(value))) for name, codec, value in self._pairs(args, kwargs)}
        largest = max(sizes, key=sizes.__getitem__)
        what = f"argument {largest!r} of {self.function_name}()"
        if len(sizes) > 1:
            what = f"what is passed to {self.function_name}(), most of it argument {largest!r},"
        return PayloadTooLarge(what, size=size, limit=self.bytes_max)

    def _pairs(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, ValueCodec, Any]]:
        by_position = self._by_position or []
        names = [parameter.name for parameter in self._parameters[: len(by_position)]]
        pairs = [(name, codec, value) for name, codec, value in zip(names, by_position, args, strict=False)]
        if self._rest is not None:
            pairs += [(f"*[{n}]", self._rest, value) for n, value in enumerate(args[len(by_position) :])]
        return pairs + [(name, self._named(name), value) for name, value in kwargs.items()]
