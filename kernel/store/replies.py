"""Replies: what comes from the server, given a type. Its word is taken for the kind of reply."""

from __future__ import annotations

from typing import Any, cast


def listed(reply: object) -> list[Any]:
    """Return a reply that is an array."""
    return cast("list[Any]", reply)
