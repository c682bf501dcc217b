"""Replies: what comes from the server, given a type. Its word is taken for the elements; a wrong one is our bug."""

from __future__ import annotations

from typing import Any


def listed(reply: object) -> list[Any]:
    """Return a reply that is an array."""
    assert isinstance(reply, list)
    items: list[Any] = reply
    return items
