"""Rewrite a data set as Explicit or Implicit VR Little Endian while it streams (PS3.5 A.1 to A.5).

From Explicit and Implicit VR Little Endian, Explicit VR Big Endian and Deflated Explicit VR Little
Endian.
Memory is constant: headers are read one by one, values pass through in pieces, and sequences and
items get undefined length because theirs would only be known at their end. Group lengths go.

Headers are read as the scanner reads them, so that what could be stored can be rewritten: an
encoding other than the declared one, implicit VR amid explicit, delimiters too many or too few.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from vna.config import Limits
from vna.dicom import elements as el
from vna.dicom.deflate import Inflater
from vna.dicom.headers import Header, read_header
from vna.dicom.passing import Source, gathered, turned
from vna.dicom.uids import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_BIG_PRIVATE,
    IMPLICIT_LITTLE,
)
from vna.errors import MalformedInstance, TooLarge, UnsupportedMedia

REWRITTEN = frozenset((IMPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG, IMPLICIT_BIG_PRIVATE))

DECLARED = {
    IMPLICIT_LITTLE: el.IMPLICIT_LITTLE,
    EXPLICIT_BIG: el.EXPLICIT_BIG,
    IMPLICIT_BIG_PRIVATE: el.IMPLICIT_BIG,
}

_PIXEL_DATA, _BITS_ALLOCATED = 0x7FE00010, 0x00280100
_ONE_OFFSET = 4  # bytes of a Basic Offset Table of one frame, which begins at 0 in any case
_OFFSETS = frozenset((el.EXTENDED_OFFSETS, el.EXTENDED_LENGTHS))
_NO_LENGTH = b"\xff\xff\xff\xff"
_LONGEST_HEADER = 14  # what `read_header` looks at, at the most
_LONGEST_SHORT = 0xFFFE

# Bytes of one number of a VR, for those that turn round
_UNITS = dict.fromkeys(("AT", "OW", "SS", "US"), 2)
_UNITS |= dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4)
_UNITS |= dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)

# VRs whose values are padded with a space (PS3.5 6.2); UI and all others are with a NULL
_SPACED = frozenset(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT"),
        *("PN", "SH", "ST", "TM", "UC", "UR", "UT"),
    )
)


def to_explicit_little(
    chunks: Iterable[bytes], transfer_syntax: str, limits: Limits
) -> Iterator[bytes]:
    """Yield the data set as Explicit VR Little Endian.

    Raises `MalformedInstance` where the bytes stop making sense, `TooLarge` past a limit.
    """
    if transfer_syntax == EXPLICIT_LITTLE:
        return iter(chunks)
    if transfer_syntax == DEFLATED:
        return inflate(chunks, limits)
    if transfer_syntax not in REWRITTEN:
        raise UnsupportedMedia(f"{transfer_syntax} cannot be rewritten as {EXPLICIT_LITTLE}.")
    declared = DECLARED[transfer_syntax]
    return gathered(Rewriter(Source(chunks), declared, limits).pieces())


def to_implicit_little(
    chunks: Iterable[bytes], transfer_syntax: str, limits: Limits
) -> Iterator[bytes]:
    """Yield the data set as Implicit VR Little Endian, which is what every AE reads (PS3.5 10.1).

    Raises `MalformedInstance` where the bytes stop making sense, `TooLarge` past a limit.
    """
    if transfer_syntax == IMPLICIT_LITTLE:
        return iter(chunks)
    if transfer_syntax == DEFLATED:
        chunks, transfer_syntax = inflate(chunks, limits), EXPLICIT_LITTLE
    if transfer_syntax not in (EXPLICIT_LITTLE, EXPLICIT_BIG):
        raise UnsupportedMedia(f"{transfer_syntax} cannot be rewritten as {IMPLICIT_LITTLE}.")
    declared = el.EXPLICIT_BIG if transfer_syntax == EXPLICIT_BIG else el.EXPLICIT_LITTLE
    return gathered(Rewriter(Source(chunks), declared, limits, explicit=False).pieces())


def evened(chunks: Iterable[bytes], transfer_syntax: str, limits: Limits) -> Iterator[bytes]:
    """Yield a little endian data set as it is, but for values of odd length (PS3.5 7.1.1).

    They are padded as PS3.5 6.2 says; not so fragments a table of offsets speaks of. Raises as
    `to_explicit_little` does.
    """
    explicit = transfer_syntax != IMPLICIT_LITTLE
    declared = el.EXPLICIT_LITTLE if explicit else el.IMPLICIT_LITTLE
    rewriter = Rewriter(Source(chunks), declared, limits, explicit=explicit, even=True)
    return gathered(rewriter.pieces())


def edited(
    chunks: Iterable[bytes],
    transfer_syntax: str,
    limits: Limits,
    *,
    changes: Mapping[int, bytes | None],
) -> Iterator[bytes]:
    """Yield the data set up to its Pixel Data as Explicit VR Little Endian, attributes changed.

    `changes` holds attributes of the outermost level: the whole element as it is to stand, or None
    where it goes. Whatever Transfer Syntax it is: those with compressed Pixel Data are Explicit VR
    Little Endian before it. Raises as `to_explicit_little` does.
    """
    declared = DECLARED.get(transfer_syntax, el.EXPLICIT_LITTLE)
    if transfer_syntax == DEFLATED:
        chunks = inflate(chunks, limits)
    return gathered(Rewriter(Source(chunks), declared, limits, changes).pieces())


def inflate(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """Inflate a deflated data set, which is Explicit VR Little Endian inside (PS3.5 A.5)."""
    inflater = Inflater(limits)
    for chunk in chunks:
        yield from inflater.feed(chunk)
    inflater.finish()


class _Kind(enum.Enum):
    DATA_SET = enum.auto()
    SEQUENCE = enum.auto()
    ITEM = enum.auto()
    FRAGMENTS = enum.auto()


@dataclass(slots=True, eq=False)
class Frame:
    """What is open: where it ends (None: at a delimiter), and how what it holds is written."""

    kind: _Kind
    end: int | None
    encoding: el.Encoding
    unsure: bool  # the first element is to tell the encoding
    signed: bool = False  # Pixel Representation of the nearest data set that has one
    single: bool = False  # a LUT of one entry, whose data are US
    bits: int = 16  # Bits Allocated, as above
    begun: bool = False  # of fragments: the Basic Offset Table is past

    def within(self, kind: _Kind, end: int | None, *, as_unknown: bool = False) -> Frame:
        """Open a frame inside this one; inside UN all is Implicit VR Little Endian (6.2.2)."""
        encoding = el.IMPLICIT_LITTLE if as_unknown else self.encoding
        unsure = as_unknown or (self.unsure and self.kind is _Kind.SEQUENCE)
        return Frame(kind, end, encoding, unsure, self.signed, bits=self.bits)


class Rewriter:
    """Walks a data set and writes it anew; `corrected` changes what it writes."""

    def __init__(
        self,
        source: Source,
        declared: el.Encoding,
        limits: Limits,
        changes: Mapping[int, bytes | None] | None = None,
        *,
        explicit: bool = True,
        even: bool = False,
    ) -> None:
        self._source = source
        self._changes = None if changes is None else dict(changes)
        self._changed = frozenset(changes or ())
        self._explicit = explicit
        self._even = even
        self._tabled = False  # the offsets of fragments are said
        self._limits = limits
        self._elements = 0
        self._flags: set[str] = set()  # the scanner noted them when the object came
        self._open = [Frame(_Kind.DATA_SET, None, declared, unsure=True)]

    def pieces(self) -> Iterator[bytes]:
        """Write it."""
        while True:
            frame = self._open[-1]
            if frame.end is not None and self._source.at >= frame.end:
                if self._source.at > frame.end:
                    raise MalformedInstance("An element reaches past the end of its sequence.")
                yield self._close()
            elif len(self._open) == 1 and not self._source.peek(8).strip(b"\0"):
                yield from self._missing(1 << 32)
                return  # the end, or what some writers pad a file with
            elif self._is_at_pixels():
                yield from self._missing(1 << 32)
                return
            elif frame.kind in (_Kind.SEQUENCE, _Kind.FRAGMENTS):
                yield from self._item(frame)
            else:
                yield from self._element(frame)

    # -- changes ---------------------------------------------------------------------------------

    def _is_at_pixels(self) -> bool:
        """Whether what is to be changed ends here: at the Pixel Data of the outermost level."""
        if self._changes is None or len(self._open) > 1:
            return False
        return self._header(self._open[0]).tag in el.PIXEL_DATA

    def _missing(self, before: int) -> Iterator[bytes]:
        """Give the changed attributes that stand before a tag and were not there."""
        if self._changes and len(self._open) == 1:
            for tag in sorted(tag for tag in self._changes if tag < before):
                yield self._changes.pop(tag) or b""

    def _is_changed(self, tag: int, length: int) -> bool:
        # one that stands out of order or twice must not come behind what was put in its place
        return len(self._open) == 1 and length != el.UNDEFINED and tag in self._changed

    def _drop(self, _tag: int, _vr: str, length: int) -> None:
        """Pass over the value that is changed."""
        self._source.skip(length)

    # -- items -----------------------------------------------------------------------------------

    def _item(self, frame: Frame) -> Iterator[bytes]:
        """Read an item or the end of a sequence: never with a VR (PS3.5 7.5)."""
        raw = self._source.take(8)
        group, element = frame.encoding.tag.unpack_from(raw)
        length: int = frame.encoding.long.unpack_from(raw, 4)[0]
        tag = group << 16 | element
        if tag == el.SEQUENCE_END:
            yield self._ended(frame)
        elif tag == el.ITEM_END and frame.kind is _Kind.SEQUENCE:
            return  # one delimiter too many
        elif tag != el.ITEM:
            raise MalformedInstance("A sequence holds something other than items.")
        elif frame.kind is _Kind.FRAGMENTS:
            if length == el.UNDEFINED:
                raise MalformedInstance("A fragment has undefined length.")
            yield from self._fragment(frame, length)
        else:
            yield _head(el.ITEM) + _NO_LENGTH
            self._enter(frame.within(_Kind.ITEM, self._end(length)))

    def _fragment(self, frame: Frame, length: int) -> Iterator[bytes]:
        """Give a fragment (PS3.5 A.4), padded where no table says how far apart fragments are."""
        is_table, frame.begun = not frame.begun, True
        if is_table and length > _ONE_OFFSET:
            self._tabled = True
        short = length % 2 if self._even and not self._tabled else 0
        yield _head(el.ITEM) + struct.pack("<I", length + short)
        yield from self._source.pieces(length)
        if short:
            yield b"\0"

    def _delimiter(self, frame: Frame, header: Header) -> bytes:
        """A delimiter among elements: the end of the item, said rightly or for want of it."""
        if frame.kind is _Kind.DATA_SET:
            if header.tag == el.ITEM:
                raise MalformedInstance("An item stands where no sequence is open.")
            self._source.skip(8)
            return b""
        if header.tag != el.ITEM_END:
            return self._close()  # the item's own delimiter is missing; this one is dealt with next
        self._source.skip(8)
        return self._ended(frame)

    def _ended(self, frame: Frame) -> bytes:
        """Close what a delimiter ended, passing over what a length had promised beyond it."""
        if frame.end is not None:
            self._source.skip(max(0, frame.end - self._source.at))
        return self._close()

    def _enter(self, frame: Frame) -> None:
        if len(self._open) > 2 * self._limits.nesting:
            raise TooLarge(f"Sequences are nested more than {self._limits.nesting} deep.")
        outer = self._open[-1].end
        if outer is not None and frame.end is not None and frame.end > outer:
            raise MalformedInstance("An item reaches past the end of its sequence.")
        self._open.append(frame)

    def _close(self) -> bytes:
        kind = self._open.pop().kind
        return _head(el.ITEM_END if kind is _Kind.ITEM else el.SEQUENCE_END) + b"\0\0\0\0"

    def _end(self, length: int) -> int | None:
        return None if length == el.UNDEFINED else self._source.at + length

    # -- elements --------------------------------------------------------------------------------

    def _element(self, frame: Frame) -> Iterator[bytes]:
        header = self._header(frame)
        if header.tag >> 16 == 0xFFFE:
            yield self._delimiter(frame, header)
            return
        self._source.skip(header.size)
        self._elements += 1
        if self._elements > self._limits.elements:
            raise TooLarge(f"The data set has more than {self._limits.elements} elements.")
        yield from self._missing(header.tag)
        vr = el.settled_vr(header.vr, signed=frame.signed, single_lut=frame.single)
        if header.length == el.UNDEFINED or (vr == "SQ" and header.length):
            yield from self._nested(frame, header, vr)
        elif self._is_changed(header.tag, header.length):
            self._drop(header.tag, vr, header.length)
            yield from self._missing(header.tag + 1)
        elif not header.tag & 0xFFFF or header.tag >> 16 in (0x0000, 0x0002):
            # a group length is wrong as soon as one length changes; the others are no data set's
            self._source.skip(header.length)
        else:
            write = element_head if self._explicit else _implicit_head
            self._tabled |= header.tag in _OFFSETS
            short = header.length % 2 if self._even else 0
            yield write(header.tag, vr, header.length + short)
            yield from self._value(frame, header.tag, vr, header.length)
            if short:
                yield b" " if vr in _SPACED else b"\0"

    def _header(self, frame: Frame) -> Header:
        window = self._source.peek(_LONGEST_HEADER)
        if frame.unsure and len(window) >= 8:
            frame.encoding = el.sniff(window[:8], frame.encoding)
            frame.unsure = False
        header = read_header(window, 0, frame.encoding, self._flags)
        if isinstance(header, int):
            raise MalformedInstance("The data set ends in the middle of an element.")
        return header

    def _nested(self, frame: Frame, header: Header, vr: str) -> Iterator[bytes]:
        """Enter a sequence, or encapsulated data."""
        if vr in el.BINARY_VRS and vr != "UN":
            if not self._explicit:
                raise MalformedInstance("Encapsulated data cannot stand in Implicit VR.")
            kind = "OB" if header.tag in el.PIXEL_DATA else vr
            yield _head(header.tag) + kind.encode("ascii") + b"\0\0" + _NO_LENGTH
            self._enter(frame.within(_Kind.FRAGMENTS, None))
        else:
            yield _head(header.tag) + (b"SQ\0\0" if self._explicit else b"") + _NO_LENGTH
            as_unknown = header.written == "UN"
            end = self._end(header.length)
            self._enter(frame.within(_Kind.SEQUENCE, end, as_unknown=as_unknown))

    def _value(self, frame: Frame, tag: int, vr: str, length: int) -> Iterator[bytes]:
        big = not frame.encoding.little
        unit = _UNITS.get(vr, 1) if big else 1
        if unit == 2 and tag == _PIXEL_DATA and frame.bits in (32, 64):
            # PS3.5 6.2 turns OW by words of 16 bits; real files have whole pixel cells turned, and
            # that is how pydicom reads them
            unit = frame.bits // 8
        pieces = self._source.pieces(length)
        if unit > 1:
            pieces = turned(pieces, unit)
        if tag in (el.PIXEL_SIGN, el.LUT_DESCRIPTOR, _BITS_ALLOCATED) and 2 <= length <= 64:
            raw = b"".join(pieces)
            self._remember(frame, tag, int.from_bytes(raw[:2], "little"))
            yield raw
        else:
            yield from pieces

    def _remember(self, frame: Frame, tag: int, number: int) -> None:
        """Keep what decides how other elements are read."""
        if tag == el.PIXEL_SIGN:
            frame.signed = number == 1
        elif tag == el.LUT_DESCRIPTOR:
            frame.single = number == 1
        else:
            frame.bits = number


@lru_cache(maxsize=16384)
def _head(tag: int) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def element_head(tag: int, vr: str, length: int) -> bytes:
    """Write the header of an element in Explicit VR Little Endian (PS3.5 7.1.2)."""
    if vr in el.SHORT_VRS and length <= _LONGEST_SHORT:
        return _head(tag) + vr.encode("ascii") + struct.pack("<H", length)
    # PS3.5 6.2.2: a value too long for its VR's length field goes as UN
    kind = "UN" if vr in el.SHORT_VRS else vr
    return _head(tag) + kind.encode("ascii") + b"\0\0" + struct.pack("<I", length)


def _implicit_head(tag: int, _vr: str, length: int) -> bytes:
    return _head(tag) + struct.pack("<I", length)
