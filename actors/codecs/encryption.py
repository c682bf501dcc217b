"""Authenticated encryption of payloads: AES-GCM of ``cryptography``, which is installed by ``headrace[encryption]``.

An encrypted payload is: the byte 1; the length of the key's id, one byte; the key's id; 12 random bytes; the text and
its 16 bytes of authentication. What comes before the random bytes is authenticated too. A payload that was never
encrypted, compressed or not, begins with ``C1`` and is read as it is: that something is read does not prove that its
writer had the key.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Final, Protocol, cast

from actors.errors import HeadraceError, InvalidOption
from kernel import OPEN_PAYLOAD

KEY_BYTES: Final = (16, 24, 32)
KEY_ID_BYTES_MAX: Final = 64
_VERSION: Final = b"\x01"
_NEVER_ENCRYPTED: Final = OPEN_PAYLOAD[:1]
_NONCE_BYTES: Final = 12


class UnreadablePayload(HeadraceError):
    """A codec cannot read a payload; the message says why and what to do."""


class _Cipher(Protocol):
    """What is used of the library's AESGCM."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


class Encryption:
    """Encrypts with one key and decrypts with any of those given, by the id that each payload names.

    To change keys, give the new one beside the old ones everywhere, then make it ``current`` everywhere; an old one may
    go when nothing that was written with it is left (its instances' retention is over). Nonces are random, so one key
    should write no more than some 4 billion payloads.
    """

    def __init__(self, keys: Mapping[str, bytes], *, current: str) -> None:
        """``keys``: 16, 24 or 32 secret random bytes by id; ``current``: the id of the one to encrypt with.

        Raises InvalidOption, also where the library is missing; never with a key in the message.
        """
        _check(keys, current)
        try:
            aead = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        except ImportError as error:
            raise InvalidOption(
                "Encryption needs the package cryptography: pip install 'headrace[encryption]'"
            ) from error
        self._ciphers = {key_id: cast("_Cipher", aead.AESGCM(key)) for key_id, key in keys.items()}
        self._cipher = self._ciphers[current]
        self._header = _VERSION + bytes([len(current.encode())]) + current.encode()

    def encode(self, data: bytes) -> bytes:
        """Return ``data`` encrypted; another text each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._header + nonce + self._cipher.encrypt(nonce, data, self._header)

    def decode(self, data: bytes) -> bytes:
        """Return what ``encode`` was given, and a payload that was never encrypted as it is.

        Raises:
            UnreadablePayload: its key is not here or is another one, or the text was changed.
        """
        if data[:1] == _NEVER_ENCRYPTED:
            return data
        end = 2 + (data[1] if len(data) > 1 else 0)
        if data[:1] != _VERSION or len(data) < end + _NONCE_BYTES:
            raise UnreadablePayload("it was not written by Encryption: give the codec that it was written with")
        key_id = data[2:end].decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(map(repr, sorted(self._ciphers)))
            raise UnreadablePayload(
                f"it was written with the key {key_id!r}, and the keys given are {known}: give Encryption that key too"
            )
        nonce = data[end : end + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, data[end + _NONCE_BYTES :], data[:end])
        except Exception as error:
            raise UnreadablePayload(
                f"the key given as {key_id!r} does not open it: it is another key than it was written with, or the "
                "stored bytes were changed"
            ) from error


def _check(keys: Mapping[str, bytes], current: str) -> None:
    if not isinstance(cast("object", keys), Mapping) or not keys:
        raise InvalidOption("Encryption(keys): give a mapping of key ids to keys, such as {'2026': os.urandom(32)}")
    for key_id, key in keys.items():
        if not isinstance(cast("object", key_id), str) or not 1 <= len(key_id.encode()) <= KEY_ID_BYTES_MAX:
            raise InvalidOption(f"Encryption: the key id {key_id!r} is no text of 1 to {KEY_ID_BYTES_MAX} bytes")
        if not isinstance(cast("object", key), bytes) or len(key) not in KEY_BYTES:
            raise InvalidOption(f"Encryption: the key {key_id!r} is not 16, 24 or 32 bytes: make one by os.urandom(32)")
    if current not in keys:
        known = ", ".join(map(repr, sorted(keys)))
        raise InvalidOption(f"Encryption(current={current!r}): give the id of one of the keys: {known}")
