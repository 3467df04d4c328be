"""Colours: palettes, luma and chroma, deep samples, to RGB of 8 bits (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vna.pixels.description import PixelDescription
from vna.pixels.faults import Unknown
from vna.pixels.lookup import palette

Array = NDArray[Any]  # of integers or floats

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
_PARTIAL_ZERO = np.array([16, 128, 128], np.float32)
_STEP = 1 << 16  # pixels at a time: what is in between stays in the cache
_AS_RGB = frozenset(("RGB", "YBR_RCT", "YBR_ICT"))


def to_rgb(array: Array, photometric: str) -> Array:
    """Turn what `photometric` says into RGB. Raises `Unknown` for colours nobody can show."""
    if photometric in _AS_RGB:
        return array
    if array.dtype != np.uint8 or array.shape[-1] != 3:
        raise Unknown
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        return _full(array)
    if photometric in ("YBR_PARTIAL_422", "YBR_PARTIAL_420"):
        part = np.matmul(array.astype(np.float32) - _PARTIAL_ZERO, _PARTIAL)
        return np.asarray(np.clip(np.floor(part + 0.5), 0, 255), np.uint8)
    raise Unknown


@cache
def _chroma() -> tuple[Array, Array, Array]:
    """What chroma adds to luma, rounded: for red, green (by both), blue."""
    blue = np.arange(256, dtype=np.float32) - 128
    pairs = np.zeros((256, 256, 3), np.float32)
    pairs[..., 1] = blue[:, None]
    pairs[..., 2] = blue[None, :]
    added = np.floor(np.matmul(pairs, _FULL) + 0.5).astype(np.int16)
    return added[0, :, 0].copy(), added[..., 1].reshape(-1).copy(), added[:, 0, 2].copy()


def _full(array: Array) -> Array:
    """YBR_FULL by tables: luma is whole, so that rounding the sum is rounding what is added."""
    to_red, to_green, to_blue = _chroma()
    flat = np.ascontiguousarray(array).reshape(-1, 3)
    out = np.empty(flat.shape, np.uint8)
    for at in range(0, len(flat), _STEP):
        part = flat[at : at + _STEP]
        luma = part[:, 0].astype(np.int16)
        blue, red = part[:, 1], part[:, 2]
        sums = (
            luma + to_red[red],
            luma + to_green[blue.astype(np.intp) << 8 | red],
            luma + to_blue[blue],
        )
        for place, total in enumerate(sums):
            np.clip(total, 0, 255, out=total)
            out[at : at + _STEP, place] = total
    return out.reshape(array.shape)


def shown_colours(array: Array, photometric: str, description: PixelDescription) -> Array:
    """Show an image of three samples as RGB of 8 bits: of deeper ones the upper bits."""
    if array.shape[-1] != 3 or array.dtype.kind != "u":
        raise Unknown
    spare = description.bits_stored - 8
    if photometric not in _AS_RGB and array.dtype != np.uint8 and spare <= 0:
        array = array.astype(np.uint8)
    rgb = to_rgb(array, photometric if photometric.startswith("YBR") else "RGB")
    return (rgb >> spare).astype(np.uint8) if spare > 0 else rgb.astype(np.uint8, copy=False)


def shown_palette(array: Array, description: PixelDescription, members: bytes) -> Array:
    """Show a PALETTE COLOR image."""
    first, entries = _palette(members, description.is_signed)
    index = np.clip(array.astype(np.int64) - first, 0, len(entries) - 1)
    return np.take(entries, index, axis=0)


def over_grey(shown: Array, array: Array, description: PixelDescription, members: bytes) -> Array:
    """Lay a Supplemental Palette over grey: values from its first on (PS3.3 C.8.16.2.1.1.1)."""
    first, entries = _palette(members, description.is_signed)
    coloured = (array >= first) & (array < first + len(entries))
    rgb = np.repeat(shown[..., None], 3, axis=-1)
    rgb[coloured] = entries[array[coloured].astype(np.int64) - first]
    return rgb


@lru_cache(32)
def _palette(members: bytes, is_signed: bool) -> tuple[int, Array]:
    return palette(orjson.loads(members), is_signed=is_signed)
