"""Pixels that are not square: a picture has the shape of what it shows (PS3.3 C.7.6.3.1.7)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import orjson
import PIL.Image
import pytest

from tests.pixels.images import image, paths
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.looks import looks, under
from vna.pixels.render import rendered
from vna.pixels.rendering import Rendering, Viewport

ROWS, COLUMNS = 40, 80
SQUARE = (100, 50)  # into 100 x 100, of square pixels
LEFT_OUT = {"vr": "DS", "Value": [None, 1]}


def element(*values: object) -> dict[str, Any]:
    return {"vr": "DS", "Value": list(values)}


def sequence(**inside: object) -> dict[str, Any]:
    return {"vr": "SQ", "Value": [{tag[1:]: value for tag, value in inside.items()}]}


def size(members: dict[str, Any], state: dict[str, Any] | None = None, **more: Any) -> Any:
    """Draw a frame into a square and give its width and height."""
    description = PixelDescription(rows=ROWS, columns=COLUMNS, bits_allocated=8, bits_stored=8)
    frame = FrameSource(
        transfer_syntax="1.2.840.10008.1.2.1",
        data=np.arange(ROWS * COLUMNS, dtype="u1").tobytes(),
        description=description,
    )
    how = Rendering(media="image/png", **{"viewport": Viewport(width=100, height=100), **more})
    found = looks(members, lambda uri: b"").of_frame(1)
    if state is not None:
        found = orjson.dumps(under(orjson.loads(found), state))
    return PIL.Image.open(io.BytesIO(rendered(frame, how, found, 1))).size


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({}, SQUARE),
        ({"00280030": element(2, 1)}, (100, 100)),
        ({"00280030": element(1, 2)}, (100, 25)),
        ({"00280030": element(4, 1)}, (50, 100)),
        ({"00181164": element(0.4, 0.2)}, (100, 100)),
        ({"00182010": element(0.4, 0.2)}, (100, 100)),
        ({"00280034": element(2, 1)}, (100, 100)),
        ({"00280034": element("1", "2")}, (100, 25)),
        ({"00280030": element(1, 1), "00280034": element(2, 1)}, SQUARE),
        ({"52009229": sequence(_00289110=sequence(_00280030=element(2, 1)))}, (100, 100)),
        ({"52009230": sequence(_00289110=sequence(_00280030=element(2, 1)))}, (100, 100)),
        ({"00280030": element(0.97656, 0.9766)}, SQUARE),
        ({"00280030": element(0, 1)}, SQUARE),
        ({"00280030": element(-1, 1)}, SQUARE),
        ({"00280030": element(1)}, SQUARE),
        ({"00280030": LEFT_OUT}, SQUARE),
        ({"00280030": element(1000, 1)}, SQUARE),
    ],
)
def test_c_7_6_3_1_7_pixels_have_their_own_shape(
    members: dict[str, Any], wanted: tuple[int, int]
) -> None:
    assert size(members) == wanted


def test_what_is_asked_for_pixel_by_pixel_is_given_so() -> None:
    assert size({"00280030": element(2, 1)}, viewport=None) == (COLUMNS, ROWS)


def test_a_thumbnail_has_the_shape_of_its_picture() -> None:
    few = Viewport(width=20, height=20)
    tall = {"00280030": element(2, 1)}
    assert size(tall, viewport=few, thinned=True, enlarge=False) == (20, 20)
    assert size({}, viewport=few, thinned=True, enlarge=False) == (20, 10)


def test_a_region_is_cut_in_pixels_of_the_image() -> None:
    part = Viewport(width=100, height=100, region=(10, 10, 20, 20))
    assert size({}, viewport=part) == (100, 100)
    assert size({"00280030": element(2, 1)}, viewport=part) == (50, 100)


@pytest.mark.parametrize("tag", ["00700101", "00700102"])
def test_c_10_4_a_presentation_state_says_what_shape_pixels_are_shown_in(tag: str) -> None:
    area = {"0070005A": {"vr": "SQ", "Value": [{tag: element(2, 1)}]}}
    own = {"00280030": element(1, 2)}
    assert size(own, {}) == (100, 25)
    assert size(own, area) == (100, 100)
    turned = {"00700042": {"vr": "US", "Value": [90]}}
    assert size({}, turned) == (50, 100)
    assert size({"00280030": element(1, 2)}, turned) == (25, 100)


def test_a_sample_of_enhanced_mr_is_as_high_as_it_is_wide() -> None:
    """128 rows 0.2 mm apart, 256 columns 0.1 mm apart: 25.6 mm of a mouse either way."""
    found = image(next(path for path in paths() if path.name == "mr_brucker.dcm"))
    assert found is not None
    how = Rendering(media="image/png", viewport=Viewport(width=64, height=64))
    drawn = rendered(found.frames[0], how, looks(found.members, lambda uri: b"").of_frame(1), 1)
    assert PIL.Image.open(io.BytesIO(drawn)).size == (64, 64)
