"""What a JPEG XL image says of itself (ISO 18181-1 D): size, bits, colours.

Whether it lost anything its header does not tell, so it is JPEG XL in general (PS3.5 A.4.13) unless
the sender says more.
"""

from __future__ import annotations

from vna.dicom.codestreams import Described, Read, boxes
from vna.errors import MalformedInstance, UnsupportedMedia

GENERAL, LOSSLESS, RECOMPRESSION = (f"1.2.840.10008.1.2.4.{n}" for n in ("112", "110", "111"))

_HEAD_BYTES = 64
_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_BITS = ((0, 8), (0, 10), (0, 12), (6, 1))
_CHANNELS = ((0, 0), (0, 1), (4, 2), (12, 1))
_COLORS = ((0, 0), (0, 1), (4, 2), (6, 18))
_GREY = 1


class Bits:
    """Bits of the header, the least significant of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        """Read a number of so many bits. Raises `MalformedInstance` past the end."""
        self._left -= count
        if self._left < 0:
            raise MalformedInstance("The JPEG XL image is cut off in its header.")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def one_of(self, choices: tuple[tuple[int, int], ...]) -> int:
        """Read a number of one of four kinds: so many bits, and what is added."""
        count, added = choices[self.take(2)]
        return self.take(count) + added


def jpeg_xl(read: Read, size: int) -> Described:
    """Describe a JPEG XL image, codestream or container.

    Raises `MalformedInstance`, `UnsupportedMedia`.
    """
    offset, length = _codestream(read, size)
    if read(offset, 2) != b"\xff\x0a":
        raise MalformedInstance("The stream does not begin as JPEG XL does.")
    bits = Bits(read(offset + 2, min(_HEAD_BYTES, length - 2)))
    rows, columns = size_of(bits)
    if max(rows, columns) > 0xFFFF:
        raise MalformedInstance("The JPEG XL image has a size no instance can have.")
    depth, is_xyb, is_grey = _metadata(bits)
    return Described(
        transfer_syntax=GENERAL,
        rows=rows,
        columns=columns,
        samples=1 if is_grey else 3,
        bits=depth,
        photometric="MONOCHROME2" if is_grey else "XYB" if is_xyb else "RGB",
        offset=offset,
        length=length,
        lossy_method="ISO_18181_1" if is_xyb else None,
    )


def size_of(bits: Bits) -> tuple[int, int]:
    """Read the size header: rows and columns (ISO 18181-1 D.2). Raises `MalformedInstance`."""
    is_small = bits.take(1)
    rows = (bits.take(5) + 1) * 8 if is_small else bits.one_of(_SIZES)
    ratio = bits.take(3)
    if ratio:
        wide, high = _RATIOS[ratio - 1]
        return rows, rows * wide // high
    return rows, (bits.take(5) + 1) * 8 if is_small else bits.one_of(_SIZES)


def _metadata(bits: Bits) -> tuple[int, bool, bool]:
    """Read bits a sample, whether the colours are XYB, whether there is but one."""
    if bits.take(1):
        return 8, True, False
    if bits.take(1):
        bits.take(3)
        if bits.take(1):
            size_of(bits)
        if bits.take(2):
            raise UnsupportedMedia("JPEG XL with a preview or an animation is not taken.")
    if bits.take(1):
        raise UnsupportedMedia("JPEG XL of floating point samples is not taken.")
    depth = bits.one_of(_BITS)
    bits.take(1)
    if bits.one_of(_CHANNELS):
        raise UnsupportedMedia("JPEG XL with transparency or other channels is not taken.")
    is_xyb = bool(bits.take(1))
    if bits.take(1):
        return depth, is_xyb, False
    bits.take(1)
    return depth, is_xyb, bits.one_of(_COLORS) == _GREY


def _codestream(read: Read, size: int) -> tuple[int, int]:
    """Find the codestream in its container, which DICOM has no use for (PS3.5 A.4.13)."""
    if read(4, 4) != b"JXL ":
        return 0, size
    found = [(k, at, n) for k, at, n in boxes(read, 0, size) if k in (b"jxlc", b"jxlp")]
    if len(found) != 1:
        raise UnsupportedMedia("JPEG XL in pieces is not taken: send the codestream.")
    kind, at, length = found[0]
    index = 4 if kind == b"jxlp" else 0
    return at + index, max(length - index, 0)
