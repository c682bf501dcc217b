from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from actors.errors import InvalidArguments, InvalidDefinition, InvalidReturn, PayloadTooLarge
from actors.registry import Registry

if TYPE_CHECKING:
    from collections import OrderedDict as Missing

registry = Registry(value_bytes_max=1000)
T = TypeVar("T")


class Cart(BaseModel):
    id: UUID
    lines: set[str]


@registry.action
async def charge(cart: Cart, cents: int = 100, *, note: str = "") -> bytes:
    return b""


@registry.action
async def tick() -> None:
    pass


@registry.action
def spread(first: int, /, *rest: int, flag: bool = False, **named: str) -> int:
    return first


def test_a_call_without_arguments_is_no_bytes_at_all() -> None:
    assert tick.encode_arguments((), {}) == b""
    assert tick.decode_arguments(b"") == ((), {})
    assert tick.encode_result(None) == b"\xc0"
    assert tick.decode_result(b"\xc0") is None


def test_however_a_call_is_written_it_gives_the_same_bytes() -> None:
    cart = Cart(id=uuid4(), lines={"b", "a"})
    expected = charge.encode_arguments((cart, 5), {"note": "x"})

    assert charge.encode_arguments((cart,), {"note": "x", "cents": 5}) == expected
    assert charge.encode_arguments((), {"cents": 5, "note": "x", "cart": cart}) == expected


def test_arguments_come_back_validated() -> None:
    cart = Cart(id=uuid4(), lines={"b", "a"})

    args, kwargs = charge.decode_arguments(charge.encode_arguments((cart,), {"cents": "7", "note": "x"}))

    assert args == (cart, 7)
    assert kwargs == {"note": "x"}


def test_defaults_that_were_left_out_stay_left_out() -> None:
    cart = Cart(id=uuid4(), lines=set())

    assert charge.decode_arguments(charge.encode_arguments((cart,), {})) == ((cart,), {})
    assert charge.decode_arguments(charge.encode_arguments((cart,), {"note": "n"})) == ((cart,), {"note": "n"})


def test_all_kinds_of_parameters_come_back_as_they_were_passed() -> None:
    data = spread.encode_arguments((1, 2, 3), {"flag": True, "first": "by name", "z": "z"})

    assert spread.decode_arguments(data) == ((1, 2, 3), {"flag": True, "first": "by name", "z": "z"})


WRONG_ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "missing a required argument: 'cart'"),
    ((1, 2, 3), {}, "too many positional arguments"),
    (({},), {"cart": {}}, "multiple values for argument 'cart'"),
    (({},), {"colour": 1}, "unexpected keyword argument 'colour'"),
    (("no cart",), {"cents": "x", "note": 5}, "cart: "),
    (("no cart",), {"cents": "x", "note": 5}, "cents: Input should be a valid integer"),
    (("no cart",), {"cents": "x", "note": 5}, "note: Input should be a valid string"),
    (({"id": "7", "lines": []},), {}, "cart: id: Input should be a valid UUID"),
]


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    WRONG_ARGUMENTS,
)
def test_wrong_arguments_are_all_named(args: tuple[Any, ...], kwargs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArguments) as raised:
        charge.encode_arguments(args, kwargs)

    assert told in str(raised.value)
    assert "charge" in str(raised.value)


def test_wrong_values_among_further_arguments_are_named_too() -> None:
    with pytest.raises(InvalidArguments, match=r"\*\[1\]: .*'x'.*named: .*valid string"):
        spread.encode_arguments((1, 2, "x"), {"named": 5})


def test_a_wrong_return_value_says_whose_and_why() -> None:
    with pytest.raises(InvalidReturn, match=r"tick\(\) returned what its annotation does not allow: .*None"):
        tick.encode_result(5)


def test_recorded_arguments_that_no_longer_fit_say_so() -> None:
    with pytest.raises(InvalidArguments, match="missing a required argument"):
        charge.decode_arguments(tick.encode_arguments((), {}))
    with pytest.raises(InvalidArguments, match=r"the recorded arguments do not fit charge\(\) any more: cart: "):
        charge.decode_arguments(spread.encode_arguments((1,), {}))
    with pytest.raises(InvalidReturn, match="the recorded result does not fit tick"):
        tick.decode_result(b"\x05")


def test_too_large_arguments_name_the_largest() -> None:
    with pytest.raises(PayloadTooLarge, match="most of it argument 'note'") as raised:
        charge.encode_arguments((Cart(id=uuid4(), lines=set()),), {"note": "x" * 2000})

    assert raised.value.limit == 1000
    assert raised.value.size > 2000


def test_a_too_large_return_value_is_named() -> None:
    with pytest.raises(PayloadTooLarge, match=r"the return value of charge\(\)"):
        charge.encode_result(b"x" * 1001)


def test_values_up_to_the_limit_pass() -> None:
    assert len(charge.encode_result(b"x" * 997)) == 1000


def test_types_defined_in_the_enclosing_function_are_found() -> None:
    @dataclass
    class Local:
        x: int

    @registry.action
    async def local_types(value: Local, others: list[Local]) -> Local:
        return value

    arguments = local_types.encode_arguments((Local(1), [Local(2)]), {})

    assert local_types.decode_arguments(arguments) == ((Local(1), [Local(2)]), {})


def test_a_name_that_exists_only_for_the_checker_is_explained_at_the_first_call() -> None:
    @registry.action
    async def unresolved(value: Missing[str, int]) -> None:
        pass

    with pytest.raises(InvalidDefinition, match=r"annotation of 'value' of .*outside `if TYPE_CHECKING:`"):
        unresolved.encode_arguments((1,), {})


def test_a_type_that_pydantic_does_not_know_is_explained() -> None:
    class Opaque:
        pass

    @registry.action
    async def opaque() -> Opaque:
        return Opaque()

    with pytest.raises(InvalidDefinition, match=r"the return type of .*use a type that pydantic knows"):
        opaque.encode_result(Opaque())


def test_unannotated_functions_take_plain_data() -> None:
    scope: dict[str, Any] = {}
    exec("async def bare(a, b=2): pass", scope)
    step = cast("Any", registry).action(scope["bare"])

    assert step.decode_arguments(step.encode_arguments((1,), {"b": [1, {2}]})) == ((1, [1, {2}]), {})


def test_a_generic_step_passes_plain_data_through() -> None:
    @registry.action
    async def first(items: list[T]) -> T:
        return items[0]

    assert first.decode_arguments(first.encode_arguments(([1, "a"],), {})) == (([1, "a"],), {})


def test_no_argument_calls_are_cheap() -> None:
    """Not a benchmark: only that nothing heavy (pydantic, inspect) runs for them."""
    codec = tick._codec
    codec.encode_arguments((), {})

    assert codec._by_position is None or codec._by_position == []
