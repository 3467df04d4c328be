"""Uncompressed frames: little endian octets, each sample in its own cell (PS3.5 8.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vna.pixels.description import SUBSAMPLED, Buffer, PixelDescription
from vna.pixels.faults import Mismatch, Unknown

Array = NDArray[Any]  # of integers or floats: the description says which


def native(data: Buffer, description: PixelDescription) -> tuple[Array, str]:
    """Read a frame: the array, and its Photometric Interpretation. Raises `Fault`."""
    if len(data) < description.native_bytes:
        raise Mismatch
    rows, columns, samples = description.rows, description.columns, description.samples
    bits = description.bits_allocated
    told = description.photometric
    if bits == 1:
        flat = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little", count=description.pixels)
        return flat.reshape(rows, columns), told
    if samples == 3 and told in SUBSAMPLED and bits == 8:
        return _subsampled(data, description), "YBR_FULL" if told == "YBR_FULL_422" else told
    if told == "YBR_PARTIAL_420":
        raise Unknown
    kind = "f" if description.floating else "i" if description.is_signed else "u"
    flat = np.frombuffer(data, f"<{kind}{bits // 8}", description.pixels * samples)
    if samples == 1:
        return flat.reshape(rows, columns), told
    if description.planar == 1:
        return np.moveaxis(flat.reshape(samples, rows, columns), 0, -1), told
    return flat.reshape(rows, columns, samples), told


def _subsampled(data: Buffer, description: PixelDescription) -> Array:
    """Y Y Cb Cr of two pixels each: chroma stands for both (PS3.3 C.7.6.3.1.2)."""
    rows, pairs = description.rows, (description.columns + 1) // 2
    cells = np.frombuffer(data, "u1", rows * pairs * 4).reshape(rows, pairs, 4)
    out = np.empty((rows, pairs, 2, 3), "u1")
    out[..., 0] = cells[..., :2]
    out[..., 1] = cells[..., 2:3]
    out[..., 2] = cells[..., 3:4]
    return out.reshape(rows, pairs * 2, 3)[:, : description.columns]
