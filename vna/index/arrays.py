"""Lists as PostgreSQL arrays, packed by ourselves.

The driver's own list dumper looks at every element to find its type; here the type is known.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar

import psycopg
from psycopg import pq
from psycopg.adapt import Dumper

_HEAD = struct.Struct("!iiIii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct("!i")
_EIGHT = struct.Struct("!iq")
_NULL = b"\xff\xff\xff\xff"


class Texts(list[str | None]):
    """A text[]."""


class Blobs(list[bytes | None]):
    """A bytea[]."""


class Longs(list[int | None]):
    """A bigint[]."""


class _Packed(Dumper):
    format = pq.Format.BINARY
    element: ClassVar[int]

    def _array(self, packed: Sequence[bytes]) -> bytes:
        return _HEAD.pack(1, 1, self.element, len(packed), 1) + b"".join(packed)


class _TextsDumper(_Packed):
    oid = 1009
    element = 25

    def dump(self, obj: Texts) -> bytes:
        encoded = [None if text is None else text.encode() for text in obj]
        return self._array([_NULL if e is None else _LENGTH.pack(len(e)) + e for e in encoded])


class _BlobsDumper(_Packed):
    oid = 1001
    element = 17

    def dump(self, obj: Blobs) -> bytes:
        return self._array([_NULL if b is None else _LENGTH.pack(len(b)) + b for b in obj])


class _LongsDumper(_Packed):
    oid = 1016
    element = 20

    def dump(self, obj: Longs) -> bytes:
        return self._array([_NULL if n is None else _EIGHT.pack(8, n) for n in obj])


for _kind, _dumper in (
    (Texts, _TextsDumper),
    (Blobs, _BlobsDumper),
    (Longs, _LongsDumper),
):
    psycopg.adapters.register_dumper(_kind, _dumper)
