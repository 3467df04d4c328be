"""Overlay planes: bits laid over the image, from their own value or from unused bits of its cells.

PS3.3 C.9.2, C.9.3; the latter is retired and still met (PS3.5 8.1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vna.pixels.elements import Members, binary, integer, numbers
from vna.pixels.looks import OVERLAY_GROUPS, shutter_group

Array = NDArray[Any]  # of integers
_MOST = 65535


def planes(members: Members, array: Array, frame: int) -> Iterator[tuple[int, int, Array]]:
    """Give each overlay of a frame, from 1: top and left (from 0, may be outside), and its bits."""
    shutter = shutter_group(members)
    for group in OVERLAY_GROUPS:
        if group != shutter and (plane := _plane(members, group, array, frame)) is not None:
            yield plane


def covered(members: Members, picture: Array) -> Array:
    """Tell which pixels of a picture a bitmap shutter covers (PS3.3 C.7.6.15)."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    plane = _plane(members, shutter_group(members), mask, 1)
    if plane is not None:
        _draw(mask, *plane)
    return mask.astype(bool)


def _plane(members: Members, group: str, array: Array, frame: int) -> tuple[int, int, Array] | None:
    rows, columns = integer(members, group + "0010"), integer(members, group + "0011")
    if not 0 < rows <= _MOST or not 0 < columns <= _MOST:
        return None
    bits = _own_bits(members, group, rows * columns, frame)
    if bits is None:
        bits = _spare_bits(members, group, array)
        if bits is None or bits.size != rows * columns:
            return None
    origin = [int(number) for number in numbers(members, group + "0050")] or [1, 1]
    top, left = (*origin, 1)[:2]
    return top - 1, left - 1, bits.reshape(rows, columns)


def _own_bits(members: Members, group: str, size: int, frame: int) -> Array | None:
    """Overlay Data, packed, the least significant bit first; of several frames the one meant."""
    data = binary(members, group + "3000")
    count = max(integer(members, group + "0015", 1), 1)
    index = frame - integer(members, group + "0051", 1) if count > 1 else 0
    if not data or not 0 <= index < count:
        return None
    first, last = index * size, (index + 1) * size
    if last > len(data) * 8:
        return None
    cells = np.frombuffer(data, "u1", (last + 7) // 8 - first // 8, first // 8)
    return np.unpackbits(cells, bitorder="little")[first % 8 : first % 8 + size]


def _spare_bits(members: Members, group: str, array: Array) -> Array | None:
    """A bit of each cell that Bits Stored leaves free."""
    position = integer(members, group + "0102")
    if integer(members, group + "0100", 1) == 1 or array.ndim != 2:
        return None
    if not 0 < position < array.dtype.itemsize * 8 or array.dtype.kind not in "iu":
        return None
    return (array.view(f"<u{array.dtype.itemsize}") >> position & 1).astype(np.uint8).reshape(-1)


def laid_over(shown: Array, members: Members, array: Array, frame: int) -> Array:
    """Draw every overlay in white; what lies outside the image is cut off."""
    out = shown
    for plane in planes(members, array, frame):
        if out is shown:
            out = shown.copy()
        _draw(out, *plane)
    return out


def _draw(out: Array, top: int, left: int, bits: Array) -> None:
    rows, columns = out.shape[:2]
    inside = bits[max(-top, 0) : max(rows - top, 0), max(-left, 0) : max(columns - left, 0)]
    down, across = max(top, 0), max(left, 0)
    part = out[down : down + inside.shape[0], across : across + inside.shape[1]]
    part[inside.astype(bool)] = 255
