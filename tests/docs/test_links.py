"""The documents name files that exist, and the code map names every folder of code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "deploy" / "README.md"])
MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("\n## Code map")[2].partition("\n## ")[0]


def mapped() -> set[str]:
    rows = [line.split("|")[1] for line in MAP.splitlines() if line.startswith("| `")]
    return {path.rstrip("/") for row in rows for path in re.findall(r"`([\w./]+)`", row)}


def headings(document: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    found = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.name} links to {target}"
        assert not anchor or anchor in headings(file), f"{document.name} links to {target}"


def test_the_code_map_names_nothing_that_does_not_exist() -> None:
    assert {path for path in mapped() if not (ROOT / path).exists()} == set()


def test_the_code_map_names_every_folder_of_code() -> None:
    files = [
        file
        for top in ("kernel", "actors", "tests")
        for file in (ROOT / top).rglob("*")
        if file.suffix in {".py", ".lua"}
    ]
    folders = {str(file.parent.relative_to(ROOT)) for file in files} - {"kernel", "actors", "tests"}
    assert {folder for folder in folders if folder not in mapped() and not folder.endswith("fragments")} == set()


def test_every_module_of_the_two_packages_is_in_the_code_map() -> None:
    """By its own name, or by its folder."""
    modules = [
        *(ROOT / "kernel").glob("*.py"),
        *(ROOT / "kernel" / "store").glob("*.py"),
        *(ROOT / "actors").glob("*.py"),
    ]
    named = {str(module.relative_to(ROOT)) for module in modules if module.name != "__init__.py"}
    assert named - mapped() == set()


def test_every_decision_is_in_the_list() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    files = {file.name for file in (ROOT / "docs" / "decisions").glob("0*.md")}
    assert files == set(re.findall(r"\]\((0[\w.-]+)\)", listed))
