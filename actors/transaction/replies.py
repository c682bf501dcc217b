"""Raw RESP2 replies in redis-py's shapes (``decode_responses=False``). A reply of another shape is a bug of ours."""

from __future__ import annotations

from typing import TypeAlias, cast

Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
"""One entry of a stream: id, fields."""


def as_integer(reply: object) -> int:
    """An integer reply."""
    assert isinstance(reply, int), f"Redis answered {type(reply).__name__}, not an integer"
    return reply


def as_integer_or_none(reply: object) -> int | None:
    """An integer reply or nil."""
    return None if reply is None else as_integer(reply)


def as_bytes(reply: object) -> bytes:
    """A bulk or simple string."""
    assert isinstance(reply, bytes), f"Redis answered {type(reply).__name__}, not a string"
    return reply


def as_bytes_or_none(reply: object) -> bytes | None:
    """A bulk string or nil."""
    return None if reply is None else as_bytes(reply)


def as_float_or_none(reply: object) -> float | None:
    """A score, or nil."""
    return None if reply is None else float(as_bytes(reply))


def as_items(reply: object) -> list[object]:
    """An array."""
    assert isinstance(reply, list), f"Redis answered {type(reply).__name__}, not an array"
    return cast("list[object]", reply)


def as_list(reply: object) -> list[bytes]:
    """An array of strings."""
    return [as_bytes(item) for item in as_items(reply)]


def as_dict(reply: object) -> dict[bytes, bytes]:
    """An array of names and values in turn."""
    items = as_list(reply)
    return dict(zip(items[::2], items[1::2], strict=True))


def as_scored(reply: object) -> list[tuple[bytes, float]]:
    """An array of members and scores in turn."""
    items = as_list(reply)
    return [(member, float(score)) for member, score in zip(items[::2], items[1::2], strict=True)]


def as_entries(reply: object) -> list[Entry]:
    """An array of stream entries."""
    pairs = [as_items(item) for item in as_items(reply)]
    return [(as_bytes(entry), as_dict(fields)) for entry, fields in pairs]
