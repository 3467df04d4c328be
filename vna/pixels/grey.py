"""The grey pipeline: modality, VOI, polarity (PS3.4 N.2.1), all of it in one table where it fits.

A frame of up to 16 bits is looked up, so that its cost is one pass; what is wider, or floating, is
computed pixel by pixel with the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vna.pixels.description import PixelDescription
from vna.pixels.elements import Members, items, number, numbers, text
from vna.pixels.lookup import Table, table
from vna.pixels.rendering import Function, Window

Array = NDArray[Any]  # of integers or floats

_SLOPE, _INTERCEPT, _MODALITY_LUT = "00281053", "00281052", "00283000"
_CENTER, _WIDTH, _FUNCTION, _VOI_LUT = "00281050", "00281051", "00281056", "00283010"
_PADDING = ("00280120", "00280121")  # the value, and the other end of a range of them
_FLOAT_PADDING, _DOUBLE_PADDING = ("00280122", "00280124"), ("00280123", "00280125")
_LOOKED_UP = 1 << 17  # pixels at a time: their indices stay in the processor's cache
_SHAPE, _PRESENTATION_LUT = "20500020", "20500010"


@dataclass(frozen=True, slots=True)
class Spread:
    """How values become black to white: through a window, a table, or between two values."""

    window: Window | None = None
    voi: Table | None = None
    ends: tuple[float, float] | None = None


def grey(
    array: Array, description: PixelDescription, members: bytes, window: Window | None, keep: bool
) -> Array:
    """Show grey values as 8 bits, 0 black. `keep`: bits above Bits Stored count, too.

    `members` is the DICOM JSON of what decides the looks.
    """
    if description.floating or description.bits_allocated > 16:
        return _computed(array, description, orjson.loads(members), window)
    lut, needs_ends = _table(description, members, window, keep)
    patterns = array.view(f"<u{array.dtype.itemsize}")
    if needs_ends:
        ends = _ends(patterns, description, members, keep)
        lut = _stretched(description, members, keep, ends)
    return looked_up(lut, patterns)


def looked_up(lut: Array, patterns: Array) -> Array:
    """Look every pixel up, some rows at a time: numpy makes 64-bit indices of what it looks up."""
    out = np.empty(patterns.shape, lut.dtype)
    step = max(_LOOKED_UP // max(patterns.shape[1], 1), 1)
    for row in range(0, len(patterns), step):
        rows = slice(row, row + step)
        np.take(lut, patterns[rows], out=out[rows], mode="clip")
    return out


@lru_cache(64)
def _table(
    description: PixelDescription, members: bytes, window: Window | None, keep: bool
) -> tuple[Array, bool]:
    """Make the table of a frame's looks; the flag says that it depends on the frame's values."""
    read = orjson.loads(members)
    stored = domain(description, keep)
    shown = modality(stored, read, is_signed=description.is_signed)
    spread = _spread(description, read, window)
    if spread is None:
        return np.empty(0, np.uint8), True
    return finished(spread_over(shown, spread), stored, description, read), False


def domain(description: PixelDescription, keep: bool) -> Array:
    """Every pattern a cell can hold, as the value it stands for."""
    if description.bits_allocated == 1:
        return np.arange(256, dtype=np.int64)
    bits = description.bits_allocated
    patterns = np.arange(1 << bits, dtype=f"<u{bits // 8}")
    spare = 0 if keep else bits - description.bits_stored
    if description.is_signed:
        return ((patterns.view(f"<i{bits // 8}") << spare) >> spare).astype(np.int64)
    return (patterns & ((1 << (bits - spare)) - 1)).astype(np.int64)


def modality(stored: Array, members: Members, *, is_signed: bool) -> Array:
    """Apply the modality LUT or rescale (PS3.3 C.11.1)."""
    for item in items(members, _MODALITY_LUT)[:1]:
        found = table(item, is_signed=is_signed)
        if found is not None:
            return found.of(stored)
    slope, intercept = number(members, _SLOPE), number(members, _INTERCEPT)
    if slope is None or intercept is None or not slope:
        return stored
    return stored.astype(np.float64) * slope + intercept


def _spread(
    description: PixelDescription, members: Members, window: Window | None
) -> Spread | None:
    """Choose how values are spread; None: between the least and the largest of the frame."""
    if window is not None:
        return Spread(window=window)
    for item in items(members, _VOI_LUT)[:1]:
        found = table(item, is_signed=description.is_signed)
        if found is not None:
            return Spread(voi=found)
    stored = stored_window(members)
    if stored is not None:
        return Spread(window=stored)
    if description.bits_stored <= 8 and not items(members, _MODALITY_LUT):
        return Spread(ends=_whole_range(description, members))
    return None


def stored_window(members: Members) -> Window | None:
    """Read the first window of the data set that can be used."""
    told = text(members, _FUNCTION).upper() or Function.LINEAR
    function = Function(told) if told in Function.__members__ else Function.LINEAR
    least = 1.0 if function is Function.LINEAR else 0.0
    for center, width in zip(numbers(members, _CENTER), numbers(members, _WIDTH), strict=False):
        if width > 0 and width >= least:
            return Window(center=center, width=width, function=function)
    return None


def _whole_range(description: PixelDescription, members: Members) -> tuple[float, float]:
    bits = description.bits_stored
    least, most = (
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        if description.is_signed
        else (
            0,
            (1 << bits) - 1,
        )
    )
    ends = modality(np.array([least, most]), members, is_signed=description.is_signed)
    return float(ends.min()), float(ends.max())


def spread_over(shown: Array, spread: Spread) -> Array:
    """Spread values over 0.0 to 1.0."""
    if spread.voi is not None:
        return np.asarray(spread.voi.of(shown) / ((1 << spread.voi.bits) - 1))
    if spread.window is not None:
        return windowed(shown.astype(np.float64), spread.window)
    least, most = spread.ends or (0.0, 1.0)
    return np.asarray((shown - least) / ((most - least) or 1.0))


def windowed(values: Array, window: Window) -> Array:
    """Apply a window (PS3.3 C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2)."""
    center, width = window.center, window.width
    if window.function is Function.SIGMOID:
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
    if window.function is Function.LINEAR:
        center, width = center - 0.5, width - 1
    below, above = values <= center - width / 2, values > center + width / 2
    between = (values - center) / (width or 1.0) + 0.5
    return np.where(below, 0.0, np.where(above, 1.0, between))


def finished(
    spread: Array, stored: Array, description: PixelDescription, members: Members
) -> Array:
    """Turn 0.0 to 1.0 into 8 bits, with the right polarity, and padding black."""
    out = np.floor(np.clip(np.nan_to_num(spread), 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    for item in items(members, _PRESENTATION_LUT)[:1]:
        found = table(item, is_signed=False)
        if found is not None:
            steps = np.clip(np.nan_to_num(spread), 0.0, 1.0) * (len(found.entries) - 1)
            p_values = found.entries[steps.astype(np.intp)] / ((1 << found.bits) - 1)
            out = np.floor(np.clip(p_values, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    if is_inverse(description, members):
        out = 255 - out
    padding = _padding(description, members)
    if padding is not None:
        out[(stored >= padding[0]) & (stored <= padding[1])] = 0
    return np.asarray(out)


def is_inverse(description: PixelDescription, members: Members) -> bool:
    """Tell whether the least value is white: Presentation LUT Shape over Photometric one.

    A presentation state's shape alone decides (PS3.4 N.2.1.4); an image's only repeats what
    MONOCHROME1 says.
    """
    if "state" in members:
        return text(members, _SHAPE) == "INVERSE"
    return description.photometric == "MONOCHROME1" or text(members, _SHAPE) == "INVERSE"


def _padding(description: PixelDescription, members: Members) -> tuple[float, float] | None:
    """The values that are no picture (PS3.3 C.7.5.1.1.2, C.7.6.24, C.7.6.25)."""
    tags = _PADDING
    if description.floating:
        tags = _FLOAT_PADDING if description.bits_allocated == 32 else _DOUBLE_PADDING
    value, limit = (number(members, tag) for tag in tags)
    if value is None or description.bits_stored == 1:
        return None
    ends = [value if end is None else end for end in (value, limit)]
    if description.is_signed:
        ends = [
            end - (1 << description.bits_allocated) if end > _half(description) else end
            for end in ends
        ]
    return min(ends), max(ends)


def _half(description: PixelDescription) -> int:
    return (1 << (description.bits_allocated - 1)) - 1


def _ends(
    patterns: Array, description: PixelDescription, members: bytes, keep: bool
) -> tuple[float, float]:
    """Find the least and the largest modality value of a frame, padding left out."""
    read = orjson.loads(members)
    stored = domain(description, keep)
    padding = _padding(description, read)
    is_table = bool(items(read, _MODALITY_LUT))
    spare = 0 if keep else description.bits_allocated - description.bits_stored
    if spare and not description.is_signed and int(patterns.max()) >> description.bits_stored == 0:
        spare = 0  # the unused bits are
    if padding is None and not is_table and not spare:  # what is between lies between in the end
        values = patterns.view(f"<i{patterns.itemsize}") if description.is_signed else patterns
        found = np.array([values.min(), values.max()], np.int64)
    else:
        seen = np.zeros(len(stored), bool)
        seen[patterns] = True
        if padding is not None:
            inside = seen & ~((stored >= padding[0]) & (stored <= padding[1]))
            seen = inside if inside.any() else seen
        found = stored[seen]
    shown = modality(found, read, is_signed=description.is_signed)
    return float(shown.min()), float(shown.max())


@lru_cache(64)
def _stretched(
    description: PixelDescription, members: bytes, keep: bool, ends: tuple[float, float]
) -> Array:
    """Make the table of a frame that says nothing of its looks: from its least to its largest."""
    read = orjson.loads(members)
    stored = domain(description, keep)
    shown = modality(stored, read, is_signed=description.is_signed)
    return finished(spread_over(shown, Spread(ends=ends)), stored, description, read)


def _computed(
    array: Array, description: PixelDescription, members: Members, window: Window | None
) -> Array:
    """The same for what no table can hold."""
    shown = modality(array, members, is_signed=description.is_signed)
    spread = _spread(description, members, window)
    if spread is None:
        seen = shown[_is_picture(array, shown, description, members)]
        ends = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
        spread = Spread(ends=ends)
    return finished(spread_over(shown, spread), array, description, members)


def _is_picture(
    array: Array, shown: Array, description: PixelDescription, members: Members
) -> Array:
    """Tell which cells show a number and are no padding; all that show one if none is left."""
    finite = np.isfinite(shown)
    padding = _padding(description, members)
    if padding is None:
        return finite
    inside = finite & ~((array >= padding[0]) & (array <= padding[1]))
    return inside if inside.any() else finite
