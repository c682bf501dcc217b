"""The guide's program: its Python blocks, one after another, in one module; then what the guide says comes of it."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import actors
import actors.codecs
import actors.testing
from kernel.memory import drop_memory_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.definitions import Workflow

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
URL = "memory://guide"


@pytest.fixture
def guide() -> Iterator[ModuleType]:
    """Yield the guide's program as a module, its manager on a server that holds nothing yet."""
    text = GUIDE.read_text(encoding="utf-8")
    module = ModuleType("guide")
    sys.modules["guide"] = module
    for found in re.finditer(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        lines_before = text[: found.start(1)].count("\n")
        exec(compile("\n" * lines_before + found[1], str(GUIDE), "exec"), module.__dict__)
    module.__dict__["manager"].url = URL
    yield module
    del sys.modules["guide"]
    drop_memory_server(URL)


async def result(guide: ModuleType, workflow: Workflow[..., object], *arguments: object) -> object:
    async with guide.manager, guide.manager.worker():
        handle = await guide.manager.start(workflow, *arguments)
        return await handle.result(timeout=20)


def test_its_test_passes(guide: ModuleType) -> None:
    asyncio.run(guide.test_checkout())
    drop_memory_server("memory://test_checkout")


def test_starting_and_watching_do_what_it_says(guide: ModuleType) -> None:
    async def watched() -> list[str]:
        async with guide.manager, guide.manager.worker():
            found: list[str] = await guide.start_and_watch()
            return found

    paid, *ids = asyncio.run(watched())
    assert (paid, ids) == ("paid 0 (True)", ["order-10", "order-7", "order-8", "order-9"])


def test_its_bulk_calls_do_what_it_says(guide: ModuleType) -> None:
    async def changed() -> int:
        async with guide.manager:
            count: int = await guide.find_and_change()
            return count

    assert asyncio.run(changed()) == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("approve", ["approved by ann", "refused: too much"]),
        ("shop", ["2", "pen", "pen"]),
    ],
)
def test_what_is_told_is_answered_as_it_says(guide: ModuleType, told: str, expected: list[str]) -> None:
    async def tell() -> list[str]:
        async with guide.manager, guide.manager.worker():
            found: list[str] = await getattr(guide, told)()
            return found

    assert asyncio.run(tell()) == expected


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("forgiving", "o-1", "o-1"),
        ("forgiving", "", "NonRetryable after 1"),
        ("impatient", "c-1", "thanks, c-1"),
        ("first_wins", "c-1", "answered"),
        ("careful", 7, "sent 7"),
        ("copying", 3, "3 pages"),
        ("collect", [], [f"thanks, {n}" for n in range(6)]),
        ("greet", "c-1", "dear customer, c-1"),
        ("bill_of_last_year", "c-1", 0),
        ("bill", "c-1", 0),
        ("order", ["c-1", "c-2"], ["paid 0 (True)", "paid 0 (True)"]),
        ("trip", None, "booked"),
    ],
)
def test_its_workflows_end_as_it_says(guide: ModuleType, name: str, argument: object, expected: object) -> None:
    arguments = () if argument is None else (argument,)
    assert asyncio.run(result(guide, getattr(guide, name), *arguments)) == expected


def test_what_is_called_on_completion_is_called(guide: ModuleType) -> None:
    async def settled() -> bytes:
        async with guide.manager, guide.manager.worker():
            await guide.start_with_completion()
            store = await guide.manager.store()
            (tag,) = store.space.keys.tags
            while not (user := await store.space.send(tag, "HGET", f"{tag}:app:settled", "order-9")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            return bytes(user)

    assert asyncio.run(asyncio.wait_for(settled(), 20)) == b"3"


def said_of_users() -> str:
    """Return the guide, and the docstrings of all that is exported and of its methods."""
    texts = [GUIDE.read_text(encoding="utf-8")]
    for name in actors.__all__:
        one = getattr(actors, name)
        members = vars(one).values() if inspect.isclass(one) and not issubclass(one, BaseException) else ()
        texts += [
            inspect.getdoc(each) or "" for each in (one, *members) if callable(each) or isinstance(each, property)
        ]
    return "\n".join(texts)


def test_every_exception_that_the_guide_or_a_docstring_names_can_be_imported_from_actors() -> None:
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in {"actors", "kernel"}]
    found = {name for module in modules for name, one in vars(module).items() if is_exception(one)}
    elsewhere = {*actors.testing.__all__, *actors.codecs.__all__}
    # A word of ordinary English is a name only where it is written as one.
    named = set(re.findall(r"`([A-Z]\w+)|\b([A-Z][a-z]+[A-Z]\w+)\b", said_of_users()))
    words = {word for pair in named for word in pair} & found - elsewhere
    assert len(words) > 30, "the guide was read"
    assert words - set(actors.__all__) == set()


def is_exception(one: object) -> bool:
    return inspect.isclass(one) and issubclass(one, BaseException) and one.__module__.startswith(("actors", "kernel"))
