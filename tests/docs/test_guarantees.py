"""docs/guarantees.md: each promise is the name of a test, and no promise of the conformance suite is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def name_of(sentence: str) -> str:
    """Return the name of the test that a sentence is: its words, without what a name cannot hold."""
    return "_".join(re.findall(r"[a-z0-9]+", sentence.lower()))


def names_below(folder: str) -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("test_*.py"))
    return {name.lower() for text in texts for name in re.findall(r"^(?:async )?def test_(\w+)\(", text, re.MULTILINE)}


def promises() -> list[str]:
    section = TEXT.partition("\n## Promises\n")[2].partition("\n## ")[0]
    return [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]


@pytest.mark.parametrize("promise", promises())
def test_each_promise_has_the_test_of_its_name(promise: str) -> None:
    assert name_of(promise) in names_below("tests")


def test_every_test_of_the_conformance_suite_is_a_promise() -> None:
    assert names_below("tests/conformance") - {name_of(promise) for promise in promises()} == set()
