"""Documents: which files the demo takes. Reads them to see whether they are text; changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from actors.demo.settings import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BYTES_MAX: Final = 256 * 1024
"""Larger files are passed over."""
_PROSE: Final = frozenset({".md", ".markdown", ".rst", ".txt", ".adoc", ".org", ".tex", ".html"})
_PROSE_NAMES: Final = frozenset({"README", "LICENSE", "NOTICE", "AUTHORS", "COPYING", "CHANGES", "TODO"})
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "venv", "build", "dist"})
_LOOKED_AT_MAX: Final = 5_000
"""Files of a large folder that are looked at."""


class Documents(NamedTuple):
    """What was found in a folder."""

    folder: Path
    chosen: list[Path]
    passed_over: int
    """Files that came before the last one chosen and are no UTF-8 text of a size that suits."""


def find_documents(folder: Path | None, *, count: int) -> Documents:
    """Choose at most ``count`` text files of a folder, prose before anything else.

    Raises:
        DemoError: there is no such folder, or no text in it.
    """
    root = own_documents() if folder is None else folder
    if not root.exists():
        raise DemoError(f"there is no folder {str(root)!r}: give --folder one that has text files")
    if not root.is_dir():
        raise DemoError(f"{str(root)!r} is a file, not a folder: give --folder the folder that it is in")
    root = root.resolve()
    try:
        files = sorted(_walk(root), key=lambda path: (not _is_prose(path), len(path.parts), str(path)))
    except OSError as error:
        raise DemoError(f"{str(root)!r} cannot be read ({error.strerror}): give --folder another") from error
    chosen: list[Path] = []
    passed_over = 0
    for path in files:
        if len(chosen) == count:
            break
        if is_text(path):
            chosen.append(path)
        else:
            passed_over += 1
    if not chosen:
        raise DemoError(
            f"no text files in {str(root)!r}: give --folder one that has some (UTF-8, up to {BYTES_MAX // 1024} KiB)"
        )
    return Documents(root, chosen, passed_over)


def own_documents() -> Path:
    """Return the project's folder, where it is a clone; else the installed package, whose sources are text too."""
    package = Path(__file__).parents[1]
    project = package.parent
    return project if (project / "README.md").is_file() and (project / "pyproject.toml").is_file() else package


def _is_prose(path: Path) -> bool:
    return path.suffix.lower() in _PROSE or path.name in _PROSE_NAMES


def is_text(path: Path) -> bool:
    """Tell whether a file is printable UTF-8 of a size that suits; unreadable ones are not."""
    try:
        if not path.is_file() or not 0 < path.stat().st_size <= BYTES_MAX:
            return False
        content = path.read_bytes()
        content.decode()
        str(path).encode()
    except (OSError, UnicodeError):
        return False
    return b"\0" not in content


def _walk(root: Path) -> Iterator[Path]:
    looked = 0
    for folder, folders, files in os.walk(root, onerror=_refuse(root)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(files):
            if name.startswith("."):
                continue
            looked += 1
            if looked > _LOOKED_AT_MAX:
                return
            yield Path(folder, name)


def _refuse(root: Path) -> Callable[[OSError], None]:
    """Return what to do with a folder that cannot be read: the root must be, others are passed over."""

    def refuse(error: OSError) -> None:
        if error.filename == str(root):
            raise error

    return refuse
