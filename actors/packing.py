"""msgpack with types: the package ships none. Plain values only; ``payload`` adds annotated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable

    class ExtType(NamedTuple):
        """An extension value: its code, 0 to 127, and its bytes."""

        code: int
        data: bytes

    class Packer:
        """Encodes values one after another into one buffer; not shared between threads."""

        def __init__(self, *, default: Callable[[Any], object], strict_types: bool, buf_size: int) -> None: ...
        def pack(self, value: object) -> bytes:
            """Return the bytes of one value."""
            ...
else:
    ExtType = msgpack.ExtType
    Packer = msgpack.Packer

packb: Final = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
unpackb: Final = cast("Callable[..., Any]", msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]
