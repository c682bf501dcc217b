"""Scripts: the Lua files beside this module, assembled and named. One file is one atomic step."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_INCLUDE: Final = "--@ "


class Script:
    """One Lua script, called by the hash of its content, so that workers of two versions never share one."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, text: str) -> None:
        """Name the script and hash its text."""
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Redis names scripts by it

    def __repr__(self) -> str:
        """Show the name; the hash says nothing to people."""
        return f"<script {self.name}>"


def _assemble(text: str, fragments: dict[str, str]) -> str:
    """Paste fragments in where a line names one, at any depth; drop comments and blank lines."""
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith(_INCLUDE):
            lines.append(_assemble(fragments[line.removeprefix(_INCLUDE)], fragments))
        elif line and not line.startswith("--"):
            lines.append(line)
    return "\n".join(lines)


def _load() -> dict[str, Script]:
    folder = resources.files("kernel.store") / "lua"
    fragments = {
        entry.name.removesuffix(".lua"): entry.read_text(encoding="utf-8")
        for entry in (folder / "fragments").iterdir()
        if entry.name.endswith(".lua")
    }
    return {
        entry.name.removesuffix(".lua"): Script(
            entry.name.removesuffix(".lua"), _assemble(entry.read_text(encoding="utf-8"), fragments)
        )
        for entry in folder.iterdir()
        if entry.name.endswith(".lua")
    }


SCRIPTS: Final[dict[str, Script]] = _load()

_NAMES: Final[dict[str, str]] = {script.sha: script.name for script in SCRIPTS.values()}
_NAMES_OF_TEXTS: Final[dict[str, str]] = {script.text: script.name for script in SCRIPTS.values()}


def script_name(words: Sequence[str | bytes | int | float]) -> str:
    """Return the name of the script that a command calls; empty if it calls none of these."""
    if len(words) > 1 and words[0] in {"EVAL", "EVALSHA"}:
        return (_NAMES if words[0] == "EVALSHA" else _NAMES_OF_TEXTS).get(str(words[1]), "")
    return ""
