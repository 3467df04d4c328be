"""The scanner: a data set goes by once, in any pieces, and leaves what the archive wants to know.

It writes the instance's DICOM JSON as it goes, keeps the indexed attributes, notes where bulk
values and frames lie, and holds nothing that is large. It reads what real modalities send: wrong
VRs and lengths, mixed encodings, missing delimiters. It refuses only what cannot be followed.

What was odd is told by flags:

    bad-characters    bytes no character set explains, replaced or taken as Latin-1
    unknown-charset   a Specific Character Set nobody knows, taken as Latin-1
    bad-value         a value that is not what its VR says, given as UN
    unknown-vr        a VR nobody knows
    mixed-vr          implicit VR in the middle of explicit VR
    other-encoding    another byte order or VR encoding than was declared
    item-length       an item longer than its sequence, cut to fit
    broken-sequence   a sequence that holds something else, given as UN if its JSON was still here
    stray-delimiter   a delimiter that ends nothing
    trailing-bytes    zeros behind the data set, or bytes behind the deflated stream
    out-of-order      members of the JSON that do not ascend, in a data set too large to be sorted
    index-dropped     an indexed sequence too large to be handed to the index
    offset-table      an offset table that is wrong and was not used
    frames-count      another number of frames than Number of Frames says
    frames-short      fewer native frames than Number of Frames says
    frames-stream     one stream holds all frames
    frames-unknown    Pixel Data in which no frames could be found
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
from vna.dicom.frames import FrameTable
from vna.dicom.walk import Buffer, Bulk, Walker
from vna.errors import TooLarge

__all__ = ["Bulk", "Scan", "Scanner"]

_WINDOW = 32 << 10
_STUDY = b'"0020000D"'
_MOST_FRAMES = (1 << 31) - 1  # what an IS can say (PS3.5 Table 6.2-1)


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
        self._walker = Walker(el.encoding(explicit, little), limits, json=json)
        self._carry = bytearray()
        self._received = 0

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
        if self.study is None and self._walker.top.last >= el.STUDY:
            self._look_for_study()

    def _take(self, data: Buffer) -> None:
        """Cut windows: `bytes` are walked in place, anything else is copied in small pieces."""
        walker, carry = self._walker, self._carry
        pos, size = 0, len(data)
        while pos < size:
            if walker.skip:
                step = walker.pass_by(data, pos, size)
                walker.at += step
                pos += step
            elif carry or type(data) is not bytes:
                step = max(walker.need - len(carry), _WINDOW)
                carry += data[pos : pos + step]
                pos += step
                if len(carry) >= walker.need:
                    window = bytes(carry)
                    carry[:] = window[walker.walk(window, 0) :]
            else:
                carry += data[walker.walk(data, pos) :]
                return

    def _look_for_study(self) -> None:
        kept = self._walker.kept
        found = next((piece for piece in kept if piece.startswith(_STUDY)), None)
        if found is not None:
            self.study = _uid(orjson.loads(b"{%b}" % found[:-1]), "0020000D") or ""
        elif self._walker.top.last > el.STUDY:
            self.study = ""

    def finish(self) -> Scan:
        """Say what was learnt. Raises `MalformedInstance` when the data set was cut off."""
        walker = self._walker
        if self._inflater is not None:
            self._inflater.finish()
            if self._inflater.trailing:
                walker.flags.add("trailing-bytes")
        walker.finish(bytes(self._carry))
        attributes: dict[str, Any] = orjson.loads(b"{%b}" % b"".join(walker.kept)[:-1])
        frames = self._frames(attributes)
        for tag in attributes.keys() - ALL_INDEXED.keys():
            del attributes[tag]
        return Scan(
            sop_class=_uid(attributes, "00080016"),
            sop_instance=_uid(attributes, "00080018"),
            study=_uid(attributes, "0020000D"),
            series=_uid(attributes, "0020000E"),
            attributes=attributes,
            bulk=tuple(walker.bulk),
            pixel=walker.pixel,
            frames=frames,
            charset=walker.charset,
            flags=frozenset(walker.flags),
            length=self._received,
        )

    def _frames(self, attributes: dict[str, Any]) -> FrameTable | None:
        walker, pixel = self._walker, self._walker.pixel
        if pixel is None:
            return None
        count = min(max(1, layout.number(attributes, "00280008") or 1), _MOST_FRAMES)
        if walker.fragments is not None:
            walker.fragments.extended = walker.extended.get(el.EXTENDED_OFFSETS, ())
            walker.fragments.extended_lengths = walker.extended.get(el.EXTENDED_LENGTHS, ())
            table, flag = layout.encapsulated(walker.fragments, count, self._syntax)
        elif self._syntax is not None and self._syntax.encapsulated:
            table, flag = None, "frames-unknown"
        else:
            tag = int(pixel.path, 16)
            table, flag = layout.native(tag, pixel.offset, pixel.length, count, attributes)
        if flag is not None:
            walker.flags.add(flag)
        return table


def _uid(attributes: dict[str, Any], tag: str) -> str | None:
    value = layout.first(attributes, tag)
    return value.strip(" \0") if isinstance(value, str) else None
