"""Thumbnails made small first: means of four values, and what must not be averaged left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.pixels.description import PixelDescription
from vna.pixels.rendering import Viewport
from vna.pixels.thinning import thinned


def described(*, stored: int = 16, is_signed: bool = False) -> PixelDescription:
    return PixelDescription(
        rows=64, columns=64, bits_allocated=16, bits_stored=stored, is_signed=is_signed
    )


@given(
    times=st.integers(2, 8),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    is_signed=st.booleans(),
)
def test_each_pixel_is_the_mean_of_four_of_its_square(
    times: int, rows: int, columns: int, seed: int, is_signed: bool
) -> None:
    dtype = np.dtype("<i2" if is_signed else "<u2")
    info, random = np.iinfo(dtype), np.random.default_rng(seed)
    values = random.integers(info.min, info.max, (rows * times, columns * times), dtype, True)
    port = Viewport(width=columns, height=rows)
    found = thinned(values, described(is_signed=is_signed), port)
    assert (found.shape, found.dtype) == ((rows, columns), dtype)
    near, far = times // 4, times - 1 - times // 4
    for row in range(rows):
        for column in range(columns):
            square = values[row * times :, column * times :]
            four = [int(square[y, x]) for y in (near, far) for x in (near, far)]
            assert found[row, column] == sum(four) // 4


def test_twice_too_large_is_the_mean_of_all() -> None:
    values = np.array([[0, 4], [8, 65535]], "<u2")
    assert thinned(values, described(), Viewport(width=1, height=1)).tolist() == [[16386]]


@pytest.mark.parametrize(
    ("values", "told", "port"),
    [
        (np.zeros((64, 64), "<u2"), described(), None),
        (np.zeros((64, 64), "<u2"), described(), Viewport(width=33, height=33)),
        (np.zeros((63, 64), "<u2"), described(), Viewport(width=16, height=16)),
        (np.zeros((64, 64), "<u2"), described(), Viewport(width=8, height=8, region=(0, 0, 9, 9))),
        (np.zeros((64, 64), "<f4"), described(), Viewport(width=8, height=8)),
        # an overlay above Bits Stored, or a sign that was not carried upwards
        (np.full((64, 64), 0xF123, "<u2"), described(stored=12), Viewport(width=8, height=8)),
        (
            np.full((64, 64), 0x0FFF, "<i2"),
            described(stored=12, is_signed=True),
            Viewport(width=8, height=8),
        ),
    ],
)
def test_what_cannot_be_averaged_is_left_as_it_is(
    values: np.ndarray[tuple[int, ...], np.dtype[np.uint16]],
    told: PixelDescription,
    port: Viewport | None,
) -> None:
    assert thinned(values, told, port) is values


def test_bits_that_are_not_stored_may_be_clear() -> None:
    values = np.full((64, 64), 0x0FFF, "<u2")
    found = thinned(values, described(stored=12), Viewport(width=8, height=8))
    assert found.shape == (8, 8)
    assert (found == 0x0FFF).all()
