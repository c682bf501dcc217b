"""Erase: delete a whole namespace, instances and application keys alike. For what was made to be thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from kernel.store.space import Space

PAGE: Final = 500
"""Keys that are looked at, and deleted, by one command."""


async def erase_namespace(space: Space) -> int:
    """Delete every key of the namespace; return how many. No worker of it may be running; others are not touched."""
    count = 0
    for tag in space.keys.tags:
        cursor = b"0"
        while True:
            reply = await space.send(tag, "SCAN", cursor, "MATCH", f"{tag}:*", "COUNT", PAGE)
            cursor, found = cast("tuple[bytes, list[bytes]]", reply)
            if found:
                count += _integer(await space.send(tag, "UNLINK", *found))
            if int(cursor) == 0:
                break
    for key in space.keys.outside_partitions:
        count += _integer(await space.send(key, "UNLINK", key))
    return count


def _integer(reply: object) -> int:
    assert isinstance(reply, int)
    return reply
