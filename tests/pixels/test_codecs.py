"""Codecs against pydicom's, over every sample file, and every lossless target there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pixels.images import Image, expected, image, paths
from vna.pixels import registry
from vna.pixels.decoders import corrected, decoded
from vna.pixels.description import FrameSource
from vna.pixels.encoders import transcoded
from vna.pixels.faults import Fault

NATIVE = "1.2.840.10008.1.2.1"


def opened(path: Path) -> Image:
    found = image(path)
    assert found is not None
    return found


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_a_decoded_frame_is_what_pydicom_decodes(path: Path) -> None:
    found = opened(path)
    for number, frame in enumerate(found.frames, 1):
        wanted = expected(found, number, raw=True)
        if wanted is None:
            continue
        array, photometric = decoded(frame)
        assert corrected(array, frame).dtype == wanted[0].dtype.newbyteorder("=")
        np.testing.assert_array_equal(corrected(array, frame), wanted[0])
        assert photometric.replace("_422", "") == wanted[1].replace("_422", "")


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_every_target_keeps_every_value(path: Path) -> None:
    found = opened(path)
    frame = found.frames[0]
    description = found.description
    try:
        array, colours = decoded(frame)
    except Fault:
        pytest.skip("damaged on purpose")
    for target in possible(frame):
        after = registry.transcoded(description, frame.transfer_syntax, target)
        made = FrameSource(
            transfer_syntax=target, data=transcoded(frame, target), description=after
        )
        again, _ = decoded(made)
        if colours == registry.decoded_photometric(description, frame.transfer_syntax):
            np.testing.assert_array_equal(again, array, err_msg=target)
        assert registry.decoded_photometric(after, target) == registry.decoded_photometric(
            description, frame.transfer_syntax
        )


def possible(frame: FrameSource) -> frozenset[str]:
    about = frame.description
    return registry.targets(
        frame.transfer_syntax,
        samples=about.samples,
        bits_allocated=about.bits_allocated,
        is_signed=about.is_signed,
        floating=about.floating,
    )
