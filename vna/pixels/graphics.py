"""Graphics and text a presentation state lays over an image (PS3.3 C.10.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vna.pixels.canvas import letters
from vna.pixels.elements import Members, items, numbers, text
from vna.pixels.geometry import Box

Array = NDArray[Any]  # uint8, (rows, columns) or (rows, columns, 3)

_ANNOTATIONS, _GRAPHICS, _TEXTS = "00700001", "00700009", "00700008"
_UNITS, _POINTS, _KIND, _FILLED = "00700005", "00700022", "00700023", "00700024"
_TEXT_UNITS, _TEXT, _CORNER, _ANCHOR_UNITS, _ANCHOR = (
    *("00700003", "00700006", "00700010", "00700004", "00700014"),
)
_MOST_POINTS, _MOST_LETTERS = 20_000, 2000


def annotated(picture: Array, members: Members, space: Box | None = None) -> Array:
    """Draw what the presentation state says, in white.

    What is placed by pixels is turned with them; what is placed in the displayed area, which lies
    in `space`, is drawn when that is done (PS3.3 C.10.5).
    """
    listed = items(members, _ANNOTATIONS)
    if not listed:
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    draw = ImageDraw.Draw(image)
    ink = 255 if picture.ndim == 2 else (255, 255, 255)
    for annotation in listed:
        for graphic in items(annotation, _GRAPHICS):
            _draw(draw, graphic, ink, space)
        for line in items(annotation, _TEXTS):
            _write(draw, line, ink, space)
    return np.asarray(image)


Ink = int | tuple[int, int, int]
Point = tuple[float, float]


def _points(members: Members, tag: str, units: str, space: Box | None) -> list[Point]:
    """Read points; none where they are in other units than those drawn now."""
    if (units == "DISPLAY") is not (space is not None):
        return []
    found = numbers(members, tag)[:_MOST_POINTS]
    pairs = list(zip(found[::2], found[1::2], strict=False))
    if space is not None:
        return [(space.left + x * space.wide, space.top + y * space.high) for x, y in pairs]
    return [(x - 0.5, y - 0.5) for x, y in pairs]  # the corner of the first pixel is 0.0


def _draw(draw: ImageDraw.ImageDraw, graphic: Members, ink: Ink, space: Box | None) -> None:
    points = _points(graphic, _POINTS, text(graphic, _UNITS), space)
    kind, is_filled = text(graphic, _KIND), text(graphic, _FILLED) == "Y"
    if not points:
        return
    if kind == "POINT":
        draw.point(points, ink)
    elif kind == "CIRCLE" and len(points) >= 2:
        (x, y), (on_x, on_y) = points[:2]
        radius = float(np.hypot(on_x - x, on_y - y))
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=ink if is_filled else None, outline=ink)
    elif kind == "ELLIPSE" and len(points) >= 4:
        _ellipse(draw, points, ink, is_filled=is_filled)
    elif is_filled and len(points) > 2:
        draw.polygon(points, fill=ink, outline=ink)
    else:
        draw.line(points, fill=ink)


def _ellipse(draw: ImageDraw.ImageDraw, points: list[Point], ink: Ink, *, is_filled: bool) -> None:
    """Major axis by its ends, then minor axis by its ends."""
    ends = np.array(points[:4])
    center = ends.mean(axis=0)
    turn = np.linspace(0, 2 * np.pi, 128)
    outline = (
        center
        + np.cos(turn)[:, None] * (ends[1] - ends[0]) / 2
        + np.sin(turn)[:, None] * (ends[3] - ends[2]) / 2
    )
    drawn = [(float(x), float(y)) for x, y in outline]
    if is_filled:
        draw.polygon(drawn, fill=ink, outline=ink)
    else:
        draw.line(drawn, fill=ink)


def _write(draw: ImageDraw.ImageDraw, line: Members, ink: Ink, space: Box | None) -> None:
    shown = text(line, _TEXT)[:_MOST_LETTERS]
    tag, units = (_CORNER, _TEXT_UNITS) if numbers(line, _CORNER) else (_ANCHOR, _ANCHOR_UNITS)
    at = _points(line, tag, text(line, units), space)
    if shown and at:
        draw.multiline_text(at[0], shown, fill=ink, font=letters(draw.im.size[1]))
