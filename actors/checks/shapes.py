"""Shapes: what a function's source does that a replay may not repeat, though it calls nothing wrong.

Iteration over sets where the order shows, module state that is changed, unseeded random numbers, files by way of
``Path``. Nothing of this is certain: it is for ``headrace check``. Without source nothing is found.
"""

from __future__ import annotations

import ast
import linecache
import pathlib
import random
from collections import defaultdict, deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from actors.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from types import FunctionType

_SORT: Final = "iterate `sorted(…)` of it"
_STATE: Final = (
    "keep it in a local variable, or publish it by `step.set_value`; other instances and replays change it too"
)
_SEED: Final = "use `step.random`, or give it a seed"
_FILE: Final = "do it in a function decorated with @manager.action and call step.run_action"

_ORDERLESS: Final = frozenset({"sorted", "set", "frozenset", "sum", "any", "all", "min", "max", "len", "Counter"})
"""Functions whose result does not depend on the order of what they are given."""
_ORDERING: Final = frozenset({"list", "tuple", "enumerate", "iter", "zip", "map", "filter", "reversed", "dict"})
_CHANGES: Final = frozenset(
    {"append", "add", "update", "pop", "popitem", "clear", "extend", "insert", "remove", "discard", "setdefault"}
    | {"appendleft", "popleft", "sort", "reverse"}
)
_CONTAINERS: Final = (dict, list, set, deque, defaultdict, bytearray)
_FILES: Final = frozenset(
    {"read_text", "read_bytes", "write_text", "write_bytes", "open", "mkdir", "rmdir", "unlink", "touch", "rename"}
    | {"iterdir", "glob", "rglob", "exists", "is_file", "is_dir", "stat"}
)
_STABLE: Final = (int, float, bool, complex)
"""Types whose values have the same hash everywhere."""
_SETS: Final = frozenset({"set", "frozenset", "Set", "AbstractSet", "FrozenSet", "MutableSet"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


def find_shapes(function: FunctionType) -> Iterator[Finding]:
    """Yield what is found in a function and those nested in it."""
    node = _node_of(function)
    if node is not None:
        visitor = _Visitor(function, node)
        visitor.visit_all()
        yield from visitor.found


def _node_of(function: FunctionType) -> Function | None:
    """Return the function's definition in its file."""
    code = function.__code__
    for node in ast.walk(_tree_of(code.co_filename)):
        if isinstance(node, Function) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


@lru_cache(maxsize=64)
def _tree_of(filename: str) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return ast.Module([], [])


class _Visitor(ast.NodeVisitor):
    """Walks one function."""

    def __init__(self, function: FunctionType, node: Function) -> None:
        self._function = function
        self._node = node
        self._module = function.__globals__
        self._names = [function.__qualname__]
        self._bound = _bound_names(node)
        self._sets = _set_names(node)
        self._harmless: set[ast.AST] = set()
        """Comprehensions whose order nobody sees."""
        self.found: list[Finding] = []

    def visit_all(self) -> None:
        for statement in self._node.body:
            self.visit(statement)

    def _add(self, node: ast.expr | ast.stmt, what: str, instead: str) -> None:
        file = self._function.__code__.co_filename
        self.found.append(Finding(file, node.lineno, ".".join(self._names), what, instead, certain=False))

    # ---------------------------------------------------------------------------------------------- nested functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._nested(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._nested(node)

    def _nested(self, node: Function) -> None:
        self._names.append(f"<locals>.{node.name}")
        self.generic_visit(node)
        self._names.pop()

    # --------------------------------------------------------------------------------------------------------- sets

    def visit_For(self, node: ast.For) -> None:
        if self._is_set(node.iter) and _shows_order(node):
            self._add(node.iter, f"iterates over the set `{ast.unparse(node.iter)}`, whose order is not fixed", _SORT)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        if name in _ORDERLESS:
            self._harmless.update(node.args)
        elif name in _ORDERING:
            for argument in node.args:
                if self._is_set(argument):
                    self._add(argument, f"`{ast.unparse(node)}` has the order of a set, which is not fixed", _SORT)
        self._call_of_method(node)
        if name == "Random" and not node.args and not node.keywords and self._refers(node.func) is random.Random:
            self._add(node, "random.Random() without a seed differs on every replay", _SEED)
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        self._harmless.update(node.elts)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        if node not in self._harmless and self._is_set(node.value):
            self._add(node, f"`{ast.unparse(node)}` has the order of a set, which is not fixed", _SORT)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> None:
        for part in node.generators:
            if node not in self._harmless and self._is_set(part.iter):
                what = f"iterates over the set `{ast.unparse(part.iter)}`, whose order is not fixed"
                self._add(part.iter, what, _SORT)
        self.generic_visit(node)

    def _is_set(self, node: ast.expr) -> bool:
        return _is_set(node, self._sets)

    # -------------------------------------------------------------------------------------------------- module state

    def visit_Global(self, node: ast.Global) -> None:
        self._add(node, f"changes the module's variable {', '.join(node.names)}", _STATE)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._target(target)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._target(node.target)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target)
        self.generic_visit(node)

    def _target(self, target: ast.expr) -> None:
        match target:
            case ast.Subscript(value=ast.Name(id=name)) if self._is_state(name):
                self._add(target, f"changes the module's variable {name}", _STATE)
            case ast.Attribute(value=ast.Name(id=name)) if self._is_module_variable(name):
                self._add(target, f"changes `{ast.unparse(target)}`, which belongs to the module", _STATE)
            case _:
                pass

    def _call_of_method(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr=verb) if verb in _CHANGES and self._is_state(name):
                self._add(node, f"changes the module's variable {name}", _STATE)
            case ast.Attribute(value=ast.Name(id=name), attr="pop") if name in self._sets and not node.args:
                self._add(node, f"`{name}.pop()` takes an element of a set, whose order is not fixed", _SORT)
            case ast.Attribute(value=ast.Call(func=path), attr=verb) if verb in _FILES:
                referred = self._refers(path)
                if isinstance(referred, type) and issubclass(referred, pathlib.PurePath):
                    self._add(node, f"`{ast.unparse(node.func)}` does I/O", _FILE)
            case _:
                pass

    def _is_module_variable(self, name: str) -> bool:
        return name not in self._bound and name in self._module

    def _is_state(self, name: str) -> bool:
        return self._is_module_variable(name) and isinstance(self._module[name], _CONTAINERS)

    def _refers(self, node: ast.expr) -> object:
        """Return the module's object that ``name`` or ``name.name`` stands for; None if it is no such thing."""
        match node:
            case ast.Name(id=name) if self._is_module_variable(name):
                return self._module[name]
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if self._is_module_variable(name):
                return getattr(self._module[name], attribute, None)
            case _:
                return None


def _called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _bound_names(function: Function) -> frozenset[str]:
    """Return every name that is bound in a function or those nested in it: parameters, variables, imports."""
    names: set[str] = set()
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                names.add(name)
            case ast.alias(name=name, asname=alias):
                names.add(alias or name.partition(".")[0])
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if node is not function:
                    names.add(name)
            case _:
                pass
    declared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    return frozenset(names - declared)


def _set_names(function: Function) -> frozenset[str]:
    """Return the parameters and variables that only ever hold sets whose order may differ between processes."""
    sets: set[str] = set()
    while (more := _set_names_given(function, sets)) != sets:
        sets = more
    return frozenset(sets)


def _set_names_given(function: Function, known: set[str]) -> set[str]:
    """Return the same, if those in ``known`` hold such sets."""
    sets, others = set(known), set[str]()
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name, annotation=annotation):
                (sets if _is_set_annotation(annotation) else others).add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                (sets if _is_set_annotation(annotation) else others).add(name)
            case ast.Assign(targets=targets, value=value):
                for name in (target.id for target in targets if isinstance(target, ast.Name)):
                    (sets if _is_set(value, known) else others).add(name)
            case ast.For(target=ast.Name(id=name)) | ast.withitem(optional_vars=ast.Name(id=name)):
                others.add(name)
            case _:
                pass
    return sets - others


def _is_set(node: ast.expr, known: AbstractSet[str]) -> bool:
    """Tell whether an expression is a set whose order may differ between processes; ``known``: names of such sets."""
    match node:
        case ast.Name(id=name):
            return name in known
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return _is_set(left, known) or _is_set(right, known)
        case ast.Call(func=ast.Attribute(value=value, attr="union" | "intersection" | "difference" | "copy")):
            return _is_set(value, known)
        case _:
            return _makes_set(node)


def _makes_set(node: ast.expr) -> bool:
    match node:
        case ast.Set(elts=elements):
            return not all(isinstance(item, ast.Constant) and isinstance(item.value, _STABLE) for item in elements)
        case ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset"), args=arguments):
            return not any(isinstance(item, ast.Call) and _called(item) == "range" for item in arguments)
        case _:
            return False


def _is_set_annotation(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Name(id=item)):
            return name in _SETS and item not in {"int", "float", "bool"}
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
            return name in _SETS
        case _:
            return False


def _shows_order(loop: ast.For) -> bool:
    """Tell whether what a loop does may depend on the order: it waits, asks for something, collects, ends early."""
    for statement in loop.body:
        for node in ast.walk(statement):
            match node:
                case ast.Await() | ast.Yield() | ast.YieldFrom() | ast.Return() | ast.Break():
                    return True
                case ast.AsyncFor() | ast.AsyncWith():
                    return True
                case ast.Call(func=ast.Attribute(attr="append" | "extend" | "insert" | "create_task" | "put_nowait")):
                    return True
                case ast.Call(func=ast.Attribute(value=ast.Name(id="step"))):
                    return True
                case _:
                    pass
    return False
