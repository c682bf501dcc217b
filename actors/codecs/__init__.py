"""Codecs: what payloads pass through on their way to Redis and back. Compression, encryption, and several in a row.

``WorkflowManager(codec=Chain(Compression(), Encryption({"2026": key}, current="2026")))``. Anything with the two
methods of ``Codec`` will do. All services and workers of a namespace need a codec that reads what the others write;
what was written before there was one is read as it is. ``Reading`` reads without writing: to add or take away a codec.
"""

from __future__ import annotations

from actors.codecs.chain import Chain
from actors.codecs.compression import Compression
from actors.codecs.encryption import Encryption, UnreadablePayload
from actors.codecs.reading import Reading
from kernel import Codec

__all__ = ["Chain", "Codec", "Compression", "Encryption", "Reading", "UnreadablePayload"]
