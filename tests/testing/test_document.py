"""What docs/testing.md shows passes as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from actors.testing.plugin import MakeTester

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_simulation_of_the_document_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("testing_document")
    monkeypatch.setitem(sys.modules, "testing_document", module)
    for block in re.findall(
        r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, str(DOCUMENT), "exec"), module.__dict__)

    module.__dict__["test_whatever_goes_wrong_the_money_is_saved"]()


@pytest.mark.parametrize("name", ["test_after_a_month_a_mail_is_sent", "test_what_is_done_needs_no_mail"])
def test_a_test_of_the_document_passes(name: str, workflow_tester: MakeTester, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("testing_document")
    monkeypatch.setitem(sys.modules, "testing_document", module)
    for block in re.findall(
        r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    ):
        exec(compile(block, str(DOCUMENT), "exec"), module.__dict__)

    module.__dict__[name](workflow_tester)
