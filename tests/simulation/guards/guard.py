"""Guard: one protection of the kernel or the engine, and the switch that takes it away for a while, in tests only.

A switch replaces text in the source of one Lua file or of one Python function. The text must be there exactly once, so
that rewriting the code cannot disarm the switch silently.
"""

from __future__ import annotations

import inspect
import textwrap
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unittest import mock

from kernel.store import scripts

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

LUA: Final = Path(scripts.__file__).parent / "lua"


class Disarmed(Exception):
    """A switch no longer fits the code: its text is not there exactly once."""


class Edit(NamedTuple):
    """A replacement of text in one place."""

    where: str
    """``begin.lua``, ``fragments/actor.lua``, or a Python function as ``package.module:Class.method``."""
    old: str
    """Text that is there exactly once."""
    new: str

    def apply(self, source: str) -> str:
        """Return the source without the protection. Raises Disarmed."""
        if (times := source.count(self.old)) != 1:
            raise Disarmed(
                f"{self.where} has this text {times} times, not once: {self.old!r}. The code was rewritten: write the "
                "switch anew in tests/simulation/guards, then the table by scripts/soak --guards"
            )
        return source.replace(self.old, self.new)


class Guard(NamedTuple):
    """One protection."""

    name: str
    trace: str
    """What it answers, as docs/guarantees.md numbers the traces."""
    protects: str
    """What is true because of it; a sentence."""
    switch: tuple[Edit, ...]
    """How it is taken away; all edits at once."""
    focus: str = "mixed"
    """The mix of work and faults that is searched; see ``focus``."""


@contextmanager
def applied(edits: Sequence[Edit]) -> Generator[None]:
    """Apply edits, all at once, for the block. Raises Disarmed."""
    with ExitStack() as stack:
        changed = _changed_scripts([edit for edit in edits if edit.where.endswith(".lua")])
        if changed:
            stack.enter_context(mock.patch.dict(scripts.SCRIPTS, changed))
        for where in dict.fromkeys(edit.where for edit in edits if not edit.where.endswith(".lua")):
            owner, name, function = _rewritten(where, [edit for edit in edits if edit.where == where])
            stack.enter_context(mock.patch.object(owner, name, function))
        yield


def _changed_scripts(edits: list[Edit]) -> Mapping[str, scripts.Script]:
    """Return the scripts that the edits change, assembled as the kernel does."""
    if not edits:
        return {}
    sources = {str(path.relative_to(LUA)): path.read_text(encoding="utf-8") for path in LUA.rglob("*.lua")}
    for edit in edits:
        sources[edit.where] = edit.apply(sources[edit.where])
    fragments = {
        name.removeprefix("fragments/").removesuffix(".lua"): text
        for name, text in sources.items()
        if name.startswith("fragments/")
    }
    texts = {
        name.removesuffix(".lua"): scripts._assemble(text, fragments)
        for name, text in sources.items()
        if "/" not in name
    }
    return {name: scripts.Script(name, text) for name, text in texts.items() if text != scripts.SCRIPTS[name].text}


def _rewritten(where: str, edits: list[Edit]) -> tuple[Any, str, Any]:
    """Return where a function hangs, its name, and the function compiled anew from changed source."""
    module_name, _, path = where.partition(":")
    module = import_module(module_name)
    *parents, name = path.split(".")
    owner: Any = module
    for parent in parents:
        owner = getattr(owner, parent)
    original = inspect.getattr_static(owner, name)
    source = textwrap.dedent(inspect.getsource(original))
    for edit in edits:
        source = edit.apply(source)
    source = f"from __future__ import annotations\n{source}"
    found: dict[str, Any] = {}
    exec(compile(source, f"<{where} without a guard>", "exec", dont_inherit=True), original.__globals__, found)
    return owner, name, found[name]
