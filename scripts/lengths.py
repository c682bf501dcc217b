"""Stops files and functions that have grown too long. What is counted is lines, blank ones and comments included.

Run by ``scripts/check``. The aims are lower (400 and 40, see CONTRIBUTING.md); these are where the gate closes.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS: Final = ("kernel", "actors", "tests", "scripts", "examples", "deploy")
FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
SCRIPT_LINES_MAX: Final = 200
"""Of a Lua file: one atomic step of Redis."""
AS_LONG_AS_IT_IS: Final = frozenset({"tests/api/test_the_interface.py"})
"""Files of any length: that one walks through one document in its order, a test a sentence; cut, it would lose it."""


def functions(tree: ast.AST) -> Iterator[tuple[str, int, int]]:
    """Yield name, first line and number of lines of every function, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def faults(path: Path, *, name: str) -> Iterator[str]:
    """Yield one line for each length in the file ``path`` that is over its limit; ``name``: below the root."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    limit = SCRIPT_LINES_MAX if path.suffix == ".lua" else FILE_LINES_MAX
    if lines > limit and name not in AS_LONG_AS_IT_IS:
        yield f"{path}: {lines} lines; the limit is {limit}: cut it by what it does"
    if path.suffix != ".py":
        return
    for function, first, length in functions(ast.parse(text, filename=str(path))):
        if length > FUNCTION_LINES_MAX:
            yield f"{path}:{first}: {function} has {length} lines; the limit is {FUNCTION_LINES_MAX}: name its parts"


def main() -> int:
    """Check every Python, Lua and shell file of the project; return the exit code."""
    root = Path(__file__).parent.parent
    found = [
        fault
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and (path.suffix in {".py", ".lua", ".sh"} or path.parent.name == "scripts")
        for fault in faults(path, name=path.relative_to(root).as_posix())
    ]
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
