"""Everything that a namespace holds in Redis, as bytes."""

from __future__ import annotations

from typing import Any, cast

from actors import WorkflowManager


async def everything(manager: WorkflowManager) -> dict[str, bytes]:
    """Return every key of the namespace with all that it holds."""
    space = (await manager.store()).space
    client: Any = space.connector.client(space.keys.tags[0])
    found: dict[str, bytes] = {}
    async for key in client.scan_iter(match=f"*{manager.namespace}*"):
        kind = (await client.type(key)).decode()
        match kind:
            case "hash":
                held = await client.hgetall(key)
            case "stream":
                held = await client.xrange(key)
            case "zset":
                held = await client.zrange(key, 0, -1, withscores=True)
            case "set":
                held = await client.smembers(key)
            case _:
                held = await client.get(key)
        found[key.decode()] = _flat(held)
    return found


def _flat(held: Any) -> bytes:  # noqa: ANN401 - whatever redis-py returns
    if isinstance(held, bytes):
        return held + b"\n"
    if isinstance(held, dict):
        return _flat(list(cast("dict[object, object]", held).items()))
    if isinstance(held, list | tuple | set):
        return b"".join(_flat(item) for item in cast("list[object]", held))
    return repr(held).encode()


def holding(keys: dict[str, bytes], text: bytes) -> list[str]:
    """Return the keys that hold a text."""
    return sorted(key for key, held in keys.items() if text in held)
