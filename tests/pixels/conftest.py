"""One pool of sandboxed children for all tests of the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vna.config import Pixels
from vna.pixels.sandbox import PixelPool


@pytest.fixture(scope="session")
def pool() -> Iterator[PixelPool]:
    """A pool with one child, as it is by default but for that."""
    made = PixelPool(Pixels(children=1))
    yield made
    made.close()
