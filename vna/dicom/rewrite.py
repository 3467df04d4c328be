"""Rewrite a data set as Explicit VR Little Endian while it streams (PS3.5 A.1 to A.5).

From Implicit VR Little Endian, Explicit VR Big Endian and Deflated Explicit VR Little Endian.
Memory is constant: headers are read one by one, values pass through in pieces, and sequences and
items get undefined length because theirs would only be known at their end. Group lengths go.
"""

from __future__ import annotations

import enum
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from pydicom.datadict import dictionary_VR

from vna.config import Limits
from vna.errors import MalformedInstance, TooLarge, UnsupportedMedia

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
REWRITTEN = frozenset((IMPLICIT_LITTLE, DEFLATED_LITTLE, EXPLICIT_BIG))

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA, _PIXEL_REPRESENTATION, _BITS_ALLOCATED = 0x7FE00010, 0x00280103, 0x00280100
_NO_LENGTH = b"\xff\xff\xff\xff"
_OUT = 1 << 16
_INFLATED = 1 << 20

_SHORT = frozenset(
    (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
)
# Bytes of one number, for those that turn round; array's type codes of that size beside them.
_UNITS = dict.fromkeys(("AT", "OW", "SS", "US"), 2)
_UNITS |= dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4)
_UNITS |= dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)
_CODES = {array(code).itemsize: code for code in "HIQ"}


def to_explicit_little(
    chunks: Iterable[bytes], transfer_syntax: str, limits: Limits
) -> Iterator[bytes]:
    """Yield the data set as Explicit VR Little Endian.

    Raises `MalformedInstance` where the bytes stop making sense, `TooLarge` past a limit.
    """
    if transfer_syntax == EXPLICIT_LITTLE:
        return iter(chunks)
    if transfer_syntax == DEFLATED_LITTLE:
        return inflate(chunks, limits)
    if transfer_syntax not in REWRITTEN:
        raise UnsupportedMedia(f"{transfer_syntax} cannot be rewritten as {EXPLICIT_LITTLE}.")
    explicit = transfer_syntax == EXPLICIT_BIG
    return _gathered(_Rewriter(_Source(chunks), explicit, limits).pieces())


def inflate(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """Inflate a deflated data set, with the ratio and the size checked as it grows (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    taken = given = 0
    for chunk in chunks:
        taken += len(chunk)
        rest = chunk
        while rest and not inflater.eof:
            try:
                piece = inflater.decompress(rest, _INFLATED)
            except zlib.error as exc:
                raise MalformedInstance("The deflated data set cannot be inflated.") from exc
            rest = inflater.unconsumed_tail
            given += len(piece)
            if given > limits.inflate_bytes or given > _INFLATED + taken * limits.inflate_ratio:
                raise TooLarge("The deflated data set grows past the limit.")
            if piece:
                yield piece
    if not inflater.eof:
        raise MalformedInstance("The deflated data set ends before its end.")


class _Kind(enum.Enum):
    DATA_SET = enum.auto()
    SEQUENCE = enum.auto()
    ITEM = enum.auto()
    FRAGMENTS = enum.auto()


@dataclass(slots=True)
class _Frame:
    """What is open: where it ends (None: at a delimiter), and how what it holds is written."""

    kind: _Kind
    end: int | None
    explicit: bool
    big: bool
    signed: bool  # Pixel Representation of the nearest data set that has one
    bits: int = 16  # Bits Allocated, likewise

    def within(self, kind: _Kind, end: int | None, *, implicit: bool = False) -> _Frame:
        """Open a frame inside this one; inside UN all is Implicit VR Little Endian (6.2.2)."""
        explicit, big = (False, False) if implicit else (self.explicit, self.big)
        return _Frame(kind, end, explicit, big, self.signed, self.bits)


class _Source:
    """The incoming bytes, taken a header or a piece at a time."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self.at = 0

    def ended(self) -> bool:
        while not self._chunk:
            try:
                self._chunk = memoryview(next(self._chunks))
            except StopIteration:
                return True
        return False

    def take(self, length: int) -> bytes:
        """Take exactly so many bytes; for headers and the few values that are looked at."""
        return b"".join(self.pieces(length))

    def pieces(self, length: int) -> Iterator[bytes]:
        """Take so many bytes as they come."""
        while length:
            if self.ended():
                raise MalformedInstance("The data set ends in the middle of an element.")
            piece = bytes(self._chunk[:length])
            self._chunk = self._chunk[len(piece) :]
            self.at += len(piece)
            length -= len(piece)
            yield piece


class _Rewriter:
    def __init__(self, source: _Source, explicit: bool, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._elements = 0
        # Implicit VR exists in little endian alone; of the explicit ones only big endian comes here
        root = _Frame(_Kind.DATA_SET, None, explicit, explicit, signed=False)
        self._open = [root]

    def pieces(self) -> Iterator[bytes]:
        while True:
            frame = self._open[-1]
            if frame.end is not None and self._source.at >= frame.end:
                if self._source.at > frame.end:
                    raise MalformedInstance("An element reaches past the end of its sequence.")
                yield self._close()
            elif len(self._open) == 1 and self._source.ended():
                return
            elif frame.kind in (_Kind.SEQUENCE, _Kind.FRAGMENTS):
                yield from self._item(frame)
            else:
                yield from self._element(frame)

    def _item(self, frame: _Frame) -> Iterator[bytes]:
        """Read an item or the end of a sequence: never with a VR (PS3.5 7.5)."""
        head = self._source.take(8)
        group, element, length = struct.unpack(">HHI" if frame.big else "<HHI", head)
        tag = group << 16 | element
        if tag == _SEQUENCE_END and frame.end is None:
            yield self._close()
        elif tag != _ITEM:
            raise MalformedInstance("A sequence holds something other than items.")
        elif frame.kind is _Kind.FRAGMENTS:
            yield _head(_ITEM) + struct.pack("<I", self._defined(length))
            yield from self._source.pieces(length)
        else:
            yield _head(_ITEM) + _NO_LENGTH
            self._enter(frame.within(_Kind.ITEM, self._end(length)))

    def _element(self, frame: _Frame) -> Iterator[bytes]:
        group, element = struct.unpack(">HH" if frame.big else "<HH", self._source.take(4))
        tag: int = group << 16 | element
        if group == 0xFFFE:
            yield self._item_end(frame, tag)
            return
        vr, length = self._vr_and_length(frame, tag)
        self._elements += 1
        if self._elements > self._limits.elements:
            raise TooLarge("The data set has more elements than the limit.")
        if element == 0:  # a group length: retired, and wrong as soon as one length changes
            for _ in self._source.pieces(self._defined(length)):
                pass
        elif vr == "SQ" or length == _UNDEFINED:
            yield from self._sequence(frame, tag, vr, length)
        else:
            yield _explicit_head(tag, vr, length)
            yield from self._value(frame, tag, vr, length)

    def _vr_and_length(self, frame: _Frame, tag: int) -> tuple[str, int]:
        order = ">" if frame.big else "<"
        if not frame.explicit:
            length: int = struct.unpack("<I", self._source.take(4))[0]
            return _implicit_vr(tag, frame.signed), length
        raw = self._source.take(2)
        if not (raw.isalpha() and raw.isupper()):
            raise MalformedInstance(f"The element ({tag >> 16:04X},{tag & 0xFFFF:04X}) has no VR.")
        vr = raw.decode("ascii")
        if vr in _SHORT:
            return vr, struct.unpack(order + "H", self._source.take(2))[0]
        self._source.take(2)
        return vr, struct.unpack(order + "I", self._source.take(4))[0]

    def _sequence(self, frame: _Frame, tag: int, vr: str, length: int) -> Iterator[bytes]:
        if vr in ("OB", "OW") and tag == _PIXEL_DATA:
            yield _head(tag) + b"OB\0\0" + _NO_LENGTH
            self._enter(frame.within(_Kind.FRAGMENTS, None))
            return
        if vr not in ("SQ", "UN"):
            raise MalformedInstance(f"An element of VR {vr} has undefined length.")
        yield _head(tag) + b"SQ\0\0" + _NO_LENGTH
        self._enter(frame.within(_Kind.SEQUENCE, self._end(length), implicit=vr == "UN"))

    def _value(self, frame: _Frame, tag: int, vr: str, length: int) -> Iterator[bytes]:
        if tag in (_PIXEL_REPRESENTATION, _BITS_ALLOCATED) and length == 2:
            raw = self._source.take(2)
            number = int.from_bytes(raw, "big" if frame.big else "little")
            if tag == _PIXEL_REPRESENTATION:
                frame.signed = number == 1
            else:
                frame.bits = number
            yield number.to_bytes(2, "little")
            return
        unit = _UNITS.get(vr, 1) if frame.big else 1
        if unit == 2 and tag == _PIXEL_DATA and frame.bits in (32, 64):
            # PS3.5 6.2 turns OW by words of 16 bits; real files have whole pixel cells turned, and
            # that is how pydicom reads them
            unit = frame.bits // 8
        pieces = self._source.pieces(length)
        yield from pieces if unit == 1 else _turned(pieces, unit)

    def _item_end(self, frame: _Frame, tag: int) -> bytes:
        self._source.take(4)
        if tag != _ITEM_END or frame.kind is not _Kind.ITEM or frame.end is not None:
            raise MalformedInstance("A delimiter stands where no item or sequence is open.")
        return self._close()

    def _enter(self, frame: _Frame) -> None:
        if len(self._open) > 2 * self._limits.nesting:
            raise TooLarge("Sequences are nested deeper than the limit.")
        outer = self._open[-1].end
        if outer is not None and frame.end is not None and frame.end > outer:
            raise MalformedInstance("An item reaches past the end of its sequence.")
        self._open.append(frame)

    def _close(self) -> bytes:
        kind = self._open.pop().kind
        return _head(_ITEM_END if kind is _Kind.ITEM else _SEQUENCE_END) + b"\0\0\0\0"

    def _end(self, length: int) -> int | None:
        return None if length == _UNDEFINED else self._source.at + length

    def _defined(self, length: int) -> int:
        if length == _UNDEFINED:
            raise MalformedInstance("A fragment or a group length has undefined length.")
        return length


def _turned(pieces: Iterable[bytes], unit: int) -> Iterator[bytes]:
    """Turn each number of `unit` bytes round; one may lie across two pieces."""
    carry = b""
    for piece in pieces:
        data = carry + piece if carry else piece
        whole = len(data) - len(data) % unit
        carry = data[whole:]
        words = array(_CODES[unit], data[:whole])
        words.byteswap()
        yield words.tobytes()
    yield carry  # less than a number: the sender's mistake, kept as it came


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join headers and small values to chunks worth sending."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _OUT:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


@lru_cache(maxsize=16384)
def _head(tag: int) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def _explicit_head(tag: int, vr: str, length: int) -> bytes:
    if vr in _SHORT and length <= 0xFFFE:
        return _head(tag) + vr.encode("ascii") + struct.pack("<H", length)
    # PS3.5 6.2.2: a value too long for its VR's length field goes as UN
    kind = "UN" if vr in _SHORT else vr
    return _head(tag) + kind.encode("ascii") + b"\0\0" + struct.pack("<I", length)


@lru_cache(maxsize=16384)
def _implicit_vr(tag: int, signed: bool) -> str:
    """Give the VR an element of Implicit VR Little Endian has (PS3.5 A.1, 7.8.1)."""
    group, element = tag >> 16, tag & 0xFFFF
    if group & 1:
        return "LO" if 0x0010 <= element <= 0x00FF else "UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    if vr == "US or SS":
        return "SS" if signed else "US"
    return "OW" if "OW" in vr else vr if len(vr) == 2 else "UN"
