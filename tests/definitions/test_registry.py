from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from actors.errors import DuplicateDefinition, InvalidDefinition, InvalidOption, UnknownDefinition
from actors.policy import RetryPolicy
from actors.registry import Registry
from actors.workflow.step import Step


async def flow(step: Step, cart: str) -> str:
    return cart


async def work(n: int) -> int:
    return n


def test_names_default_to_the_qualified_name_and_can_be_pinned() -> None:
    registry = Registry()

    @registry.action
    async def nested() -> None:
        pass

    assert registry.action(work).name == "work"
    assert registry.action(name="pinned")(work).name == "pinned"
    assert nested.name == nested.function.__qualname__


def test_bare_and_with_arguments_register_the_same() -> None:
    registry = Registry()
    bare = registry.action(work)
    told = registry.action(name="told", retry=True, queue="gpu", timeout=3)(work)

    assert registry.get_step("work") is bare
    assert registry.get_step("told") is told
    assert (told.policy, told.options.queue, told.options.timeout_ms) == (RetryPolicy(), "gpu", 3000)
    assert registry.step_definitions == (bare, told)


def test_two_definitions_under_one_name_are_refused_with_both_places() -> None:
    registry = Registry()
    registry.action(work)

    with pytest.raises(DuplicateDefinition) as raised:
        registry.action(name="work")(work)

    assert str(raised.value).count("test_registry.py:") == 2
    assert "name=" in str(raised.value)


def test_steps_and_workflows_share_one_space_of_names() -> None:
    registry = Registry()
    registry.workflow(name="x")(flow)
    registry.action(name="y")(work)

    with pytest.raises(DuplicateDefinition):
        registry.action(name="x")(work)
    with pytest.raises(DuplicateDefinition):
        registry.workflow(name="y")(flow)


def test_a_workflow_may_have_several_versions_and_the_last_is_the_one_to_start() -> None:
    registry = Registry()
    one = registry.workflow(flow)
    two = registry.workflow(version="2")(flow)

    assert registry.get_workflow("flow") is two
    assert registry.get_workflow("flow", "1") is one
    assert registry.workflows == (one, two)
    with pytest.raises(DuplicateDefinition, match="version="):
        registry.workflow(version="2")(flow)
    with pytest.raises(UnknownDefinition, match=r"no version '3' here .it has '1', '2'."):
        registry.get_workflow("flow", "3")


def test_unknown_names_are_refused_with_what_is_known() -> None:
    registry = Registry()
    registry.action(work)

    with pytest.raises(UnknownDefinition, match=r"no step is registered as 'wrok' \(known: work\)"):
        registry.get_step("wrok")
    with pytest.raises(UnknownDefinition, match=r"\(known: none\): import its module"):
        registry.get_workflow("work")


@pytest.mark.parametrize(
    "fields",
    [{"value_bytes_max": 0}, {"value_bytes_max": "1 MiB"}, {"default_retry": True}, {"retry_actions_by_default": 1}],
)
def test_wrong_settings_of_a_registry_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(fields))):
        Registry(**fields)


def test_wrong_names_and_options_register_nothing() -> None:
    registry = Registry()

    for options in ({"name": "a|b"}, {"timeout": -1}, {"colour": 1}, {"run_after": 3}):
        with pytest.raises(InvalidOption):
            cast("Any", registry).action(**options)(work)
    with pytest.raises(InvalidOption, match="'id' is no option of a workflow"):
        cast("Any", registry).workflow(id="x")(flow)

    assert registry.step_definitions == ()


def test_the_fingerprint_follows_the_code_not_its_place() -> None:
    def compiled(source: str, *, first_line: int = 1) -> str:
        scope: dict[str, Any] = {"__name__": "flows"}
        exec(compile("\n" * (first_line - 1) + source, "flows.py", "exec"), scope)
        return Registry().workflow(scope["flow"]).fingerprint

    code = "async def flow(step):\n    return {'a', 'b'} and helper()\ndef helper():\n    return 1\n"

    assert compiled(code) == compiled(code, first_line=50)
    assert compiled(code) == compiled(code.replace("return 1", "return 1  # a comment"))
    assert compiled(code) != compiled(code.replace("return 1", "return 2"))
    assert compiled(code) != compiled(code.replace("'b'", "'c'"))
    assert compiled(code) != compiled(code.replace("and helper()", "or helper()"))


def test_the_fingerprint_follows_the_registered_names_of_the_steps() -> None:
    def compiled(name: str) -> str:
        registry = Registry()
        scope: dict[str, Any] = {"__name__": "flows", "pay": registry.action(name=name)(work)}
        exec("async def flow(step):\n    await pay(1)\n", scope)
        return registry.workflow(scope["flow"]).fingerprint

    assert compiled("a") == compiled("a")
    assert compiled("a") != compiled("b")


CLOSING = """
def make(RATE):
    async def flow(step, limit=DEFAULT, *, tags=('a', 'b')):
        return helper(RATE) and limit and tags
    def helper(value):
        return value + 1
    return flow
flow = make(VALUE)
"""


def closing(change: tuple[str, str] = ("", ""), *, value: object = 1, default: object = 1) -> str:
    scope: dict[str, Any] = {"__name__": "flows", "VALUE": value, "DEFAULT": default}
    exec(CLOSING.replace(*change), scope)
    return Registry().workflow(scope["flow"]).fingerprint


PLAIN = [
    2, 1.5, True, None, 1 + 2j, "text", b"bytes", (1, ("x", None)), frozenset({"a", "b", "c"}), timedelta(1), Decimal(1)
]  # fmt: skip


def test_the_fingerprint_follows_plain_values_that_the_code_closes_over_or_has_as_defaults() -> None:
    fingerprints = [closing(value=value) for value in PLAIN] + [closing(default=default) for default in PLAIN]

    assert len({closing(), *fingerprints}) == 1 + 2 * len(PLAIN)
    assert closing() != closing(("('a', 'b')", "('a', 'c')"))
    assert fingerprints == [closing(value=value) for value in PLAIN] + [closing(default=default) for default in PLAIN]


def test_the_fingerprint_follows_functions_that_the_code_closes_over() -> None:
    assert closing() == closing(("value + 1", "value + 1  # a comment"))
    assert closing() != closing(("value + 1", "value + 2"))
    assert closing(value=(abs, lambda: 1)) != closing(value=(abs, lambda: 2))


def test_the_fingerprint_leaves_out_what_differs_between_processes() -> None:
    assert closing(value=object(), default=[object()]) == closing(value=object(), default=[object()])


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    here = closing(value=frozenset({"a", "b", "c"}), default="x")
    code = "from tests.definitions.test_registry import closing; print(closing(value=frozenset('abc'), default='x'))"
    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert there.stdout == f"{here}\n"


def test_a_function_that_closes_over_itself_or_over_what_is_not_there_yet_has_a_fingerprint() -> None:
    async def again(step: Step, times: int) -> None:
        if times:
            await again(step, times - 1)
        later()

    assert len(Registry().workflow(again).fingerprint) == 16

    def later() -> None: ...


def test_copies_share_the_fingerprint() -> None:
    definition = Registry().workflow(flow)

    assert definition.with_options(id="x").fingerprint == definition.fingerprint


def test_a_workflow_whose_first_parameter_is_no_step_is_refused() -> None:
    registry = Registry()

    async def order(item: str) -> str:
        return item

    with pytest.raises(InvalidDefinition, match="put `step: Step` before it"):
        registry.workflow(cast("Any", order))


def test_one_event_has_one_type() -> None:
    registry = Registry()
    made = registry.event("approved", list[int])

    assert registry.event("approved", list[int]).codec.annotation == made.codec.annotation
    assert registry.event("done", None).name == "done"
    for other in (int, None):
        with pytest.raises(
            DuplicateDefinition, match=r"'approved' of type .* is defined with type list\[int\] already"
        ):
            registry.event("approved", other)
    with pytest.raises(DuplicateDefinition, match="give one of them another name"):
        registry.event("approved")
    assert Registry().event("approved", int).name == "approved"
