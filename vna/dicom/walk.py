"""Walking through a data set's structure: elements, sequences, encapsulated values.

    top     data set                 elements, each turned into one JSON member
            sequence > item > ...    Levels, a stack; sequences and data sets alternate
            encapsulated value       a Capsule: fragments
            skip                     so many bytes are passed unread

Small elements in a row are handled by one tight loop (`_members`); everything else goes through
`_element`, one at a time, and must come to the same results. What is done never depends on where
the windows were cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vna.config import Limits
from vna.dicom import elements as el
from vna.dicom.encapsulated import Capsule, unsigned
from vna.dicom.headers import Header, read_header
from vna.dicom.jsonmodel import Reading, by_uri, head_of
from vna.dicom.layout import Fragments
from vna.dicom.levels import ENDLESS, Level, path_of
from vna.dicom.pieces import Pieces
from vna.errors import MalformedInstance, TooLarge

Buffer = bytes | bytearray | memoryview
_MOST_BULK = 100_000


@dataclass(frozen=True, slots=True)
class Bulk:
    """A value that is fetched by its own URI, `bulkdata/` + path, and where it lies."""

    path: str
    vr: str
    offset: int
    length: int


class Walker:
    """Follows one data set through windows of its bytes, and notes what was met on the way."""

    def __init__(
        self, encoding: el.Encoding, limits: Limits, *, json: Callable[[bytes], None]
    ) -> None:
        self.flags: set[str] = set()
        self.kept: list[bytes] = []  # the JSON members of what the index wants
        self.bulk: list[Bulk] = []
        self.pixel: Bulk | None = None
        self.fragments: Fragments | None = None
        self.extended: dict[int, Any] = {}  # arrays of the Extended Offset Table
        self.charset = ""
        self.at = 0  # offset of the first byte that is not dealt with
        self.skip = 0  # bytes to be passed by before the next window
        self.need = 1
        self.top = Level(encoding=encoding, reading=Reading("", self.flags), end=ENDLESS, start=0)
        self.top.unsure = True
        self._limits = limits
        self._pieces = Pieces(json)
        self._levels = [self.top]
        self._level = self.top
        self._base = 0  # offset of the window's first byte
        self._capsule: Capsule | None = None
        self._is_padding = False
        self._left = limits.elements

    def pass_by(self, data: Buffer, pos: int, end: int) -> int:
        """Let bytes that are to be skipped go by: how many of data[pos:end] there were."""
        step = min(self.skip, end - pos)
        if self._capsule is not None:
            self._capsule.passing(data, pos, pos + step)
        self.skip -= step
        return step

    def walk(self, window: bytes, pos: int) -> int:
        """Follow the structure from `pos` as far as the window reaches.

        Where it stopped: from there on at least `need` bytes must be in the next window. Raises
        `MalformedInstance`, `TooLarge`.
        """
        self._base = self.at - pos
        self.need = 1
        end = len(window)
        while True:
            if self.skip:
                pos += self.pass_by(window, pos, end)
                if self.skip:
                    break
            while self._level.end <= self._base + pos:
                self._close()
            level = self._level
            if self._is_padding:
                self._require_padding(window[pos:])
                pos = end
                break
            if self._capsule is not None:
                step = self._fragment(self._capsule, window, pos)
            elif level.is_sequence:
                step = self._item(window, pos)
            else:
                pos = self._members(window, pos, level)
                if level.end <= self._base + pos:
                    continue
                step = self._element(window, pos, level)
            if step < 0:
                self.need = -step
                break
            pos = step
        self.at = self._base + pos
        return pos

    # -- elements ------------------------------------------------------------------------------

    def _members(self, window: bytes, pos: int, level: Level) -> int:
        """Turn small elements into JSON until one wants more thought; where that one begins."""
        if level.unsure:
            return pos
        encoding, reading, last = level.encoding, level.reading, level.last
        stop = min(len(window), level.end - self._base)
        key_size, short, long = encoding.key_size, encoding.short, encoding.long
        known, held = encoding.entries.get, self._pieces.held
        before, keeps = len(held), level is self.top
        for _ in range(min(self._left, self._pieces.room)):
            entry = known(window[pos : pos + key_size])
            if entry is None or pos + 12 > stop:
                break
            tag, form, head, most, wide, kept = entry
            if wide:
                length = long.unpack_from(window, pos + 8)[0]
                start = pos + 12
            else:
                length = short.unpack_from(window, pos + key_size)[0]
                start = pos + 8
            after = start + length
            if length > most or after > stop or tag <= last:
                break
            piece = form(head, window[start:after], reading)
            held.append(piece)
            if kept and keeps:
                self.kept.append(piece)
            last = tag
            pos = after
        level.last = last
        self._left -= len(held) - before
        if not self._pieces.room:
            self._pieces.relieve()
        return pos

    def _element(self, window: bytes, pos: int, level: Level) -> int:
        """Deal with one element of any kind: where the next one is, or -bytes needed from `pos`."""
        if level.unsure:
            if len(window) - pos < 8:
                return -8
            self._make_sure(window[pos : pos + 8], level)
        if level.end - (self._base + pos) < 8:
            return self._broken(pos)
        header = read_header(window, pos, level.encoding, self.flags)
        if isinstance(header, int):
            return -header
        if header.tag >> 16 == 0xFFFE:
            return self._delimiter(header, pos, level)
        start = pos + header.size
        length = 0 if header.length == el.UNDEFINED else header.length
        if self._base + start + length > level.end:
            return self._broken(pos)
        if header.length == el.UNDEFINED:
            return self._undefined(header, start, level)
        if el.is_aside(header.tag):
            return self._aside(header, start, level)
        vr = el.settled_vr(header.vr, signed=level.signed, single_lut=level.single_lut)
        if vr == "SQ" and header.length:
            return self._open(header, start, level, self._base + start + header.length)
        if self._goes_by_uri(header, vr, level):
            return self._by_uri(window, header, vr, start, level)
        if len(window) - start < header.length:
            return -(header.size + header.length)
        self._inline(window, pos, header, vr, level)
        return start + header.length

    def _make_sure(self, first: bytes, level: Level) -> None:
        """Find out how this data set is really encoded, from its first element."""
        found = el.sniff(first, level.encoding)
        if found is not level.encoding and level is self.top:
            self.flags.add("other-encoding")
        level.encoding = found
        level.unsure = False

    def _inline(self, window: bytes, pos: int, header: Header, vr: str, level: Level) -> None:
        """Form the JSON of an element whose value is at hand."""
        tag, start = header.tag, pos + header.size
        raw = window[start : start + header.length]
        encoding = level.encoding
        if header.vr == vr and (header.written or not encoding.explicit):
            key = window[pos : pos + encoding.key_size]
            if key not in encoding.entries and header.written in (vr, ""):
                encoding.learn(key, tag, vr, header.written)
        form = encoding.entry(tag, vr, header.written)[1]
        piece = form(head_of(tag, vr), raw, level.reading)
        if tag in el.SPECIAL:
            self._note(tag, raw, level)
        self._add(tag, piece, level)

    def _add(self, tag: int, piece: bytes, level: Level) -> None:
        """Append an element's JSON, and keep it for the index if it belongs there."""
        self._count()
        self._ordered(tag, level)
        self._pieces.add(piece)
        if level is self.top and tag in el.KEPT:
            self.kept.append(piece)

    def _ordered(self, tag: int, level: Level) -> None:
        if tag <= level.last:
            level.disordered = True
        level.last = tag

    def _count(self) -> None:
        if self._left <= 0:
            raise TooLarge(f"The data set has more than {self._limits.elements} elements.")
        self._left -= 1

    def _note(self, tag: int, raw: bytes, level: Level) -> None:
        """Look at an element that changes how others are read, or ends somebody's wait."""
        if tag == el.CHARSET:
            name = raw.decode("latin_1").strip(" \0")
            level.reading = Reading(name, self.flags)
            if level is self.top:
                self.charset = name
        elif tag == el.PIXEL_SIGN:
            level.signed = raw[:2] in (b"\x01\0", b"\0\x01")
        elif tag == el.LUT_DESCRIPTOR:
            level.single_lut = raw[:2] == (b"\x01\0" if level.encoding.little else b"\0\x01")
        elif level is self.top:
            self.extended[tag] = unsigned("Q", raw[: len(raw) // 8 * 8])

    def _aside(self, header: Header, start: int, level: Level) -> int:
        """Pass over what is no attribute: group lengths, padding of zeros, a stray group 2."""
        self._count()
        if header.tag == 0 and level is self.top:
            self._is_padding = True
            return start
        self.skip = header.length
        return start

    def _require_padding(self, rest: bytes) -> None:
        if rest.strip(b"\0"):
            raise MalformedInstance("The data set goes on behind its end.")
        self.flags.add("trailing-bytes")

    # -- bulk values ---------------------------------------------------------------------------

    def _goes_by_uri(self, header: Header, vr: str, level: Level) -> bool:
        if level is self.top and header.tag in el.PIXEL_DATA:
            return header.length > 0
        return header.length > el.most_inline(vr)

    def _is_offset_table(self, header: Header, level: Level) -> bool:
        """Whether this is the Extended Offset Table, and of a size that may be held."""
        is_table = header.tag in (el.EXTENDED_OFFSETS, el.EXTENDED_LENGTHS)
        return is_table and level is self.top and header.length <= 8 * self._limits.elements

    def _by_uri(self, window: bytes, header: Header, vr: str, start: int, level: Level) -> int:
        """Pass over a bulk value, leaving where it is to be found."""
        if vr not in el.BY_URI_VRS:
            vr = "UN"
            self.flags.add("bad-value")
        if self._is_offset_table(header, level):
            raw = window[start : start + header.length]
            if len(raw) < header.length:
                return -(header.size + header.length)
            self._note(header.tag, raw, level)
        path = path_of(self._levels, header.tag)
        self._add(header.tag, by_uri(head_of(header.tag, vr), path), level)
        self._found(Bulk(path, vr, self._base + start, header.length), header.tag, level)
        self.skip = header.length
        return start

    def _found(self, bulk: Bulk, tag: int, level: Level) -> None:
        if level is self.top and tag in el.PIXEL_DATA and self.pixel is None:
            self.pixel = bulk
            return
        if len(self.bulk) >= _MOST_BULK:
            raise TooLarge(f"The data set has more than {_MOST_BULK} bulk values.")
        self.bulk.append(bulk)

    def _undefined(self, header: Header, start: int, level: Level) -> int:
        """Enter a value of undefined length: a sequence, or encapsulated data."""
        vr = el.settled_vr(header.vr, signed=False, single_lut=False)
        if vr in ("SQ", "UN") or vr not in el.BINARY_VRS:
            return self._open(header, start, level, ENDLESS)
        vr = "OB" if header.tag in el.PIXEL_DATA else vr
        path = path_of(self._levels, header.tag)
        wanted = level is self.top and header.tag in el.PIXEL_DATA and self.fragments is None
        self._add(header.tag, by_uri(head_of(header.tag, vr), path), level)
        self._capsule = Capsule(
            tag=header.tag,
            vr=vr,
            path=path,
            offset=self._base + start,
            most=self._limits.elements,
            wanted=wanted,
        )
        return start

    def _fragment(self, capsule: Capsule, window: bytes, pos: int) -> int:
        """Follow encapsulated data from one item to the next."""
        step = capsule.step(window, pos, self._base + pos, self._level.encoding)
        if step < 0:
            return step
        self._count()
        if self._base + step + capsule.skip > self._level.end:
            self._capsule = None
            return self._broken(pos)
        self.skip, capsule.skip = capsule.skip, 0
        if capsule.is_done:
            length = self._base + pos - capsule.offset
            bulk = Bulk(capsule.path, capsule.vr, capsule.offset, length)
            self._found(bulk, capsule.tag, self._level)
            if capsule.fragments is not None:
                self.fragments = capsule.fragments
            self._capsule = None
        return step

    # -- sequences -----------------------------------------------------------------------------

    def _open(self, header: Header, start: int, level: Level, end: int) -> int:
        """Enter a sequence."""
        if len(self._levels) // 2 >= self._limits.nesting:
            raise TooLarge(f"Sequences are nested more than {self._limits.nesting} deep.")
        self._count()
        self._ordered(header.tag, level)
        if level is self.top and header.tag in el.KEPT:
            self._pieces.capture()
        as_unknown = header.written == "UN"
        sequence = level.sequence(
            header.tag,
            el.IMPLICIT_LITTLE if as_unknown else level.encoding,
            self._base + start,
            end,
            self._pieces.next,
        )
        # what stands in UN is implicit VR by the standard and explicit VR by some senders
        sequence.unsure = as_unknown
        self._pieces.add(head_of(header.tag, "SQ"))
        self._levels.append(sequence)
        self._level = sequence
        return start

    def _item(self, window: bytes, pos: int) -> int:
        """Enter the next item of a sequence, or leave the sequence."""
        if len(window) - pos < 8:
            return -8
        sequence = self._level
        if sequence.end - (self._base + pos) < 8:
            return self._broken(pos)
        group, element = sequence.encoding.tag.unpack_from(window, pos)
        length = sequence.encoding.long.unpack_from(window, pos + 4)[0]
        tag = group << 16 | element
        if tag == el.ITEM:
            end = ENDLESS if length == el.UNDEFINED else self._base + pos + 8 + length
            if end != ENDLESS and end > sequence.end:
                self.flags.add("item-length")
            self._count()
            item = sequence.item(end, self._pieces.next)
            self._pieces.add(b"{")
            self._levels.append(item)
            self._level = item
        elif tag == el.SEQUENCE_END:
            if sequence.is_sized:
                self.skip = max(0, sequence.end - (self._base + pos + 8))
            self._close()
        elif tag == el.ITEM_END:
            self.flags.add("stray-delimiter")
        else:
            return self._broken(pos)
        return pos + 8

    def _delimiter(self, header: Header, pos: int, level: Level) -> int:
        """A delimiter among elements: the end of the item, said rightly or for want of it."""
        if level is self.top:
            if header.tag == el.ITEM:
                return self._broken(pos)
            self.flags.add("stray-delimiter")
            return pos + 8
        if header.tag == el.ITEM_END and level.is_sized:
            self.skip = max(0, level.end - (self._base + pos + 8))
        self._close()
        return pos + 8 if header.tag == el.ITEM_END else pos

    def _close(self) -> None:
        """Leave the innermost item or sequence."""
        level = self._levels.pop()
        self._level = self._levels[-1]
        if level.is_sequence:
            self._pieces.close_sequence(is_empty=not level.items)
            if self._level is self.top and level.tag in el.KEPT:
                captured = self._pieces.captured()
                if captured is not None:
                    self.kept.append(captured)
            return
        self._pieces.close_item()
        if level.disordered and not self._pieces.sort(level.start):
            self.flags.add("out-of-order")

    def _broken(self, pos: int) -> int:
        """Give up the innermost sequence of known length, which does not hold what it says.

        It is kept as UN where its JSON can still be taken back. Without such a sequence around it
        nothing behind this place can be trusted. Raises `MalformedInstance`.
        """
        index = next(
            (
                i
                for i in range(len(self._levels) - 1, 0, -1)
                if self._levels[i].is_sequence and self._levels[i].is_sized
            ),
            0,
        )
        if not index:
            raise MalformedInstance("The elements of the data set cannot be followed.")
        self.flags.add("broken-sequence")
        sequence = self._levels[index]
        self.skip = sequence.end - (self._base + pos)
        if not self._pieces.is_held(sequence.start):
            while self._level is not sequence:
                self._close()
            self._close()
            return pos
        del self._levels[index:]
        self._level = self._levels[-1]
        self._pieces.take_back(sequence.start)
        self._pieces.captured()
        path = path_of(self._levels, sequence.tag)
        self._pieces.add(by_uri(head_of(sequence.tag, "UN"), path))
        length = sequence.end - sequence.value_at
        self.bulk = [b for b in self.bulk if not sequence.value_at <= b.offset < sequence.end]
        self._found(Bulk(path, "UN", sequence.value_at, length), sequence.tag, self._level)
        return pos

    # -- the end -------------------------------------------------------------------------------

    def finish(self, rest: bytes) -> None:
        """End the data set, `rest` being what no window could be made of.

        Raises `MalformedInstance` when it was cut off.
        """
        if not self.at and not rest:
            raise MalformedInstance("The data set is empty.")
        while not self.skip and self._level.end <= self.at:
            self._close()
        is_whole = not self.skip and self._capsule is None and self._level is self.top
        if not is_whole or rest.strip(b"\0"):
            raise MalformedInstance("The data set is cut off.")
        if rest:
            self.flags.add("trailing-bytes")
        self._pieces.close_item()
        if self.top.disordered and not self._pieces.sort(0):
            self.flags.add("out-of-order")
        self._pieces.finish()
        if self._pieces.dropped:
            self.flags.add("index-dropped")
