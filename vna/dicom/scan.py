"""The scanner: a data set goes by once, in any pieces, and leaves what the archive wants to know.

It writes the instance's DICOM JSON as it goes, keeps the indexed attributes, notes where bulk
values and frames lie, and holds nothing that is large. It reads what real modalities send: wrong
VRs and lengths, mixed encodings, missing delimiters. It refuses only what cannot be followed.

    top     data set                 elements, each turned into one JSON member
            sequence > item > ...    Levels, a stack; sequences and data sets alternate
            encapsulated value       a Capsule: fragments
            skip                     so many bytes are passed unread

Small elements in a row are handled by one tight loop (`_members`); everything else goes through
`_element`, one at a time, and must come to the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from vna.config import Limits
from vna.dicom import elements as el
from vna.dicom import layout, uids
from vna.dicom.attributes import ALL_INDEXED
from vna.dicom.deflate import Inflater
from vna.dicom.encapsulated import Capsule, unsigned
from vna.dicom.frames import FrameTable
from vna.dicom.headers import Header, read_header
from vna.dicom.jsonmodel import Reading, by_uri, head_of
from vna.dicom.levels import ENDLESS, Level, path_of
from vna.dicom.pieces import Pieces
from vna.errors import MalformedInstance, TooLarge

Buffer = bytes | bytearray | memoryview
_WINDOW = 32 << 10
_MOST_BULK = 100_000
_STUDY = b'"0020000D"'


@dataclass(frozen=True, slots=True)
class Bulk:
    """A value that is fetched by its own URI, `bulkdata/` + path, and where it lies."""

    path: str
    vr: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was learnt of a data set. All offsets are its own; of the inflated one if deflated.

    `attributes` holds the DICOM JSON of the indexed attributes only. `bulk` does not repeat
    `pixel`, the top-level Pixel Data, whose length ends before the delimiter when encapsulated.
    """

    sop_class: str | None
    sop_instance: str | None
    study: str | None
    series: str | None
    attributes: dict[str, Any]  # values of the DICOM JSON Model
    bulk: tuple[Bulk, ...]
    pixel: Bulk | None
    frames: FrameTable | None
    charset: str
    flags: frozenset[str]
    length: int


class Scanner:
    """Reads one data set. `json` is given the whole DICOM JSON object, in pieces, in order."""

    def __init__(
        self, transfer_syntax: str, limits: Limits, *, json: Callable[[bytes], None]
    ) -> None:
        self.study: str | None = None
        """Study Instance UID as soon as it was met; empty once its place has gone by without it."""
        self._limits = limits
        self._syntax = uids.transfer_syntax(transfer_syntax)
        explicit = self._syntax is None or self._syntax.explicit
        little = self._syntax is None or self._syntax.little
        deflated = self._syntax is not None and self._syntax.deflated
        self._inflater = Inflater(limits) if deflated else None
        self._flags: set[str] = set()
        self._pieces = Pieces(json)
        self._top = Level(
            encoding=el.encoding(explicit, little),
            reading=Reading("", self._flags),
            end=ENDLESS,
            start=0,
        )
        self._top.unsure = True
        self._levels = [self._top]
        self._level = self._top
        self._carry = bytearray()
        self._need = 1
        self._at = 0  # offset of the first byte that is not dealt with
        self._base = 0  # offset of the window's first byte
        self._skip = 0
        self._capsule: Capsule | None = None
        self._is_padding = False
        self._left = limits.elements
        self._received = 0
        self._kept: list[bytes] = []
        self._bulk: list[Bulk] = []
        self._pixel: Bulk | None = None
        self._fragments: layout.Fragments | None = None
        self._extended: dict[int, Any] = {}  # arrays of the Extended Offset Table
        self._charset = ""

    # -- bytes in ------------------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """Take the next bytes. Raises `MalformedInstance`, `TooLarge`."""
        self._received += len(data)
        if self._received > self._limits.object_bytes:
            raise TooLarge(f"The object has more than {self._limits.object_bytes} bytes.")
        if self._inflater is None:
            self._take(data)
        else:
            for piece in self._inflater.feed(data):
                self._take(piece)
        if self.study is None and self._top.last >= el.STUDY:
            self._look_for_study()

    def _look_for_study(self) -> None:
        found = next((piece for piece in self._kept if piece.startswith(_STUDY)), None)
        if found is not None:
            self.study = _uid(orjson.loads(b"{%b}" % found[:-1]), "0020000D") or ""
        elif self._top.last > el.STUDY:
            self.study = ""

    def _take(self, data: Buffer) -> None:
        pos, size = 0, len(data)
        while pos < size:
            if self._skip:
                step = self._pass(data, pos, size)
                self._at += step
                pos += step
            elif self._carry or type(data) is not bytes:
                step = max(self._need - len(self._carry), _WINDOW)
                self._carry += data[pos : pos + step]
                pos += step
                if len(self._carry) < self._need:
                    return
                window = bytes(self._carry)
                self._carry.clear()
                self._parse(window, 0)
            else:
                self._parse(data, pos)
                return

    def _pass(self, data: Buffer, pos: int, end: int) -> int:
        """Let bytes that are skipped go by; how many there were."""
        step = min(self._skip, end - pos)
        if self._capsule is not None:
            self._capsule.passing(data, pos, pos + step)
        self._skip -= step
        return step

    def _parse(self, window: bytes, pos: int) -> None:
        """Follow the structure as far as the window reaches; the rest is carried over."""
        self._base = self._at - pos
        end = len(window)
        while True:
            if self._skip:
                pos += self._pass(window, pos, end)
                if self._skip:
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
                self._need = -step
                break
            pos = step
        self._at = self._base + pos
        if pos < end:
            self._carry += window[pos:]

    # -- elements ------------------------------------------------------------------------------

    def _members(self, window: bytes, pos: int, level: Level) -> int:
        """Turn small elements into JSON until one wants more thought; where that one begins."""
        if level.unsure:
            return pos
        encoding, reading, last = level.encoding, level.reading, level.last
        stop = min(len(window), level.end - self._base)
        key_size, short, long = encoding.key_size, encoding.short, encoding.long
        known, held = encoding.entries.get, self._pieces.held
        before, keeps = len(held), level is self._top
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
                self._kept.append(piece)
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
        header = read_header(window, pos, level.encoding, self._flags)
        if isinstance(header, int):
            return -header
        if header.tag >> 16 == 0xFFFE:
            return self._delimiter(header, pos, level)
        start = pos + header.size
        if header.length == el.UNDEFINED:
            return self._undefined(header, start, level)
        if self._base + start + header.length > level.end:
            return self._broken(pos)
        if el.is_aside(header.tag):
            return self._aside(header, start, level)
        vr = el.settled_vr(header.vr, signed=level.signed, single_lut=level.single_lut)
        if vr == "SQ" and header.length:
            return self._open(header, start, level, self._base + start + header.length)
        if self._goes_by_uri(header, vr, level):
            return self._by_uri(header, vr, start, level)
        if len(window) - start < header.length:
            return -(header.size + header.length)
        self._inline(window, pos, header, vr, level)
        return start + header.length

    def _make_sure(self, first: bytes, level: Level) -> None:
        """Find out how this data set is really encoded, from its first element."""
        found = el.sniff(first, level.encoding)
        if found is not level.encoding and level is self._top:
            self._flags.add("other-encoding")
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
        if level is self._top and tag in el.KEPT:
            self._kept.append(piece)

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
            level.reading = Reading(name, self._flags)
            if level is self._top:
                self._charset = name
        elif tag == el.PIXEL_SIGN:
            level.signed = raw[:2] in (b"\x01\0", b"\0\x01")
        elif tag == el.LUT_DESCRIPTOR:
            level.single_lut = raw[:2] == (b"\x01\0" if level.encoding.little else b"\0\x01")
        elif level is self._top:
            self._extended[tag] = unsigned("Q", raw[: len(raw) // 8 * 8])

    def _aside(self, header: Header, start: int, level: Level) -> int:
        """Pass over what is no attribute: group lengths, padding of zeros, a stray group 2."""
        self._count()
        if header.tag == 0 and level is self._top:
            self._is_padding = True
            return start
        self._skip = header.length
        return start

    def _require_padding(self, rest: bytes) -> None:
        if rest.strip(b"\0"):
            raise MalformedInstance("The data set goes on behind its end.")
        self._flags.add("trailing-bytes")

    # -- bulk values ---------------------------------------------------------------------------

    def _goes_by_uri(self, header: Header, vr: str, level: Level) -> bool:
        tag, length = header.tag, header.length
        if level is self._top:
            if tag in el.PIXEL_DATA:
                return length > 0
            if tag in (el.EXTENDED_OFFSETS, el.EXTENDED_LENGTHS):
                return length > 8 * self._limits.elements
        return length > el.most_inline(vr)

    def _by_uri(self, header: Header, vr: str, start: int, level: Level) -> int:
        """Pass over a bulk value, leaving where it is to be found."""
        if vr not in el.BY_URI_VRS:
            vr = "UN"
            self._flags.add("bad-value")
        path = path_of(self._levels, header.tag)
        self._add(header.tag, by_uri(head_of(header.tag, vr), path), level)
        self._found(Bulk(path, vr, self._base + start, header.length), header.tag, level)
        self._skip = header.length
        return start

    def _found(self, bulk: Bulk, tag: int, level: Level) -> None:
        if level is self._top and tag in el.PIXEL_DATA and self._pixel is None:
            self._pixel = bulk
            return
        if len(self._bulk) >= _MOST_BULK:
            raise TooLarge(f"The data set has more than {_MOST_BULK} bulk values.")
        self._bulk.append(bulk)

    def _undefined(self, header: Header, start: int, level: Level) -> int:
        """Enter a value of undefined length: a sequence, or encapsulated data."""
        vr = el.settled_vr(header.vr, signed=False, single_lut=False)
        if vr in ("SQ", "UN") or vr not in el.BINARY_VRS:
            return self._open(header, start, level, ENDLESS)
        vr = "OB" if header.tag in el.PIXEL_DATA else vr
        path = path_of(self._levels, header.tag)
        wanted = level is self._top and header.tag in el.PIXEL_DATA and self._fragments is None
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
        self._skip, capsule.skip = capsule.skip, 0
        if capsule.is_done:
            length = self._base + pos - capsule.offset
            bulk = Bulk(capsule.path, capsule.vr, capsule.offset, length)
            self._found(bulk, capsule.tag, self._level)
            if capsule.fragments is not None:
                self._fragments = capsule.fragments
            self._capsule = None
        return step

    # -- sequences -----------------------------------------------------------------------------

    def _open(self, header: Header, start: int, level: Level, end: int) -> int:
        """Enter a sequence."""
        if len(self._levels) // 2 >= self._limits.nesting:
            raise TooLarge(f"Sequences are nested more than {self._limits.nesting} deep.")
        self._count()
        self._ordered(header.tag, level)
        if level is self._top and header.tag in el.KEPT:
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
        group, element = sequence.encoding.tag.unpack_from(window, pos)
        length = sequence.encoding.long.unpack_from(window, pos + 4)[0]
        tag = group << 16 | element
        if tag == el.ITEM:
            end = ENDLESS if length == el.UNDEFINED else self._base + pos + 8 + length
            if end != ENDLESS and end > sequence.end:
                self._flags.add("item-length")
                end = sequence.end
            self._count()
            item = sequence.item(end, self._pieces.next)
            self._pieces.add(b"{")
            self._levels.append(item)
            self._level = item
        elif tag == el.SEQUENCE_END:
            if sequence.end != ENDLESS:
                self._skip = max(0, sequence.end - (self._base + pos + 8))
            self._close()
        elif tag == el.ITEM_END:
            self._flags.add("stray-delimiter")
        else:
            return self._broken(pos)
        return pos + 8

    def _delimiter(self, header: Header, pos: int, level: Level) -> int:
        """A delimiter among elements: the end of the item, said rightly or for want of it."""
        if level is self._top:
            if header.tag == el.ITEM:
                return self._broken(pos)
            self._flags.add("stray-delimiter")
            return pos + 8
        if header.tag == el.ITEM_END and level.end != ENDLESS:
            self._skip = max(0, level.end - (self._base + pos + 8))
        self._close()
        return pos + 8 if header.tag == el.ITEM_END else pos

    def _close(self) -> None:
        """Leave the innermost item or sequence."""
        level = self._levels.pop()
        self._level = self._levels[-1]
        if level.is_sequence:
            self._pieces.close_sequence(is_empty=not level.items)
            if self._level is self._top and level.tag in el.KEPT:
                captured = self._pieces.captured()
                if captured is not None:
                    self._kept.append(captured)
            return
        self._pieces.close_item()
        if level.disordered and not self._pieces.sort(level.start):
            self._flags.add("out-of-order")

    def _broken(self, pos: int) -> int:
        """Give up the innermost sequence of known length, which does not hold what it says.

        It is kept as UN where its JSON can still be taken back. Without such a sequence around it
        nothing behind this place can be trusted. Raises `MalformedInstance`.
        """
        index = next(
            (
                i
                for i in range(len(self._levels) - 1, 0, -1)
                if self._levels[i].is_sequence and self._levels[i].end != ENDLESS
            ),
            0,
        )
        if not index:
            raise MalformedInstance("The elements of the data set cannot be followed.")
        self._flags.add("broken-sequence")
        sequence = self._levels[index]
        self._skip = sequence.end - (self._base + pos)
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
        self._bulk = [b for b in self._bulk if not sequence.value_at <= b.offset < sequence.end]
        self._found(Bulk(path, "UN", sequence.value_at, length), sequence.tag, self._level)
        return pos

    # -- the end -------------------------------------------------------------------------------

    def finish(self) -> Scan:
        """Say what was learnt. Raises `MalformedInstance` when the data set was cut off."""
        if self._inflater is not None:
            self._inflater.finish()
            if self._inflater.trailing:
                self._flags.add("trailing-bytes")
        if not self._at and not self._carry:
            raise MalformedInstance("The data set is empty.")
        if self._skip or self._capsule is not None or self._level is not self._top:
            raise MalformedInstance("The data set is cut off.")
        if self._carry:
            if self._carry.strip(b"\0"):
                raise MalformedInstance("The data set is cut off.")
            self._flags.add("trailing-bytes")
        self._pieces.close_item()
        if self._top.disordered and not self._pieces.sort(0):
            self._flags.add("out-of-order")
        self._pieces.finish()
        return self._scan()

    def _scan(self) -> Scan:
        if self._pieces.dropped:
            self._flags.add("index-dropped")
        attributes: dict[str, Any] = orjson.loads(b"{%b}" % b"".join(self._kept)[:-1])
        frames = self._frames(attributes)
        for tag in attributes.keys() - ALL_INDEXED.keys():
            del attributes[tag]
        return Scan(
            sop_class=_uid(attributes, "00080016"),
            sop_instance=_uid(attributes, "00080018"),
            study=_uid(attributes, "0020000D"),
            series=_uid(attributes, "0020000E"),
            attributes=attributes,
            bulk=tuple(self._bulk),
            pixel=self._pixel,
            frames=frames,
            charset=self._charset,
            flags=frozenset(self._flags),
            length=self._received,
        )

    def _frames(self, attributes: dict[str, Any]) -> FrameTable | None:
        pixel = self._pixel
        if pixel is None:
            return None
        count = max(1, layout.number(attributes, "00280008") or 1)
        if self._fragments is not None:
            self._fragments.extended = self._extended.get(el.EXTENDED_OFFSETS, ())
            self._fragments.extended_lengths = self._extended.get(el.EXTENDED_LENGTHS, ())
            table, flag = layout.encapsulated(self._fragments, count, self._syntax)
        elif self._syntax is not None and self._syntax.encapsulated:
            table, flag = None, "frames-unknown"
        else:
            tag = int(pixel.path, 16)
            table, flag = layout.native(tag, pixel.offset, pixel.length, count, attributes)
        if flag is not None:
            self._flags.add(flag)
        return table


def _uid(attributes: dict[str, Any], tag: str) -> str | None:
    value = layout.first(attributes, tag)
    return value.strip(" \0") if isinstance(value, str) else None
