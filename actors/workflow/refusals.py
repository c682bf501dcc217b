"""What asyncio's loop offers and a workflow's loop refuses, each with what to use instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from actors.errors import DeterminismViolation
from actors.workflow.frames import author_site

if TYPE_CHECKING:
    from collections.abc import Callable

_THREAD: Final = "run the blocking function as a step: decorate it with @manager.action and call step.run_action"
_IO: Final = "do the I/O in a function decorated with @manager.action and call step.run_action"
_RUN: Final = "await the coroutine instead"
_WORKER: Final = "it belongs to the worker, not to workflow code"
_TASK: Final = "use asyncio.create_task, which makes tasks whose order is the same on every replay"
_ERRORS: Final = "await the task and catch its exception instead"

REFUSED: Final[dict[str, str]] = {
    "run_in_executor": _THREAD,
    "set_default_executor": _THREAD,
    "call_soon_threadsafe": "a workflow has no threads; " + _THREAD,
    "run_until_complete": _RUN,
    "run_forever": _RUN,
    "stop": "return from the workflow function instead",
    "close": _WORKER,
    "shutdown_asyncgens": _WORKER,
    "shutdown_default_executor": _WORKER,
    "set_task_factory": _TASK,
    "set_exception_handler": _ERRORS,
    "get_exception_handler": _ERRORS,
    "default_exception_handler": _ERRORS,
    "set_debug": _WORKER,
    "add_signal_handler": "signals reach the worker; send the workflow an event and await it with step.await_event",
    "remove_signal_handler": "signals reach the worker; send the workflow an event and await it with step.await_event",
    **dict.fromkeys(
        (
            "getaddrinfo",
            "getnameinfo",
            "create_connection",
            "create_server",
            "sendfile",
            "start_tls",
            "create_unix_connection",
            "create_unix_server",
            "connect_accepted_socket",
            "create_datagram_endpoint",
            "connect_read_pipe",
            "connect_write_pipe",
            "subprocess_shell",
            "subprocess_exec",
            "add_reader",
            "remove_reader",
            "add_writer",
            "remove_writer",
            "sock_recv",
            "sock_recv_into",
            "sock_recvfrom",
            "sock_recvfrom_into",
            "sock_sendall",
            "sock_sendto",
            "sock_connect",
            "sock_accept",
            "sock_sendfile",
        ),
        _IO,
    ),
}
"""Method of the loop → what to do instead."""


def refuse(what: str, instead: str) -> NoReturn:
    """Raise DeterminismViolation for ``what``, naming the author's line and the replacement."""
    raise DeterminismViolation(f"{what} is not possible in workflow code ({author_site()}): {instead}")


def refuse_methods(loop_class: type) -> None:
    """Give ``loop_class`` a raising method for each of ``REFUSED``."""
    for name, instead in REFUSED.items():
        setattr(loop_class, name, _refusing(name, instead))


def _refusing(name: str, instead: str) -> Callable[..., NoReturn]:
    def method(*_args: Any, **_options: Any) -> NoReturn:  # noqa: ANN401 - it takes whatever asyncio's takes
        refuse(f"loop.{name}()", instead)

    method.__name__ = name
    return method
