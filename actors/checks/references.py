"""References: which of the functions in ``rules`` a function's bytecode names. Nothing is run and no source is needed.

Names are followed through modules and classes to the objects themselves, as far as that runs no code, so an alias does
not hide anything and a variable that is called ``open`` is not taken for the function.
"""

from __future__ import annotations

import builtins
import dis
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final

from actors.checks.finding import Finding
from actors.checks.naming import Named, module_named, value_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PASSED_OVER: Final = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL", "RESUME", "COPY_FREE_VARS", "PRECALL"})
"""Instructions that leave what was loaded last where it is."""
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_IMPORTS: Final = frozenset({"IMPORT_NAME", "IMPORT_FROM"})
_CONSTANTS: Final = frozenset({"LOAD_CONST", "LOAD_SMALL_INT"})
_LOCALS: Final = ("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "LOAD_NAME")
_STORES: Final = ("STORE_FAST", "STORE_DEREF", "STORE_NAME")


def find_references(function: FunctionType) -> Iterator[Finding | FunctionType]:
    """Yield what is found in a function and those nested in it, and the functions that it names, in order."""
    closure: dict[str, Named] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            closure[name] = value_named(name, cell.cell_contents)
        except ValueError:
            continue  # not set yet
    yield from _Reader(function.__code__, function.__globals__, closure).read()


class _Reader:
    """Reads one code object from its beginning to its end, without following jumps."""

    def __init__(self, code: CodeType, module: Mapping[str, object], known: Mapping[str, Named]) -> None:
        """``known``: local names of the code around it that are known."""
        self._code = code
        self._module = module
        self._locals = dict(known)
        self._constants: list[object] = []
        self._importing = ""
        """Module that was imported last, until what it is bound to is known."""

    def read(self) -> Iterator[Finding | FunctionType]:
        code = self._code
        loaded: Named | None = None
        for instruction in dis.get_instructions(code):
            if instruction.opname in _PASSED_OVER:
                continue
            loaded = self._load(instruction, loaded)
            if loaded is None:
                continue
            if isinstance(loaded.value, FunctionType):
                yield loaded.value
            rule = loaded.rule()
            # What is imported is found where it is used.
            if rule is not None and instruction.opname not in _IMPORTS:
                line = (instruction.positions.lineno if instruction.positions else None) or code.co_firstlineno
                call = "()" if rule.certain else ""
                what = f"{loaded.shown}{call} {rule.why}"
                yield Finding(code.co_filename, line, code.co_qualname, what, rule.instead, rule.certain)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                # Only what it has from here: a parameter of its own may have the same name as a local of ours.
                known = {name: self._locals[name] for name in constant.co_freevars if name in self._locals}
                yield from _Reader(constant, self._module, known).read()

    def _load(self, instruction: dis.Instruction, loaded: Named | None) -> Named | None:
        """Return what the instruction leaves on the stack, if it is known."""
        name, argument = instruction.opname, instruction.argval
        if name.startswith("LOAD_GLOBAL"):
            return self._global(argument)
        if name.startswith(_LOCALS):
            return self._local(argument, loads_name=name == "LOAD_NAME")
        if name in _IMPORTS:
            return self._import(name, argument)
        if name in _CONSTANTS:
            self._constants = [*self._constants[-1:], argument]
        elif name in _STORES:
            self._store(argument, loaded)
        elif loaded is not None and name in _ATTRIBUTES:
            return loaded.attribute(argument)
        return None

    def _local(self, names: str | tuple[str, ...], *, loads_name: bool) -> Named | None:
        # An instruction that loads two leaves the second on top.
        name = names if isinstance(names, str) else names[-1]
        found = self._locals.get(name)
        return self._global(name) if found is None and loads_name else found

    def _global(self, name: str) -> Named | None:
        if name in self._module:
            return value_named(name, self._module[name])
        value = vars(builtins).get(name)
        return None if value is None else Named(name, f"builtins.{name}", value)

    def _import(self, instruction: str, name: str) -> Named | None:
        if instruction == "IMPORT_NAME":
            level, names = (*self._constants, None, None)[:2]
            self._importing = name if level == 0 else ""
            if not self._importing or names:
                return None
            top = name.partition(".")[0]
            return module_named(top, top)
        if self._importing.endswith(f".{name}"):
            return module_named(name, self._importing)  # import a.b as c
        return module_named(self._importing, self._importing).attribute(name) if self._importing else None

    def _store(self, name: str, loaded: Named | None) -> None:
        """Remember what a local name is bound to, if it is known."""
        if loaded is None:
            self._locals.pop(name, None)
        else:
            self._locals[name] = loaded._replace(shown=name)
