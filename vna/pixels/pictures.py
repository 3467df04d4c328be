"""Pictures that no Transfer Syntax carries, PNG and GIF: what they become (PS3.18 Table 10.5.2-1).

Size and form are read from the first bytes, before anything is decoded (unpacking.py).
"""

from __future__ import annotations

import struct

from vna.errors import MalformedInstance
from vna.pixels.description import PixelDescription

PNG, GIF = "image/png", "image/gif"
_PNG_HEAD = struct.Struct(">8sI4sIIBB")
_PNG_SIGN = b"\x89PNG\r\n\x1a\n"
_PNG_GREY = frozenset((0, 4))
_PNG_COLOR = frozenset((2, 3, 6))


def declared(media: str, first: bytes) -> PixelDescription:
    """Describe one frame of what a picture will become. Raises `MalformedInstance`."""
    try:
        rows, columns, samples, bits = _png(first) if media == PNG else _gif(first)
    except struct.error as exc:
        raise MalformedInstance(f"The picture is cut off: it is no {media}.") from exc
    if not 0 < rows < 1 << 16 or not 0 < columns < 1 << 16:
        raise MalformedInstance("The picture has a size no instance can have.")
    return PixelDescription(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric="MONOCHROME2" if samples == 1 else "RGB",
        bits_allocated=bits,
        bits_stored=bits,
    )


def _png(first: bytes) -> tuple[int, int, int, int]:
    sign, length, kind, columns, rows, depth, color = _PNG_HEAD.unpack_from(first)
    if (sign, length, kind) != (_PNG_SIGN, 13, b"IHDR") or color not in _PNG_GREY | _PNG_COLOR:
        raise MalformedInstance("The picture does not begin as a PNG does.")
    return rows, columns, 1 if color in _PNG_GREY else 3, 16 if depth == 16 else 8


def _gif(first: bytes) -> tuple[int, int, int, int]:
    sign, columns, rows = struct.unpack_from("<6sHH", first)
    if sign not in (b"GIF87a", b"GIF89a"):
        raise MalformedInstance("The picture does not begin as a GIF does.")
    return rows, columns, 3, 8
