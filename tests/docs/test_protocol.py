"""docs/protocol.md names every key, script, reply, refusal and journal field that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernel.refusals import REFUSALS
from kernel.store import keys
from kernel.store.scripts import SCRIPTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
LUA = ROOT / "kernel" / "store" / "lua"


def named_keys() -> list[str]:
    """Return the first column of the table in ``keys.py``; a cell may name two keys."""
    table = (keys.__doc__ or "").split("=\n")[2]
    cells = [re.split(r"\s{2,}", line)[0] for line in table.splitlines() if line[:1] in {"K", "n"}]
    return [key for cell in cells for key in cell.split(", ")]


def row_of(script: str) -> str:
    rows = [line for line in TEXT.splitlines() if line.startswith(f"| `{script}` |")]
    assert len(rows) == 1, f"{len(rows)} rows of docs/protocol.md describe the script {script}"
    return rows[0]


def replies_of(script: str) -> set[str]:
    """Return the words that a script's header says it returns."""
    header = re.match(r"(?:--.*\n)*", (LUA / f"{script}.lua").read_text(encoding="utf-8"))
    assert header is not None
    said = header[0].partition("Returns")[2].partition("-- Cost")[0].partition("Read only")[0]
    return set(re.findall(r"\b[A-Z][A-Z_]+\b", said))


def test_the_table_of_keys_in_the_code_was_found() -> None:
    assert len(named_keys()) > 15


@pytest.mark.parametrize("key", named_keys())
def test_every_key_is_named(key: str) -> None:
    assert f"\n| `{key}` |" in TEXT


def test_every_file_of_lua_is_a_script_that_is_loaded() -> None:
    assert {file.stem for file in LUA.glob("*.lua")} == set(SCRIPTS)


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_has_a_row_with_all_that_it_returns(script: str) -> None:
    row = row_of(script)
    assert {word for word in replies_of(script) if word not in row} == set()


def test_no_script_is_named_that_does_not_exist() -> None:
    table = TEXT.partition("\n## Scripts")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == set(SCRIPTS)


def test_every_refusal_is_explained() -> None:
    table = TEXT.partition("\n## Refusals")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == {word.decode() for word in REFUSALS}


@pytest.mark.parametrize("channel", ["changed", "ended", "due", "revoked", "replied", "band"])
def test_every_channel_is_named(channel: str) -> None:
    table = TEXT.partition("\n## Channels")[2].partition("\n## ")[0]
    assert f"`K:{channel}" in table


def test_every_channel_that_a_script_speaks_on_is_in_the_list_above() -> None:
    spoken = {word for file in LUA.rglob("*.lua") for word in re.findall(r"K \.\. ':(\w+):?'", published(file))}
    assert spoken <= {"due", "revoked", "ended", "replied", "band"}


def published(file: Path) -> str:
    return "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if "PUBLISH" in line)


def test_every_kind_of_member_of_a_sorted_set_is_explained() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in LUA.rglob("*.lua"))
    kinds = set(re.findall(r"member\((?:a, )?'(\w+)'", source))
    explained = TEXT.partition("\n**Members**")[2].partition("\n## ")[0]
    assert kinds
    assert {kind for kind in kinds if f"`{kind}`" not in explained} == set()


def test_every_letter_of_the_journal_is_explained() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in LUA.rglob("*.lua"))
    letters = set(re.findall(r"a\.journal, '(\w)'", source))
    table = TEXT.partition("\n## The journal")[2].partition("\n## ")[0]
    assert letters >= set("cerxdu")
    assert {letter for letter in letters if not re.search(rf"^\| `{letter}<", table, flags=re.MULTILINE)} == set()
