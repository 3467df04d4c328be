"""Columns of a batch as PostgreSQL arrays, packed by ourselves.

A batch goes to the server as one array a column. The driver's own list dumper looks at every
element to find its type; here the type is known, and packing 40 columns of one row takes 30 us
instead of 250 us.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Sequence
from typing import ClassVar

import psycopg
from psycopg import pq
from psycopg.adapt import Dumper

_HEAD = struct.Struct("!iiIii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct("!i")
_EIGHT = struct.Struct("!iq")
_FOUR = struct.Struct("!ii")
_NULL = b"\xff\xff\xff\xff"

_EPOCH_DATE = dt.date(2000, 1, 1).toordinal()  # PostgreSQL counts days and microseconds from here
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class Texts(list[str | None]):
    """A text[]."""


class Blobs(list[bytes | None]):
    """A bytea[]."""


class Longs(list[int | None]):
    """A bigint[]."""


class Dates(list[dt.date | None]):
    """A date[]."""


class Times(list[dt.time | None]):
    """A time[]."""


class Moments(list[dt.datetime | None]):
    """A timestamptz[]; the moments carry a zone."""


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


class _DatesDumper(_Packed):
    oid = 1182
    element = 1082

    def dump(self, obj: Dates) -> bytes:
        return self._array(
            [_NULL if d is None else _FOUR.pack(4, d.toordinal() - _EPOCH_DATE) for d in obj]
        )


class _TimesDumper(_Packed):
    oid = 1183
    element = 1083

    def dump(self, obj: Times) -> bytes:
        return self._array([_NULL if t is None else _EIGHT.pack(8, _microseconds(t)) for t in obj])


class _MomentsDumper(_Packed):
    oid = 1185
    element = 1184

    def dump(self, obj: Moments) -> bytes:
        return self._array(
            [_NULL if m is None else _EIGHT.pack(8, (m - _EPOCH) // _MICROSECOND) for m in obj]
        )


def _microseconds(time: dt.time) -> int:
    seconds = (time.hour * 60 + time.minute) * 60 + time.second
    return seconds * 1_000_000 + time.microsecond


for _kind, _dumper in (
    (Texts, _TextsDumper),
    (Blobs, _BlobsDumper),
    (Longs, _LongsDumper),
    (Dates, _DatesDumper),
    (Times, _TimesDumper),
    (Moments, _MomentsDumper),
):
    psycopg.adapters.register_dumper(_kind, _dumper)
