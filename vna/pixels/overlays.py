"""Overlay planes: bits laid over the image, from their own value or from unused bits of its cells.

PS3.3 C.9.2, C.9.3; the latter is retired and still met (PS3.5 8.1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vna.pixels.elements import Members, binary, integer, numbers
from vna.pixels.looks import OVERLAY_GROUPS

Array = NDArray[Any]  # of integers
_MOST = 65535


def planes(members: Members, array: Array, frame: int) -> Iterator[tuple[int, int, Array]]:
    """Give each overlay of a frame, from 1: top and left (from 0, may be outside), and its bits."""
    for group in OVERLAY_GROUPS:
        rows, columns = integer(members, group + "0010"), integer(members, group + "0011")
        if not 0 < rows <= _MOST or not 0 < columns <= _MOST:
            continue
        bits = _own_bits(members, group, rows * columns, frame)
        if bits is None:
            bits = _spare_bits(members, group, array)
            if bits is None or bits.size != rows * columns:
                continue
        origin = [int(number) for number in numbers(members, group + "0050")] or [1, 1]
        top, left = (*origin, 1)[:2]
        yield top - 1, left - 1, bits.reshape(rows, columns)


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
    for top, left, bits in planes(members, array, frame):
        rows, columns = shown.shape[:2]
        inside = bits[max(-top, 0) : max(rows - top, 0), max(-left, 0) : max(columns - left, 0)]
        if not inside.size:
            continue
        if out is shown:
            out = shown.copy()
        down, across = max(top, 0), max(left, 0)
        part = out[down : down + inside.shape[0], across : across + inside.shape[1]]
        part[inside.astype(bool)] = 255
    return out
