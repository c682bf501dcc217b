"""Rights: whether the user of a connection may do what a client or a worker does. Tried once, at the opening.

A right that is missing shows itself nowhere else at once: a subscription that is refused is made anew for ever, and
a mutation that may not watch fails long after the deployment. Nothing that is tried here writes: it has no key.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from kernel.errors import RightMissing
from kernel.store import keys
from kernel.store.pump import error_text, is_denied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.store.keys import Keys
    from kernel.store.link import Lane, Words

_SCRIPT: Final = "return 0"
_SHA: Final = hashlib.sha1(_SCRIPT.encode()).hexdigest()  # noqa: S324 - Redis names scripts by it
_PLUMBING: Final = ("watch", "unwatch", "multi", "exec", "eval")
"""Commands of a mutation that are none of its author's."""


async def check_rights(lane: Lane, known: Keys, *, works: bool) -> None:
    """Try what every client does; with ``works`` also what only workers do. The lane can then only be closed.

    Raises:
        RightMissing: the first that is refused for want of a right. Other errors say nothing of rights.
    """
    tried = [*_of_clients(known), *(_of_workers(known) if works else ())]
    _judge(tried, await lane.send(tried))
    subscribing: list[Words] = [("SUBSCRIBE", f"{known.tags[0]}:silence")]  # from here on it takes nothing else
    _judge(subscribing, await lane.send(subscribing))


def lacks_plumbing(error: ResponseError) -> bool:
    """Tell whether a command was refused with which mutations are watched and committed, whatever their code does."""
    text = str(error).lower()
    return is_denied(error) and any(f"'{name}'" in text or f"'{name}|" in text for name in _PLUMBING)


def _of_clients(known: Keys) -> list[Words]:
    tag = known.tags[0]
    return [
        ("SCRIPT", "LOAD", _SCRIPT),
        # In small letters it is no call whose effects a replica has to acknowledge: it has none.
        ("evalsha", _SHA, 1, keys.shared(tag, "meta")),
        ("HGET", keys.shared(tag, "meta"), "seed"),
        ("XADD", keys.shared(tag, "barrier"), "NOMKSTREAM", "*", "", ""),
        ("XLEN", known.gateway),
        ("PUBLISH", f"{tag}:silence", ""),
    ]


def _of_workers(known: Keys) -> list[Words]:
    tag = known.tags[0]
    return [
        ("eval", _SCRIPT, 1, keys.shared(tag, "meta")),
        ("WATCH", keys.shared(tag, "meta")),
        ("MULTI",),
        ("EXEC",),
        ("XREADGROUP", "GROUP", "", "", "STREAMS", keys.shared(tag, "barrier"), ">"),
        ("ZADD", known.workers, "XX", 0, ""),
        ("HDEL", f"{{{known.workers}}}:about", ""),
        ("XLEN", known.dead),
    ]


def _judge(tried: Sequence[Words], replies: Sequence[object]) -> None:
    for words, reply in zip(tried, replies, strict=True):
        if isinstance(reply, ResponseError) and is_denied(reply):
            key = next((word for word in words[1:] if isinstance(word, str) and ":" in word), "")
            raise RightMissing(f"{str(words[0]).upper()} {key}".strip(), error_text(reply))
