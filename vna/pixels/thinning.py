"""Thumbnails are made smaller before they are looked up: most pixels need no look of their own.

Each pixel that is left is the mean of four, evenly spread over the square it stands for. Windows
come after it, where else they come before: at an edge between what is clipped and what is not, a
thumbnail may differ by that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vna.pixels.description import PixelDescription
from vna.pixels.rendering import Viewport

Array = NDArray[Any]  # of integers or floats


def thinned(values: Array, description: PixelDescription, viewport: Viewport | None) -> Array:
    """Give the grey values of a frame at the size of the viewport, where that divides it.

    Left as they are: what is no whole number of times too large, and patterns that are no values
    (bits above Bits Stored may be set, PS3.5 8.1.1).
    """
    if viewport is None or viewport.region is not None or values.dtype.kind not in "iu":
        return values
    rows, columns = values.shape
    times = int(max(columns / viewport.width, rows / viewport.height))
    if times < 2 or rows % times or columns % times or not _are_values(values, description):
        return values
    first, second = times // 4, times - 1 - times // 4
    wide = np.int64 if values.itemsize > 2 else np.int32
    pairs = np.add(values[first::times], values[second::times], dtype=wide)
    total = pairs[:, first::times] + pairs[:, second::times]
    return (total >> 2).astype(values.dtype)


def _are_values(values: Array, description: PixelDescription) -> bool:
    if description.bits_allocated == 1 or description.bits_allocated != values.itemsize * 8:
        return False
    if description.bits_stored == description.bits_allocated:
        return True
    return not description.is_signed and int(values.max()) >> description.bits_stored == 0
