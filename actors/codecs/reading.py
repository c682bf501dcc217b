"""A codec that reads only: for the time in which a codec is added to a deployment, or taken away from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import InvalidOption
from kernel import OPEN_PAYLOAD

if TYPE_CHECKING:
    from kernel import Codec


class Reading:
    """Decodes what another codec has encoded, and what it has not; encodes nothing.

    ``Chain(Reading(Compression()), encryption)`` writes what ``encryption`` writes, and reads what was compressed
    before. A codec of one's own must never write what begins with the byte ``C1``.
    """

    def __init__(self, codec: Codec) -> None:
        """``codec``: the one that is to be read. Raises InvalidOption for what is no codec."""
        if not all(callable(getattr(codec, name, None)) for name in ("encode", "decode")):
            raise InvalidOption(f"Reading({codec!r}): give an object with encode(bytes) and decode(bytes) -> bytes")
        self._codec = codec

    def encode(self, data: bytes) -> bytes:
        """Return ``data`` as it is."""
        return data

    def decode(self, data: bytes) -> bytes:
        """Return what the codec was given, and a payload that did not pass through it as it is."""
        return data if data[: len(OPEN_PAYLOAD)] == OPEN_PAYLOAD else self._codec.decode(data)
