"""The codecs alone: what they store, what they refuse."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

from actors import InvalidOption
from actors.codecs import Chain, Codec, Compression, Encryption, Reading, UnreadablePayload
from kernel import OPEN_PAYLOAD

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
TEXT = b"a secret " * 1000


@pytest.mark.parametrize(
    "codec",
    [
        Compression(),
        Compression(level=19, bytes_min=0),
        Encryption({"k": KEY}, current="k"),
        Chain(Compression(), Encryption({"k": KEY}, current="k")),
    ],
    ids=lambda codec: type(codec).__name__,
)
@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\xc1z", OPEN_PAYLOAD + TEXT, TEXT, os.urandom(3000)],
    ids=["nothing", "little", "a mark", "a payload", "text", "noise"],
)
def test_what_was_encoded_is_decoded_to_the_same_bytes(codec: Codec, data: bytes) -> None:
    assert codec.decode(codec.encode(data)) == data


def test_compression_makes_text_smaller_and_noise_no_larger_than_by_one_byte() -> None:
    noise = os.urandom(3000)
    assert len(Compression().encode(TEXT)) < len(TEXT) / 20
    assert len(Compression().encode(noise)) == len(noise) + 1
    assert Compression(bytes_min=10).encode(b"123456789") == b"\x00123456789"


@pytest.mark.parametrize("text", [b"little", TEXT])
def test_what_was_written_before_a_codec_was_added_is_read_by_the_chain_that_has_it(text: bytes) -> None:
    payload = OPEN_PAYLOAD + text
    encryption = Encryption({"k": KEY}, current="k")
    both = Chain(Compression(), encryption)
    for before in (Compression(), encryption, both):
        assert both.decode(before.encode(payload)) == payload
    assert both.decode(payload) == payload


def test_what_was_compressed_too_is_no_payload_to_who_only_decrypts() -> None:
    encryption = Encryption({"k": KEY}, current="k")
    written = Chain(Compression(), encryption).encode(OPEN_PAYLOAD + TEXT)
    assert not encryption.decode(written).startswith(OPEN_PAYLOAD)


def test_a_codec_that_only_reads_writes_what_is_written_without_it() -> None:
    payload, compression = OPEN_PAYLOAD + TEXT, Compression()
    assert Reading(compression).encode(payload) == payload
    assert Reading(compression).decode(compression.encode(payload)) == payload
    assert Reading(compression).decode(payload) == payload
    with pytest.raises(InvalidOption, match="give an object with encode"):
        Reading("zstd")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_encryption_shows_nothing_and_gives_another_text_each_time() -> None:
    codec = Encryption({"k": KEY}, current="k")
    first, second = codec.encode(TEXT), codec.encode(TEXT)
    assert first != second
    assert b"secret" not in first


def test_keys_are_changed_by_giving_both_for_a_time() -> None:
    old = Encryption({"old": KEY}, current="old")
    both = Encryption({"old": KEY, "new": OTHER}, current="new")
    new = Encryption({"new": OTHER}, current="new")
    assert both.decode(old.encode(TEXT)) == TEXT
    assert new.decode(both.encode(TEXT)) == TEXT


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UnreadablePayload, match=r"written with the key 'old'.*given are 'new'.*give Encryption th"):
        Encryption({"new": OTHER}, current="new").decode(Encryption({"old": KEY}, current="old").encode(TEXT))


def test_another_key_under_the_same_id_is_told_from_a_missing_one() -> None:
    with pytest.raises(UnreadablePayload, match="the key given as 'k' does not open it"):
        Encryption({"k": OTHER}, current="k").decode(Encryption({"k": KEY}, current="k").encode(TEXT))


@pytest.mark.parametrize("at", [3, 10, 40, -1])
def test_a_text_that_was_changed_is_refused(at: int) -> None:
    codec = Encryption({"k": KEY, "l": KEY}, current="k")
    changed = bytearray(codec.encode(TEXT))
    changed[at] ^= 1
    with pytest.raises(UnreadablePayload):
        codec.decode(bytes(changed))


def test_a_key_id_cannot_be_exchanged_for_another() -> None:
    codec = Encryption({"k": KEY, "l": KEY}, current="k")
    text = codec.encode(TEXT)
    with pytest.raises(UnreadablePayload):
        codec.decode(text[:2] + b"l" + text[3:])


@pytest.mark.parametrize("data", [b"", b"\x07nonsense", b"\x01\x05k"])
@pytest.mark.parametrize("codec", [Compression(), Encryption({"k": KEY}, current="k")])
def test_what_another_codec_wrote_is_refused(codec: Codec, data: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        codec.decode(data)


@pytest.mark.parametrize(
    ("keys", "current", "told"),
    [
        ({}, "k", "give a mapping"),
        ({"k": KEY}, "l", "give the id of one of the keys: 'k'"),
        ({"k": b"short"}, "k", "16, 24 or 32 bytes"),
        ({"k": "x" * 32}, "k", "16, 24 or 32 bytes"),
        ({"": KEY}, "", "no text of 1 to 64 bytes"),
    ],
)
def test_wrong_keys_are_refused_without_being_shown(keys: Any, current: str, told: str) -> None:  # noqa: ANN401
    with pytest.raises(InvalidOption) as raised:
        Encryption(keys, current=current)
    assert told in str(raised.value)
    assert "short" not in str(raised.value)
    assert "xxxx" not in str(raised.value)


def test_a_wrong_level_is_refused() -> None:
    with pytest.raises(InvalidOption, match="from 1 to 22"):
        Compression(level=0)


def test_compression_after_encryption_is_refused() -> None:
    with pytest.raises(InvalidOption, match="put Compression before Encryption"):
        Chain(Encryption({"k": KEY}, current="k"), Compression())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Compression, r"needs the package zstandard: pip install 'headrace\[compression\]'"),
        (lambda: Encryption({"k": KEY}, current="k"), r"needs the package cryptography: pip install 'headrace\[enc"),
    ],
)
def test_a_missing_library_is_named_with_what_to_install(
    make: Any,  # noqa: ANN401 - a codec's class or a function that makes one
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", nothing)
    with pytest.raises(InvalidOption, match=told):
        make()
