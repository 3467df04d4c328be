"""Colours: luma and chroma to RGB (PS3.3 C.7.6.3.1.2). Runs in the sandbox only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vna.pixels.faults import Unknown

Array = NDArray[Any]  # of integers or floats: the description says which

_FULL = np.array(
    [
        [1.000, 1.000, 1.000],
        [0.000, -0.114 * 1.772 / 0.587, 1.772],
        [1.402, -0.299 * 1.402 / 0.587, 0.000],
    ],
    np.float32,
)
_PARTIAL = np.array(
    [[1.1644, 1.1644, 1.1644], [0.0, -0.3917, 2.0173], [1.5960, -0.8130, 0.0]], np.float32
)
_FULL_ZERO = np.array([0, 128, 128], np.float32)
_PARTIAL_ZERO = np.array([16, 128, 128], np.float32)
_ROWS = 1 << 16  # pixels converted at a time: floats of a whole frame would fall out of the cache


def to_rgb(array: Array, photometric: str) -> Array:
    """Turn what `photometric` says into RGB. Raises `Unknown` for colours nobody can show."""
    if photometric in ("RGB", "YBR_RCT", "YBR_ICT"):
        return array
    if array.dtype != np.uint8:
        raise Unknown
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        return _converted(array, _FULL, _FULL_ZERO)
    if photometric in ("YBR_PARTIAL_422", "YBR_PARTIAL_420"):
        return _converted(array, _PARTIAL, _PARTIAL_ZERO)
    raise Unknown


def _converted(array: Array, matrix: Array, zero: Array) -> Array:
    flat = array.reshape(-1, 3)
    out = np.empty(flat.shape, np.uint8)
    for at in range(0, len(flat), _ROWS):
        part = flat[at : at + _ROWS].astype(np.float32)
        part -= zero
        part = np.matmul(part, matrix)
        part += 0.5
        np.floor(part, out=part)
        np.clip(part, 0, 255, out=part)
        out[at : at + _ROWS] = part
    return out.reshape(array.shape)
