"""How high a pixel is, and how wide: what a picture is scaled by to look as what it shows.

A screen's pixels are square, those of an image need not be (PS3.3 C.7.6.3.1.7).
"""

from __future__ import annotations

from dataclasses import dataclass

from vna.pixels.elements import Members, item, numbers

PIXEL_MEASURES = "00289110"
"""Pixel Measures Sequence, the functional group that holds Pixel Spacing (PS3.3 C.7.6.16.2.1)."""

PIXEL_SPACING = "00280030"
SHAPES = (PIXEL_SPACING, "00181164", "00182010", "00280034")
"""Pixel, Imager Pixel and Nominal Scanned Pixel Spacing, then Pixel Aspect Ratio."""

_AREA, _PRESENTED = "0070005A", ("00700101", "00700102")
_ROTATION = "00700042"
_ALIKE = 1.01  # what was rounded when it was written is square
_MOST = 16.0  # what is longer is no shape of a pixel


@dataclass(frozen=True, slots=True)
class Shape:
    """How many times as wide and as high pixels are drawn; the shorter side once."""

    across: float = 1.0
    down: float = 1.0


def shape_of(members: Members) -> Shape:
    """Read the shape of an image's pixels as it is shown, a presentation state's before its own.

    All of these attributes have what is vertical first (PS3.3 10.7.1.3, C.10.4).
    """
    area = item(members, _AREA)
    told = [numbers(area, tag) for tag in _PRESENTED] + [numbers(members, tag) for tag in SHAPES]
    for values in told:
        if len(values) == 2 and min(values) > 0:
            found = _between(*values)
            return Shape(found.down, found.across) if _is_on_its_side(members) else found
    return Shape()


def _between(down: float, across: float) -> Shape:
    ratio = max(down, across) / min(down, across)
    if not _ALIKE < ratio <= _MOST:
        return Shape()
    return Shape(down=ratio) if down > across else Shape(across=ratio)


def _is_on_its_side(members: Members) -> bool:
    """Tell whether a presentation state turns it by a quarter (PS3.3 C.10.6)."""
    turned = numbers(members, _ROTATION)
    return bool(turned) and round(turned[0] / 90) % 2 == 1
