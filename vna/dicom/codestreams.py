"""What a compressed image says of itself: its Transfer Syntax and its Image Pixel attributes.

Only markers and headers are read, by range and up to a limit; nothing is decoded. JPEG (ISO 10918),
JPEG-LS (ISO 14495), JPEG 2000 and HTJ2K (ISO 15444), the last three as codestream or in a file of
boxes, of which DICOM takes the codestream alone (PS3.5 A.4.4).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vna.errors import MalformedInstance, UnsupportedMedia

Read = Callable[[int, int], bytes]
"""Gives up to so many bytes (second) of the stream from an offset (first) on."""

_BASE = "1.2.840.10008.1.2.4."
_MARKERS_BYTES = 32 << 20  # nothing sensible has more of them before its first scan
_MOST_BOXES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One image or video. `offset` and `length` are the bytes that DICOM encapsulates."""

    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    bits: int
    photometric: str
    offset: int
    length: int
    signed: bool = False
    frames: int | None = None
    lossy_method: str | None = None


def jpeg(read: Read, size: int) -> Described:
    """Describe a JPEG or JPEG-LS stream. Raises `MalformedInstance`, `UnsupportedMedia`."""
    frame: tuple[int, bytes] | None = None
    transform: int | None = None
    for code, at, length in _segments(read, b"\xff\xd8", "JPEG"):
        if code in _SOF:
            frame = code, read(at, min(length, 1024))
        elif code == 0xEE and (body := read(at, 12)).startswith(b"Adobe") and length >= 12:
            transform = body[11]
        elif code == 0xDA:
            if frame is None:
                break
            return _jpeg(frame, read(at, min(length, 1024)), transform, size)
    raise MalformedInstance("The JPEG stream has no frame header before its scan.")


_SOF = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
# Retired, but the only Transfer Syntax there is for a progressive stream (PS3.6 A)
_LOSSY_JPEG = {0xC0: "50", 0xC1: "51", 0xC2: "55"}


def _jpeg(frame: tuple[int, bytes], scan: bytes, transform: int | None, size: int) -> Described:
    code, header = frame
    if len(header) < 6 or len(header) < 6 + 3 * header[5]:
        raise MalformedInstance("The JPEG stream is cut off in its frame header.")
    if not scan or len(scan) < 1 + 2 * scan[0] + 3:
        raise MalformedInstance("The JPEG stream is cut off in its scan header.")
    bits, rows, columns, samples = struct.unpack_from(">BHHB", header)
    if not rows or not columns:
        raise UnsupportedMedia("A JPEG stream that does not say its size first is not taken.")
    first = scan[1 + 2 * scan[0]]  # the predictor of lossless JPEG, NEAR of JPEG-LS
    lossy = None
    if code == 0xF7:
        number, lossy = ("81", "ISO_14495_1") if first else ("80", None)
    elif code == 0xC3:
        number = "70" if first == 1 else "57"
    elif code in _LOSSY_JPEG:
        number, lossy = _LOSSY_JPEG[code], "ISO_10918_1"
    else:
        raise UnsupportedMedia("This JPEG process (hierarchical or arithmetic) is not taken.")
    return Described(
        transfer_syntax=_BASE + number,
        rows=rows,
        columns=columns,
        samples=samples,
        bits=bits,
        photometric=_jpeg_colors(code, header, transform),
        offset=0,
        length=size,
        lossy_method=lossy,
    )


def _jpeg_colors(code: int, header: bytes, transform: int | None) -> str:
    """PS3.3 C.7.6.3.1.2; what no marker says is YCbCr where lossy, RGB where lossless."""
    samples = header[5]
    if samples == 1:
        return "MONOCHROME2"
    if samples != 3:
        raise UnsupportedMedia(f"An image of {samples} components has no DICOM encoding.")
    names = bytes(header[6 + 3 * n] for n in range(3))
    is_rgb = names == b"RGB" or transform == 0 or (transform is None and code in (0xC3, 0xF7))
    if is_rgb:
        return "RGB"
    is_subsampled = header[7] != header[10]
    return "YBR_FULL_422" if is_subsampled or code in _LOSSY_JPEG else "YBR_FULL"


def jpeg_2000(read: Read, size: int) -> Described:
    """Describe a JPEG 2000 or HTJ2K image, codestream or file of boxes.

    HTJ2K has Transfer Syntaxes of its own. Raises `MalformedInstance`, `UnsupportedMedia`.
    """
    offset, length, is_ycc = _codestream(read, size)

    def inner(at: int, count: int) -> bytes:
        return read(offset + at, min(count, max(0, length - at)))

    sizes = coding = b""
    is_high_throughput = False
    for code, at, count in _segments(inner, b"\xff\x4f", "JPEG 2000"):
        if code == 0x51:
            sizes = inner(at, min(count, 38 + 3 * 8))
        elif code == 0x50:
            capabilities = int.from_bytes(inner(at, 4), "big")
            is_high_throughput = bool(capabilities & 1 << 17)  # Part 15
        elif code == 0x52:
            coding = inner(at, min(count, 10))
        elif code == 0x90:
            break
    if len(sizes) < 39 or len(coding) < 10:
        raise MalformedInstance("The JPEG 2000 stream is cut off in its main header.")
    found = _jpeg_2000(sizes, coding, (offset, length), is_high_throughput=is_high_throughput)
    is_plain_ycc = is_ycc and found.photometric == "RGB"
    return replace(found, photometric="YBR_FULL") if is_plain_ycc else found


def _jpeg_2000(
    sizes: bytes, coding: bytes, place: tuple[int, int], *, is_high_throughput: bool
) -> Described:
    right, bottom, left, top = struct.unpack_from(">4I", sizes, 2)
    (samples,) = struct.unpack_from(">H", sizes, 34)
    depth = sizes[36]
    if right <= left or bottom <= top or max(right - left, bottom - top) > 0xFFFF:
        raise MalformedInstance("The JPEG 2000 image has a size no instance can have.")
    reversible, several = coding[9] == 1, coding[4] == 1
    if samples not in (1, 3):
        raise UnsupportedMedia(f"An image of {samples} components has no DICOM encoding.")
    if samples == 1:
        photometric = "MONOCHROME2"
    elif several:
        photometric = "YBR_RCT" if reversible else "YBR_ICT"
    else:
        photometric = "RGB"
    if is_high_throughput:
        number, method = ("201", None) if reversible else ("203", "ISO_15444_15")
    else:
        number, method = ("90", None) if reversible else ("91", "ISO_15444_1")
    return Described(
        transfer_syntax=_BASE + number,
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        photometric=photometric,
        offset=place[0],
        length=place[1],
        lossy_method=method,
    )


def _codestream(read: Read, size: int) -> tuple[int, int, bool]:
    """Find the codestream in a file of boxes (ISO 15444-1 Annex I): where, and whether sYCC."""
    if read(0, 2) == b"\xff\x4f":
        return 0, size, False
    if read(4, 4) != b"jP  ":
        raise MalformedInstance("This is neither a JPEG 2000 codestream nor a file of one.")
    is_ycc = False
    for kind, at, length in boxes(read, 0, size):
        if kind == b"jp2h":
            is_ycc = _header_box(read, at, length)
        elif kind == b"jp2c":
            return at, length, is_ycc
    raise MalformedInstance("The JPEG 2000 file holds no codestream.")


def _header_box(read: Read, start: int, size: int) -> bool:
    is_ycc = False
    for kind, at, _ in boxes(read, start, start + size):
        if kind == b"pclr":
            raise UnsupportedMedia("A JPEG 2000 file with a palette has no DICOM encoding.")
        if kind == b"colr":
            color = read(at, 7)
            is_ycc = color[:1] == b"\1" and color[3:] == b"\0\0\0\x12"
    return is_ycc


def boxes(read: Read, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Walk boxes of ISO base media and JPEG 2000 files: kind, place and length of the content.

    Raises `MalformedInstance`.
    """
    for _ in range(_MOST_BOXES):
        if at >= end:
            return
        head = read(at, 16)
        if len(head) < 8:
            raise MalformedInstance("The file is cut off between its boxes.")
        length, kind = struct.unpack_from(">I4s", head)
        begin = 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
            begin = 16
        elif length == 0:
            length = end - at
        if length < begin or at + length > end:
            raise MalformedInstance("A box of the file is longer than what holds it.")
        yield kind, at + begin, length - begin
        at += length
    raise MalformedInstance("The file has too many boxes.")


def rle(read: Read, size: int) -> int:
    """Check the header of one RLE frame and count its segments (PS3.5 G.5)."""
    head = read(0, 64)
    if len(head) < 64:
        raise MalformedInstance("The RLE frame is cut off in its header.")
    count, *offsets = struct.unpack("<16I", head)
    used = offsets[: min(count, 15)]
    if not 1 <= count <= 15 or used[0] != 64 or used != sorted(used) or used[-1] >= size:
        raise MalformedInstance("The RLE frame has no header of PS3.5 Annex G.")
    return int(count)


def _segments(read: Read, magic: bytes, name: str) -> Iterator[tuple[int, int, int]]:
    """Walk marker segments: code, place and length of the content."""
    if read(0, 2) != magic:
        raise MalformedInstance(f"The stream does not begin as {name} does.")
    at = 2
    while at < _MARKERS_BYTES:
        head = read(at, 4)
        if len(head) < 4 or head[0] != 0xFF:
            raise MalformedInstance(f"The {name} stream is cut off or damaged in its headers.")
        if head[1] == 0xFF:  # a fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", head, 2)
        if length < 2:
            raise MalformedInstance(f"A marker of the {name} stream has no length.")
        yield head[1], at + 4, length - 2
        at += 2 + length
    raise MalformedInstance(f"The {name} stream has no image within its first megabytes.")
