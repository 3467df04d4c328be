"""The frame table: where each frame of an instance lies, so that a frame is a ranged read.

Native frames are equally long: the table is the JSON `{"kind":"native","off":..,"len":..,"n":..}`,
with `"bits"` where frames do not end on a byte. Encapsulated frames are listed:

    01                     version of the list
    flags                  1: a frame may have several fragments; 2: one stream holds all frames
    n                      number of frames
    marks                  for n > 64: per 64 frames 4 bytes position in this list and 8 bytes
                           offset, little endian, so that a frame is found without all before it
    per frame              [flag 1: number of fragments] and per fragment gap, length

All numbers are LEB128. A gap is counted from the end of the fragment before (the first one from 0)
and is zigzag coded, since an offset table may list frames in any order. Offsets are offsets in the
data set.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

import orjson

from vna.errors import Corrupt

Piece = tuple[int, int]
_VERSION = 1
_SEVERAL, _STREAM = 1, 2
_STRIDE = 64
_MARK = struct.Struct("<IQ")


class FrameTable:
    """Where the frames of one instance lie. `frame` counts from 1, as the standard does."""

    __slots__ = ("_at", "_data", "_flags", "_length", "_offset", "bits", "count", "encapsulated")

    def __init__(self) -> None:
        self.count = 0
        self.encapsulated = False
        self.bits: int | None = None
        self._offset = self._length = self._flags = self._at = 0
        self._data = b""

    @classmethod
    def native(cls, offset: int, length: int, count: int, bits: int | None = None) -> FrameTable:
        """Make the table of `count` frames of `length` bytes or `bits` bits, from `offset` on."""
        table = cls()
        table.count, table._offset, table._length = count, offset, length
        table.bits = bits if bits is not None and bits % 8 else None
        return table

    @classmethod
    def listed(cls, frames: Sequence[Sequence[Piece]]) -> FrameTable:
        """Make the table of encapsulated frames: of each, its fragments' (offset, length)."""
        several = any(len(pieces) != 1 for pieces in frames)
        return cls.decode(_encode(frames, _SEVERAL if several else 0, len(frames)))

    @classmethod
    def stream(cls, pieces: Sequence[Piece], count: int) -> FrameTable:
        """Make the table of a video: `count` frames in one stream, which is given as frame 1."""
        return cls.decode(_encode([pieces], _SEVERAL | _STREAM, count))

    @property
    def is_stream(self) -> bool:
        """Whether one stream holds all frames: frame 1 is the stream, the others have no place."""
        return bool(self._flags & _STREAM)

    @classmethod
    def decode(cls, data: bytes) -> FrameTable:
        """Read what `encode` wrote. Raises `Corrupt`."""
        try:
            return cls._decode(data)
        except (IndexError, KeyError, TypeError, ValueError) as exc:
            raise Corrupt("A frame table cannot be read.") from exc

    @classmethod
    def _decode(cls, data: bytes) -> FrameTable:
        if data[:1] == b"{":
            values = orjson.loads(data)
            return cls.native(values["off"], values["len"], values["n"], values.get("bits"))
        if data[0] != _VERSION:
            raise ValueError
        table = cls()
        table.encapsulated, table._flags, table._data = True, data[1], bytes(data)
        table.count, table._at = _number(data, 2)
        return table

    def encode(self) -> bytes:
        """Write the table as it stands in the blob's meta and in the index."""
        if self.encapsulated:
            return self._data
        values = {"kind": "native", "off": self._offset, "len": self._length, "n": self.count}
        return orjson.dumps(values if self.bits is None else values | {"bits": self.bits})

    def frame(self, number: int) -> tuple[Piece, ...]:
        """Give the pieces, (offset, length), that make up a frame. Raises `IndexError` outside."""
        if not 1 <= number <= self.count or (self.is_stream and number != 1):
            raise IndexError(number)
        if not self.encapsulated:
            if self.bits is not None:
                offset, length, _ = self.frame_bits(number)
                return ((offset, length),)
            return ((self._offset + (number - 1) * self._length, self._length),)
        try:
            return self._listed(number)
        except (IndexError, struct.error) as exc:
            raise Corrupt("A frame table ends too early.") from exc

    def frame_bits(self, number: int) -> tuple[int, int, int]:
        """Give a frame's offset, length, and the bit it begins at (0 is the least significant)."""
        if not 1 <= number <= self.count:
            raise IndexError(number)
        bits = self.bits if self.bits is not None else self._length * 8
        first = (number - 1) * bits
        start, end = first >> 3, (first + bits + 7) >> 3
        return self._offset + start, end - start, first & 7

    def _listed(self, number: int) -> tuple[Piece, ...]:
        data, at, offset, index = self._data, self._at, 0, number - 1
        if self.count > _STRIDE and not self.is_stream:
            block = index // _STRIDE
            place, offset = _MARK.unpack_from(data, at + block * _MARK.size)
            at, index = place, index % _STRIDE
        while True:
            fragments = 1
            if self._flags & _SEVERAL:
                fragments, at = _number(data, at)
            pieces = []
            for _ in range(fragments):
                gap, at = _number(data, at)
                length, at = _number(data, at)
                offset += (gap >> 1) ^ -(gap & 1)
                pieces.append((offset, length))
                offset += length
            if not index:
                return tuple(pieces)
            index -= 1


def _encode(frames: Sequence[Sequence[Piece]], flags: int, count: int) -> bytes:
    head = bytearray((_VERSION, flags))
    _put(head, count)
    body = bytearray()
    marks = array("Q")
    end = 0
    for index, pieces in enumerate(frames):
        if index % _STRIDE == 0:
            marks.extend((len(body), end))
        if flags & _SEVERAL:
            _put(body, len(pieces))
        for offset, length in pieces:
            gap = offset - end
            _put(body, gap << 1 if gap >= 0 else (-gap << 1) - 1)
            _put(body, length)
            end = offset + length
    if count > _STRIDE and not flags & _STREAM:
        before = len(head) + _MARK.size * (len(marks) // 2)
        for place, offset in zip(marks[::2], marks[1::2], strict=True):
            head += _MARK.pack(before + place, offset)
    return bytes(head + body)


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _number(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
