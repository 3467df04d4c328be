"""What a codestream says of itself, read from its headers alone: before a byte of it is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from vna.dicom import jpegxl
from vna.errors import MalformedInstance
from vna.pixels.faults import Damaged

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_LS_FRAME = 0xF7
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_JP2 = b"\x00\x00\x00\x0cjP  "
_JXL = b"\x00\x00\x00\x0cJXL "


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Size and form of the picture a codestream holds. 0 and None: it does not say."""

    rows: int
    columns: int
    samples: int = 0
    precision: int = 0
    is_signed: bool | None = None
    component_ids: tuple[int, ...] = ()
    markers: dict[int, bytes] = field(default_factory=dict)
    is_reversible: bool = True


def jpeg(data: bytes) -> Declared:
    """Read a JPEG or JPEG-LS stream up to its frame header (T.81 B.2, T.87 C). Raises `Damaged`."""
    at = data.find(b"\xff\xd8")
    if at < 0 or at > 16:
        raise Damaged
    markers: dict[int, bytes] = {}
    at += 2
    try:
        while True:
            while data[at] != 0xFF:
                at += 1
            while data[at] == 0xFF:
                at += 1
            marker = data[at]
            at += 1
            if marker in _STANDALONE:
                continue
            length = struct.unpack_from(">H", data, at)[0]
            if marker in _SOF or marker == _JPEG_LS_FRAME:
                return _frame_header(data, at + 2, markers)
            if marker == 0xDA:
                raise Damaged
            if 0xE0 <= marker <= 0xEF:
                markers.setdefault(marker, data[at + 2 : at + length])
            at += length
    except (IndexError, struct.error) as exc:
        raise Damaged from exc


def _frame_header(data: bytes, at: int, markers: dict[int, bytes]) -> Declared:
    precision, rows, columns, samples = struct.unpack_from(">BHHB", data, at)
    return Declared(
        rows=rows,
        columns=columns,
        samples=samples,
        precision=precision,
        component_ids=tuple(data[at + 6 + 3 * n] for n in range(samples)),
        markers=markers,
    )


def jpeg_2000(data: bytes) -> Declared:
    """Read SIZ and COD of a JPEG 2000 codestream, in a JP2 file or bare (T.800 A.5)."""
    if data.startswith(_JP2):
        data = _boxed(data, (b"jp2c",))
    if data[:4] != b"\xff\x4f\xff\x51":
        raise Damaged
    try:
        size, _, x, y, x0, y0 = struct.unpack_from(">HHIIII", data, 4)
        samples, depth = struct.unpack_from(">HB", data, 40)
        reversible = _is_reversible(data, 4 + size)
    except (IndexError, struct.error) as exc:
        raise Damaged from exc
    return Declared(
        rows=y - y0,
        columns=x - x0,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        is_signed=bool(depth & 0x80),
        is_reversible=reversible,
    )


def _is_reversible(data: bytes, at: int) -> bool:
    while data[at : at + 2] not in (b"\xff\x90", b""):
        if data[at : at + 2] == b"\xff\x52":
            return data[at + 13] == 1
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return True


def jpeg_xl(data: bytes) -> Declared:
    """Read the size header of a JPEG XL codestream, in a container or bare (ISO 18181-1 D.2)."""
    if data.startswith(_JXL):
        data = _boxed(data, (b"jxlc", b"jxlp"))
    if data[:2] != b"\xff\x0a":
        raise Damaged
    try:
        rows, columns = jpegxl.size_of(jpegxl.Bits(data[2:16]))
    except MalformedInstance as exc:
        raise Damaged from exc
    return Declared(rows=rows, columns=columns)


def _boxed(data: bytes, kinds: tuple[bytes, ...]) -> bytes:
    """Find the codestream in boxes (ISO 15444-1 I.4). Raises `Damaged`."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if kind in kinds:
            return data[at + head + (4 if kind == b"jxlp" else 0) :]
        if length < head:
            break
        at += length
    raise Damaged


def bare_jpeg_xl(data: bytes) -> bytes:
    """Take the codestream out of its container, which DICOM has no use for (PS3.5 A.4.7)."""
    if not data.startswith(_JXL):
        return data
    pieces, at = [], 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + length if length else len(data)
        if kind in (b"jxlc", b"jxlp"):
            pieces.append(data[at + (8 if kind == b"jxlc" else 12) : end])
        at = end
    return b"".join(pieces)
