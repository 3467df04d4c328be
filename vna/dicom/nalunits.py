"""H.264 and H.265 parameter sets: profile, level and size (H.264 7.3.2.1, H.265 7.3.2.2).

And which of them have a Transfer Syntax (PS3.5 8.2.7 to 8.2.11).
"""

from __future__ import annotations

from vna.dicom.codestreams import Described
from vna.errors import MalformedInstance, UnsupportedMedia

_BASE = "1.2.840.10008.1.2.4."
_METHODS = {"100": "ISO_13818_2", "101": "ISO_13818_2", "107": "ISO_23008_2", "108": "ISO_23008_2"}


def h264(profile: int, _constraints: int, level: int) -> str:
    """Number the Transfer Syntax of an H.264 profile and level (PS3.5 8.2.7 to 8.2.9).

    The lower profiles belong to High Profile. Raises `UnsupportedMedia`.
    """
    if profile in (66, 77, 88, 100) and level <= 41:
        return "102"
    if profile in (66, 77, 88, 100) and level <= 42:
        return "104"
    if profile == 128 and level <= 42:
        return "106"
    raise UnsupportedMedia(
        f"H.264 of profile {profile} and level {level / 10} has no DICOM encoding: "
        "High Profile up to level 4.2 has."
    )


def h265(profile: int, level: int) -> tuple[str, int]:
    """Number the Transfer Syntax of an H.265 profile and level, and its bits (PS3.5 8.2.10).

    Raises `UnsupportedMedia`.
    """
    if profile in (1, 3) and level <= 153:
        return "107", 8
    if profile == 2 and level <= 153:
        return "108", 10
    raise UnsupportedMedia(
        f"H.265 of profile {profile} and level {level / 30:.1f} has no DICOM encoding: "
        "Main and Main 10 up to level 5.1 have."
    )


def described(
    number: str, rows: int, columns: int, size: int, *, bits: int = 8, frames: int | None = None
) -> Described:
    """Put together what is known of a video. Raises `MalformedInstance` when it has no size."""
    if not rows or not columns:
        raise MalformedInstance("The video does not say its size.")
    return Described(
        transfer_syntax=_BASE + number,
        rows=rows,
        columns=columns,
        samples=3,
        bits=bits,
        photometric="YBR_PARTIAL_420",
        offset=0,
        length=size,
        frames=frames,
        lossy_method=_METHODS.get(number, "ISO_14496_10"),
    )


class _Bits:
    """Reads the bits of a NAL unit, its emulation prevention bytes left out (H.264 7.3.1)."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\0\0\3", b"\0\0")
        self._bits = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise MalformedInstance("The video is cut off in its parameters.")
        return self._bits >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise MalformedInstance("The video's parameters are damaged.")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value % 2 else -(value // 2)


def _parameters(payload: bytes, kind: int, mask: int, shift: int) -> bytes:
    """Find the NAL unit of a kind in an Annex B byte stream."""
    at = payload.find(b"\0\0\1")
    while 0 <= at < len(payload) - 4:
        if payload[at + 3] >> shift & mask == kind:
            return payload[at + 3 : at + 3 + 512]
        at = payload.find(b"\0\0\1", at + 3)
    raise MalformedInstance("The video says nothing of its size within its first megabytes.")


def h264_stream(payload: bytes, size: int) -> Described:
    """Describe an H.264 byte stream of `size` bytes by its first sequence parameter set."""
    unit = _parameters(payload, 7, 0x1F, 0)
    profile, constraints, level = _three(unit, 1)
    number = h264(profile, constraints, level)
    bits = _Bits(unit[4:])
    bits.golomb()
    chroma = 1
    if profile in (100, 128):
        chroma = _h264_high(bits)
    bits.golomb()
    if (order := bits.golomb()) == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.golomb(), 255)):
            bits.signed()
    bits.golomb()
    bits.take(1)
    columns, units = (bits.golomb() + 1) * 16, bits.golomb() + 1
    whole = bits.take(1)
    if not whole:
        bits.take(1)
    bits.take(1)
    rows = units * 16 * (2 - whole)
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        columns -= (left + right) * (2 if chroma in (1, 2) else 1)
        rows -= (top + bottom) * (2 if chroma == 1 else 1) * (2 - whole)
    return described(number, rows, columns, size)


def _three(unit: bytes, at: int) -> tuple[int, int, int]:
    if len(unit) < at + 3:
        raise MalformedInstance("The video is cut off in its parameters.")
    return unit[at], unit[at + 1], unit[at + 2]


def _h264_high(bits: _Bits) -> int:
    """Read what a high profile says more (H.264 7.3.2.1.1): the chroma format."""
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for index in range(8 if chroma != 3 else 12):
            if bits.take(1):
                _scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _scaling_list(bits: _Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def h265_stream(payload: bytes, size: int) -> Described:
    """Describe an H.265 byte stream of `size` bytes by its first sequence parameter set."""
    bits = _Bits(_parameters(payload, 33, 0x3F, 1)[2:])
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 3)
    profile = bits.take(5)
    bits.take(32 + 48)
    level = bits.take(8)
    flags = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for has_profile, has_level in flags:
        bits.take(88 * has_profile + 8 * has_level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    columns, rows = bits.golomb(), bits.golomb()
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        columns -= (left + right) * (2 if chroma in (1, 2) else 1)
        rows -= (top + bottom) * (2 if chroma == 1 else 1)
    number, depth = h265(profile, level)
    return described(number, rows, columns, size, bits=depth)
