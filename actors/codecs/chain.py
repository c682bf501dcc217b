"""Several codecs in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.codecs.compression import Compression
from actors.codecs.encryption import Encryption
from actors.errors import InvalidOption

if TYPE_CHECKING:
    from kernel import Codec


class Chain:
    """Encodes with the first codec, then the next; decodes the other way round."""

    def __init__(self, *codecs: Codec) -> None:
        """``codecs``: in the order in which they encode. Raises InvalidOption for one that cannot be of use there."""
        if not codecs:
            raise InvalidOption("Chain() has no codec: give one or more, such as Chain(Compression(), Encryption(…))")
        encrypted = False
        for codec in codecs:
            if not all(callable(getattr(codec, name, None)) for name in ("encode", "decode")):
                raise InvalidOption(
                    f"Chain(…, {codec!r}, …): give objects with encode(bytes) and decode(bytes) -> bytes"
                )
            if encrypted and isinstance(codec, Compression):
                raise InvalidOption("what is encrypted does not get smaller: put Compression before Encryption")
            encrypted = encrypted or isinstance(codec, Encryption)
        self._codecs = codecs

    def encode(self, data: bytes) -> bytes:
        """Return what is stored for ``data``."""
        for codec in self._codecs:
            data = codec.encode(data)
        return data

    def decode(self, data: bytes) -> bytes:
        """Return what ``encode`` was given. Raises what the codecs raise."""
        for codec in reversed(self._codecs):
            data = codec.decode(data)
        return data
