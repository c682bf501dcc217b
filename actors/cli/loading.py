"""Loading: from ``shop.flows:manager`` to the object. Says which part of the path is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from actors.cli.errors import CommandError
from actors.errors import HeadraceError
from actors.manager import WorkflowManager

if TYPE_CHECKING:
    from types import ModuleType

    from actors.definitions import Workflow
    from kernel import Codec

_SHOWN: Final = 10


def load(path: str) -> tuple[ModuleType, object]:
    """Return the module and the object that ``module:attribute`` names. The current folder comes first.

    Raises:
        CommandError: what is missing, or what importing the module raised and where.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise CommandError(f"{path!r} names nothing to import: write module:attribute, such as shop.flows:manager")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _import(module_name)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise CommandError(
                f"module {module_name!r} ({module.__file__}) has no {attribute!r}{_managers_in(module)}: "
                "correct what follows the colon"
            )
        found = getattr(found, part)
    return module, found


def load_manager(path: str) -> WorkflowManager:
    """Return the manager that a path names. Raises CommandError."""
    module, found = load(path)
    if not isinstance(found, WorkflowManager):
        raise CommandError(f"{path!r} is a {type(found).__name__}, not a WorkflowManager{_managers_in(module)}")
    return found


def load_codec(path: str) -> Codec | None:
    """Return the codec that a path names, or that the manager has which it names. Raises CommandError."""
    _, found = load(path)
    if isinstance(found, WorkflowManager):
        return found.codec
    if not all(callable(getattr(found, name, None)) for name in ("encode", "decode")):
        raise CommandError(f"{path!r} is a {type(found).__name__}: name a codec (encode and decode), or a manager")
    return cast("Codec", found)


def manager_of(module: ModuleType, workflow: Workflow[..., Any], path: str) -> WorkflowManager:
    """Return the manager in a module with which a workflow is registered. Raises CommandError."""
    managers = {
        id(value): value
        for value in vars(module).values()
        if isinstance(value, WorkflowManager) and workflow.function in {flow.function for flow in value.workflows}
    }
    if len(managers) != 1:
        raise CommandError(
            f"{path!r} is a workflow whose manager is not in its module: name the manager and then the workflow, such "
            f"as module:manager {workflow.name}"
        )
    return next(iter(managers.values()))


def _import(name: str) -> ModuleType:
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        part = ".".join(parts[:count])
        if not part or not all(piece.isidentifier() for piece in parts[:count]):
            raise CommandError(f"{name!r} cannot be a module's name: write it with dots, without .py")
        if _missing(part):
            where = f"in package {'.'.join(parts[: count - 1])!r}" if count > 1 else f"in {Path.cwd()} or on the path"
            raise CommandError(
                f"there is no module {part!r} {where}: run the command in your project's folder, or correct the name"
            )
    try:
        return importlib.import_module(name)
    except (CommandError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise CommandError(f"importing {name!r} failed{_place(error)}: {_said(error)}") from error


def _missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return True
        raise CommandError(f"importing {name.rpartition('.')[0]!r} failed{_place(error)}: {_said(error)}") from error
    except (KeyboardInterrupt, CommandError):
        raise
    except BaseException as error:
        # Finding a module imports the packages around it.
        raise CommandError(f"importing {name.rpartition('.')[0]!r} failed{_place(error)}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"


def _place(error: BaseException) -> str:
    """Return the author's line at which an import failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {_relative(error.filename)}:{error.lineno}"
    own = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - compared as text
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((own, "<frozen")) and os.sep + "importlib" + os.sep not in frame.filename
    ]
    # The author's own line rather than that of a library which it called.
    here = str(Path.cwd()) + os.sep
    mine = [frame for frame in frames if frame.filename.startswith(here) and "site-packages" not in frame.filename]
    frames = mine or frames
    return f" at {_relative(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


def _relative(filename: str) -> str:
    try:
        return str(Path(filename).relative_to(Path.cwd()))
    except ValueError:
        return filename


def _managers_in(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, WorkflowManager)][:_SHOWN]
    return f" (there is {', '.join(map(repr, names))})" if names else ""
