"""What is found in the code of workflows, at definition and by ``headrace check``, and what is not complained of."""

# The workflows in it are wrong on purpose.
# ruff: noqa: ASYNC210, ASYNC221, ASYNC230, ASYNC251, DTZ003, DTZ005, DTZ011, ICN001, PLC0415, PLW0108, PLW1510, PTH123
from __future__ import annotations

import argparse
import datetime
import importlib
import json
import pathlib
import subprocess
import time
import urllib.request
from datetime import date
from datetime import datetime as moment
from random import choice
from time import monotonic
from time import sleep as pause
from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.checks import check_workflow, collecting
from actors.cli.check import register
from actors.cli.errors import CommandError
from actors.errors import DeterminismViolation
from actors.registry import Registry
from actors.workflow import Step
from tests.determinism import elsewhere, ordinary

if TYPE_CHECKING:
    from tests.workflow.host import Code


def check(*words: str) -> int:
    """Run ``headrace check`` in this process; return its exit code."""
    parser = argparse.ArgumentParser(prog="headrace")
    register(parser.add_subparsers(required=True))
    args = parser.parse_args(["check", *words])
    return cast("int", args.func(args))


NOW, ACTION = "step.now()", "@manager.action"


async def _now(step: Step) -> None:
    moment.now()


async def _now_of_the_module(step: Step) -> None:
    datetime.datetime.now(datetime.UTC)


async def _utcnow(step: Step) -> None:
    moment.utcnow()  # type: ignore[deprecated]  # pyright: ignore[reportDeprecated]


async def _today(step: Step) -> None:
    date.today()


async def _sleep(step: Step) -> None:
    time.sleep(1)


async def _sleep_by_another_name(step: Step) -> None:
    pause(1)


async def _open(step: Step) -> None:
    with open("x"):
        pass


async def _run(step: Step) -> None:
    subprocess.run(["x"])


async def _urlopen(step: Step) -> None:
    urllib.request.urlopen("http://x")


async def _imported_inside(step: Step) -> None:
    from socket import create_connection as connect

    connect(("x", 1))


async def _imported_under_a_name(step: Step) -> None:
    import urllib.request as web

    web.urlopen("http://x")


async def _in_a_nested_function(step: Step) -> None:
    def stamp() -> str:
        return str(moment.now())

    stamp()


async def _in_a_lambda_of_a_comprehension(step: Step) -> None:
    _ = [(lambda: moment.now()) for _ in range(3)]


async def _in_a_helper(step: Step) -> None:
    _stamp()


def _stamp() -> str:
    return _stamp_of_the_stamp()


def _stamp_of_the_stamp() -> str:
    return str(moment.now())


async def _clock_by_value(step: Step) -> None:
    monotonic()


async def _random_by_value(step: Step) -> None:
    choice([1, 2])


MISTAKES: list[tuple[Code, str, str]] = [
    (_now, "moment.now()", NOW),
    (_now_of_the_module, "datetime.datetime.now()", NOW),
    (_utcnow, "moment.utcnow()", NOW),
    (_today, "date.today()", "step.now().date()"),
    (_sleep, "time.sleep()", "await step.sleep(seconds)"),
    (_sleep_by_another_name, "pause()", "await step.sleep(seconds)"),
    (_open, "open()", ACTION),
    (_run, "subprocess.run()", ACTION),
    (_urlopen, "urllib.request.urlopen()", ACTION),
    (_imported_inside, "connect()", ACTION),
    (_imported_under_a_name, "web.urlopen()", ACTION),
    (_in_a_nested_function, "moment.now()", NOW),
    (_in_a_lambda_of_a_comprehension, "moment.now()", NOW),
    (_in_a_helper, "moment.now()", NOW),
    (_clock_by_value, "monotonic()", "time.monotonic()"),
    (_random_by_value, "choice()", "random.choice(…)"),
]


@pytest.mark.parametrize(("code", "what", "instead"), MISTAKES, ids=[code.__name__ for code, _, _ in MISTAKES])
def test_a_certain_mistake_is_refused_at_definition(code: Code, what: str, instead: str) -> None:
    registry = Registry()
    with pytest.raises(DeterminismViolation) as caught:
        registry.workflow(name="flow")(code)
    message = str(caught.value)
    (line,) = [line for line in message.splitlines() if f"{__file__}:" in line]
    assert what in line
    assert instead in line
    assert code.__name__ in message
    assert not registry.workflows


def test_the_line_is_that_of_the_mistake() -> None:
    first = _sleep.__code__.co_firstlineno
    with pytest.raises(DeterminismViolation, match=rf"{__file__}:{first + 1} in _sleep"):
        Registry().workflow(name="flow")(_sleep)


def test_all_mistakes_are_told_at_once() -> None:
    async def flow(step: Step) -> None:
        moment.now()
        time.sleep(1)

    with pytest.raises(DeterminismViolation) as caught:
        Registry().workflow(flow)
    assert str(caught.value).count(__file__) == 2


def test_a_line_that_the_author_calls_harmless_is_let_through() -> None:
    async def flow(step: Step) -> None:
        moment.now()  # headrace: ok

    workflow = Registry().workflow(flow)
    assert check_workflow(workflow.function) == []


def test_a_helper_of_another_module_is_left_to_the_command() -> None:
    async def flow(step: Step) -> None:
        elsewhere.reads_the_clock()

    workflow = Registry().workflow(flow)
    (finding,) = check_workflow(workflow.function)
    assert finding.file == elsewhere.__file__
    assert finding.what == "datetime.now() reads the machine's clock"


def test_what_is_not_imported_yet_is_known_by_its_name() -> None:
    async def flow(step: Step) -> None:
        import django.utils.timezone as zone  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

        zone.now()

    (finding,) = check_workflow(Registry().workflow(flow).function)
    assert finding.what == "zone.now reads the machine's clock"


def test_actions_may_do_all_that() -> None:
    Registry().action(_sleep)


def test_an_action_that_a_workflow_names_is_no_helper() -> None:
    registry = Registry()

    @registry.action
    async def stamp() -> str:
        return str(moment.now())

    @registry.workflow
    async def flow(step: Step) -> str:
        return await step.run_action(stamp)

    assert check_workflow(flow.function) == []


def test_a_parameter_is_not_taken_for_a_module_around_it() -> None:
    async def flow(step: Step) -> Any:  # noqa: ANN401 - what it is given
        import subprocess

        def inner(subprocess: Any) -> Any:  # noqa: ANN401 - as above
            return subprocess.run

        return inner(subprocess.PIPE)

    Registry().workflow(flow)


def test_a_relative_import_is_not_taken_for_the_standard_library() -> None:
    namespace: dict[str, Any] = {"__name__": "shop.flows", "__package__": "shop"}
    exec("async def flow(step):\n    from .time import sleep\n    sleep(1)\n", namespace)
    Registry().workflow(namespace["flow"])


def test_functions_without_source_are_checked_all_the_same() -> None:
    namespace: dict[str, Any] = {"__name__": "shop"}
    exec("import time\nasync def flow(step):\n    time.sleep(1)\n", namespace)
    with pytest.raises(DeterminismViolation, match=r"<string>:3 in flow"):
        Registry().workflow(namespace["flow"])


def test_an_ordinary_page_of_workflows_has_no_findings() -> None:
    assert len(ordinary.registry.workflows) == 4
    for workflow in ordinary.registry.workflows:
        assert [str(finding) for finding in check_workflow(workflow.function)] == []


def test_the_command_is_content_with_the_ordinary_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("tests.determinism.ordinary") == 0
    assert capsys.readouterr().out == "0 found in 4 workflows\n"


def test_the_command_finds_every_line_that_it_should_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    code = check("tests.determinism.mistaken", "--json")
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    file = pathlib.Path(__file__).with_name("mistaken.py")
    expected = [number for number, line in enumerate(file.read_text().splitlines(), 1) if "# finding" in line]
    assert code == 1
    assert [entry["line"] for entry in found if entry["file"] == str(file)] == expected
    assert [entry["what"] for entry in found if entry["file"] != str(file)] == [
        "datetime.now() reads the machine's clock"
    ]
    for entry in found:
        assert entry["workflow"] == "mistaken"
        assert entry["instead"]


def test_the_command_says_where_and_what_to_write_instead(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("tests.determinism.mistaken:mistaken") == 1
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if "datetime.utcnow" in line)
    assert "mistaken.py:" in line
    assert " in _helper: " in line
    assert line.endswith("write `step.now()`")
    assert said.splitlines()[-1].endswith(" found in 1 workflow")


def test_the_command_refuses_what_has_no_workflows() -> None:
    with pytest.raises(CommandError, match="has no workflows"):
        check("tests.determinism.elsewhere")
    with pytest.raises(CommandError, match=r"there is no module 'tests\.determinism\.nowhere'"):
        check("tests.determinism.nowhere")


def test_what_was_let_through_for_the_command_is_refused_elsewhere() -> None:
    with collecting():
        importlib.import_module("tests.determinism.mistaken")
        Registry().workflow(name="flow")(_now)
    with pytest.raises(DeterminismViolation):
        Registry().workflow(name="flow")(_now)
