"""Audit: an audit hook that refuses files, sockets, processes and threads at the place in workflow code that asks.

Python calls audit hooks for many harmless things, so the hook looks at the event's name first, then whether workflow
code is running, and only then at the frames: loading a module, showing a traceback, logging and debugging read files
too, and the collector may call a finalizer anywhere.

A hook cannot be removed. It is added once in a process, by the first worker, and idle while there is none.
"""

from __future__ import annotations

import os
import sys
import zoneinfo
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.calls import active_step
from actors.determinism.author import INSTALLED, IO, STANDARD, THREAD, frames_of_workflow, refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_FILE: Final = ("files", IO)
_SOCKET: Final = ("the network", IO)
_PROCESS: Final = ("processes", IO)
_THREAD: Final = ("threads", THREAD)

REFUSED: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(
        (
            "open",
            *(f"os.{verb}" for verb in ("listdir", "scandir", "mkdir", "rename", "remove", "rmdir", "link", "symlink")),
            *(f"os.{verb}" for verb in ("chmod", "chown", "truncate", "utime", "chdir", "walk", "fwalk")),
            *(
                f"shutil.{verb}"
                for verb in ("copyfile", "copytree", "move", "rmtree", "make_archive", "unpack_archive")
            ),
            "glob.glob",
            "pathlib.Path.glob",
            "tempfile.mkstemp",
            "tempfile.mkdtemp",
            "sqlite3.connect",
            "fcntl.flock",
            "fcntl.lockf",
        ),
        _FILE,
    ),
    **dict.fromkeys(
        (
            *(f"socket.{verb}" for verb in ("__new__", "bind", "connect", "sendto", "sendmsg", "getaddrinfo")),
            *(f"socket.{verb}" for verb in ("gethostname", "gethostbyname", "gethostbyaddr", "getnameinfo")),
            "urllib.Request",
            "http.client.connect",
            "smtplib.connect",
            "ftplib.connect",
            "imaplib.open",
            "poplib.connect",
        ),
        _SOCKET,
    ),
    **dict.fromkeys(
        (
            "subprocess.Popen",
            *(f"os.{verb}" for verb in ("system", "exec", "fork", "forkpty", "posix_spawn", "spawn", "kill", "killpg")),
            "pty.spawn",
        ),
        _PROCESS,
    ),
    **dict.fromkeys(("_thread.start_new_thread", "_thread.start_joinable_thread"), _THREAD),
    "time.sleep": ("blocking sleep", "write `await step.sleep(seconds)` or `await asyncio.sleep(seconds)`"),
}
"""Audit event → what it is about, and what to do instead."""

_TRUSTED: Final = (
    "<frozen importlib",
    "<frozen zipimport",
    *(
        STANDARD + part
        for part in (
            "importlib/", "encodings/", "logging/", "zoneinfo/", "linecache.py", "tokenize.py", "warnings.py",
            "weakref.py", "bdb.py", "pdb.py",
        )
    ),
    structlog.__file__.rpartition("/")[0] + "/",
)  # fmt: skip
"""Beginnings of the names of files whose code may do what it likes: it loads and tells, and decides nothing."""

DEBUGGERS: Final = ("/pydevd", "/_pydevd_", "/debugpy/")
_TOOLS: Final = (*DEBUGGERS, "/coverage/")

_WRITING: Final = os.O_WRONLY | os.O_RDWR
_DATA: Final = (*INSTALLED, *(f"{folder}/" for folder in zoneinfo.TZPATH))
"""Folders whose files are part of the program: reading them is like importing."""


class Audit:
    """The hook of this process. ``active``: whether a worker runs."""

    def __init__(self) -> None:
        """Add nothing yet."""
        self.active = False
        self._added = False

    def start(self) -> None:
        """Refuse from now on."""
        self.active = True
        if not self._added:
            self._added = True
            sys.addaudithook(self._make())

    def stop(self) -> None:
        """Refuse nothing from now on."""
        self.active = False

    def _make(self) -> Callable[[str, tuple[Any, ...]], None]:
        # All that it needs is in its closure: it is called until the interpreter is gone, when modules are empty.
        refused, running, judge, own = REFUSED, active_step.get, _judge, self

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event in refused and own.active and running() is not None:
                judge(event, args)

        return hook


audit: Final = Audit()


def _judge(event: str, args: tuple[Any, ...]) -> None:
    """Refuse what workflow code asks for, unless it is something that decides nothing."""
    if event == "open" and _is_data(args):
        return
    if any(_is_trusted(frame) for frame in frames_of_workflow(sys._getframe(1))):  # noqa: SLF001 - the way to frames
        return
    what, instead = REFUSED[event]
    subject = f"{event}({args[0]!r})" if args and isinstance(args[0], str | bytes) else f"{event}"
    refuse(f"{subject} ({what})", instead)


def _is_trusted(frame: FrameType) -> bool:
    code = frame.f_code
    filename = code.co_filename
    return filename.startswith(_TRUSTED) or code.co_name == "__del__" or any(tool in filename for tool in _TOOLS)


def _is_data(args: tuple[Any, ...]) -> bool:
    """Tell whether a file is opened that is a part of the program, to be read."""
    path: object = args[0]
    flags: int = args[2]
    if not isinstance(path, str | bytes) or flags & _WRITING:
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(_DATA)  # noqa: PTH100 - pathlib would be slower and say the same
