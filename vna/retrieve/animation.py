"""Pictures of one frame each become one moving picture (GIF89a), piece by piece.

Nothing is decoded: the blocks of each picture are copied behind one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vna.errors import Undecodable

_LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_END = b"\x3b"
_INTERLACED = 0x40


def animated(pictures: Iterable[bytes], *, frame_ms: float) -> Iterator[bytes]:
    """Write GIF pictures as one that plays them in turn and begins again."""
    hundredths = min(max(round(frame_ms / 10), 2), 65535)
    delay = b"\x21\xf9\x04\x04" + hundredths.to_bytes(2, "little") + b"\x00\x00"
    is_first = True
    for picture in pictures:
        screen, table, image = _parts(picture)
        if is_first:
            yield b"GIF89a" + screen[6:10] + b"\x70\x00\x00" + _LOOP
        is_first = False
        flags = 0x80 | table[0] | (image[9] & _INTERLACED)
        yield delay + image[:9] + bytes((flags,)) + table[1:] + image[10:]
    yield _END


def _parts(picture: bytes) -> tuple[bytes, bytes, bytes]:
    """Screen, colours (their size code first) and image of a GIF of one picture."""
    if picture[:3] != b"GIF" or len(picture) < 16:
        raise Undecodable
    flags = picture[10]
    at = 13
    table = b""
    if flags & 0x80:
        size = 3 << ((flags & 7) + 1)
        table = bytes((flags & 7,)) + picture[at : at + size]
        at += size
    while picture[at : at + 1] == b"\x21":
        at = _end_of_blocks(picture, at + 2)
    if picture[at : at + 1] != b"\x2c":
        raise Undecodable
    start = at
    at += 10
    local = picture[start + 9]
    if local & 0x80:
        size = 3 << ((local & 7) + 1)
        table = bytes((local & 7,)) + picture[at : at + size]
        at += size
    if not table:
        raise Undecodable
    head = picture[start : start + 10]
    return picture[:13], table, head + picture[at : _end_of_blocks(picture, at + 1)]


def _end_of_blocks(picture: bytes, at: int) -> int:
    while at < len(picture) and picture[at]:
        at += picture[at] + 1
    if at >= len(picture):
        raise Undecodable
    return at + 1
