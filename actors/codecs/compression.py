"""Compression of payloads by zstandard, which is installed by ``headrace[compression]``.

What is compressed is ``C1 'z'`` and a frame of zstandard. What would not get smaller is kept as it is; what is no
payload (see ``kernel.OPEN_PAYLOAD``) then gets a byte 0 before it. So payloads that were never compressed are read too.
"""

from __future__ import annotations

import importlib
from typing import Final, Protocol, cast

from actors.codecs.encryption import UnreadablePayload
from actors.errors import InvalidOption
from kernel import OPEN_PAYLOAD

LEVEL_MIN: Final = 1
LEVEL_MAX: Final = 22
_PLAIN: Final = b"\x00"
_ZSTD: Final = b"\xc1z"


class _Zstandard(Protocol):
    """What is used of the library."""

    def compress(self, data: bytes, level: int) -> bytes: ...
    def decompress(self, data: bytes) -> bytes: ...


class Compression:
    """Makes payloads of ``bytes_min`` bytes or more smaller."""

    def __init__(self, *, level: int = 3, bytes_min: int = 256) -> None:
        """``level``: 1, the fastest, to 22, the smallest. Raises InvalidOption, also where the library is missing."""
        if type(level) is not int or not LEVEL_MIN <= level <= LEVEL_MAX:
            raise InvalidOption(f"Compression(level={level!r}): give a whole number from {LEVEL_MIN} to {LEVEL_MAX}")
        self._level = level
        self._bytes_min = bytes_min
        try:
            self._library = cast("_Zstandard", importlib.import_module("zstandard"))
        except ImportError as error:
            raise InvalidOption(
                "Compression needs the package zstandard: pip install 'headrace[compression]'"
            ) from error

    def encode(self, data: bytes) -> bytes:
        """Return what is stored for ``data``."""
        if len(data) >= self._bytes_min:
            smaller = self._library.compress(data, self._level)
            if len(smaller) < len(data):
                return _ZSTD + smaller
        return data if data[: len(OPEN_PAYLOAD)] == OPEN_PAYLOAD else _PLAIN + data

    def decode(self, data: bytes) -> bytes:
        """Return what ``encode`` was given, and a payload that was never compressed as it is.

        Raises:
            UnreadablePayload: it was not written by Compression, or was changed.
        """
        if data[: len(OPEN_PAYLOAD)] == OPEN_PAYLOAD:
            return data
        if data[: len(_PLAIN)] == _PLAIN:
            return data[len(_PLAIN) :]
        if data[: len(_ZSTD)] != _ZSTD:
            raise UnreadablePayload("it was not written by Compression: give the codec that it was written with")
        try:
            return self._library.decompress(data[len(_ZSTD) :])
        except Exception as error:
            raise UnreadablePayload(f"it cannot be decompressed, so it was changed since: {error}") from error
