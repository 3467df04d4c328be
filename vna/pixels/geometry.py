"""What a presentation state does to the place of pixels: shutter, area, rotation (PS3.3 C.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vna.pixels import overlays
from vna.pixels.elements import Members, integer, items, numbers, text, values

Array = NDArray[Any]  # uint8, (rows, columns) or (rows, columns, 3)

_SHUTTER_SHAPE, _SHUTTER_VALUE = "00181600", "00181622"
_EDGES = ("00181602", "00181604", "00181606", "00181608")  # left, right, upper, lower
_CENTER, _RADIUS, _VERTICES = "00181610", "00181612", "00181620"
_AREA, _TOP_LEFT, _BOTTOM_RIGHT = "0070005A", "00700052", "00700053"
_ROTATION, _FLIP = "00700042", "00700041"


def presented(picture: Array, members: Members) -> Array:
    """Apply shutter, displayed area and spatial transformation, in this order (PS3.4 N.2.1)."""
    out = _area(_shuttered(picture, members), members)
    if turns := _turns(members):
        out = np.rot90(out, -turns)
    return out[:, ::-1] if text(members, _FLIP) == "Y" else out


def _shuttered(picture: Array, members: Members) -> Array:
    """Cover what lies outside the shutters (PS3.3 C.7.6.11, C.7.6.15, C.11.12)."""
    shapes = {str(value).strip() for value in values(members, _SHUTTER_SHAPE)}
    rows, columns = picture.shape[:2]
    outside = np.zeros((rows, columns), bool)
    if "RECTANGULAR" in shapes:
        left, right, upper, lower = (integer(members, tag) for tag in _EDGES)
        inside = np.zeros((rows, columns), bool)
        inside[max(upper - 1, 0) : max(lower, 0), max(left - 1, 0) : max(right, 0)] = True
        outside |= ~inside
    if "CIRCULAR" in shapes and len(center := numbers(members, _CENTER)) == 2:
        radius = integer(members, _RADIUS)
        row, column = center[0] - 1, center[1] - 1
        down, across = np.ogrid[:rows, :columns]
        outside |= (down - row) ** 2 + (across - column) ** 2 > radius**2
    if "POLYGONAL" in shapes and len(points := numbers(members, _VERTICES)) >= 6:
        corners = [(x - 1, y - 1) for y, x in zip(points[::2], points[1::2], strict=False)]
        outside |= ~_drawn(picture, lambda draw: draw.polygon(corners, fill=1, outline=1))
    if "BITMAP" in shapes:
        outside |= overlays.covered(members, picture)
    if not outside.any():
        return picture
    out = picture.copy()
    out[outside] = integer(members, _SHUTTER_VALUE) >> 8
    return out


def _drawn(picture: Array, draw: Any) -> Array:  # a function of an ImageDraw
    mask = Image.new("1", (picture.shape[1], picture.shape[0]))
    draw(ImageDraw.Draw(mask))
    return np.asarray(mask)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; may reach beyond the picture it is in."""

    left: int
    top: int
    wide: int
    high: int


def display_space(members: Members, picture: Array) -> Box:
    """Tell where in what `presented` makes of a picture its displayed area is (PS3.3 C.10.4).

    Annotations in DISPLAY units are fractions of that, whatever of it lies beyond the image.
    """
    rows, columns = picture.shape[:2]
    box = _specified(members) or Box(0, 0, columns, rows)
    cut = _inside(box, rows, columns) or Box(0, 0, columns, rows)
    wide, high = cut.wide, cut.high
    box = Box(box.left - cut.left, box.top - cut.top, box.wide, box.high)
    for _ in range(_turns(members)):
        box = Box(high - box.top - box.high, box.left, box.high, box.wide)
        wide, high = high, wide
    if text(members, _FLIP) == "Y":
        box = Box(wide - box.left - box.wide, box.top, box.wide, box.high)
    return box


def _area(picture: Array, members: Members) -> Array:
    """Cut out the displayed area, as far as there is an image (PS3.3 C.10.4)."""
    box = _specified(members)
    cut = box and _inside(box, *picture.shape[:2])
    if not cut:
        return picture
    return picture[cut.top : cut.top + cut.high, cut.left : cut.left + cut.wide]


def _specified(members: Members) -> Box | None:
    for area in items(members, _AREA)[:1]:
        first, last = numbers(area, _TOP_LEFT), numbers(area, _BOTTOM_RIGHT)
        if len(first) == len(last) == 2:
            left, right = sorted((int(first[0]) - 1, int(last[0]) - 1))
            top, bottom = sorted((int(first[1]) - 1, int(last[1]) - 1))
            return Box(left, top, right - left + 1, bottom - top + 1)
    return None


def _inside(box: Box, rows: int, columns: int) -> Box | None:
    left, top = max(box.left, 0), max(box.top, 0)
    wide = min(box.left + box.wide, columns) - left
    high = min(box.top + box.high, rows) - top
    return Box(left, top, wide, high) if wide > 0 and high > 0 else None


def _turns(members: Members) -> int:
    """How many quarters it is turned clockwise (PS3.3 C.10.6)."""
    return round(integer(members, _ROTATION) / 90) % 4
