"""Codecs against pydicom's, over every sample file, and every lossless target there and back."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.pixels.images import Image, expected, image, paths
from vna.pixels import registry, streams
from vna.pixels.decoders import corrected, decoded
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.encoders import transcoded
from vna.pixels.faults import Fault

NATIVE = "1.2.840.10008.1.2.1"
LARGE = 1 << 21  # bytes decoded: what is larger is taken there and back by the long tests


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


def by_size(path: Path) -> object:
    """The path, marked where it takes its time."""
    large = opened(path).description.decoded_bytes > LARGE
    return pytest.param(path, marks=[pytest.mark.long] if large else [])


@pytest.mark.parametrize("path", [by_size(path) for path in paths()], ids=lambda path: path.name)
def test_every_target_keeps_every_value(path: Path) -> None:
    found = opened(path)
    frame, description = found.frames[0], found.description
    try:
        array, colours = decoded(frame)
    except Fault:
        pytest.skip("damaged on purpose")
    after_decoding = registry.decoded_photometric(description, frame.transfer_syntax)
    for target in possible(frame):
        after = registry.transcoded(description, frame.transfer_syntax, target)
        data = transcoded(frame, target)
        made = FrameSource(transfer_syntax=target, data=data, description=after)
        again, _ = decoded(made)
        if colours == after_decoding:
            np.testing.assert_array_equal(again, array, err_msg=target)
        assert registry.decoded_photometric(after, target) == after_decoding


def test_one_bit_frames_are_the_same_in_every_syntax_the_samples_have() -> None:
    """pydicom knows neither of these; the uncompressed brother has the same pixels."""
    by_name = {path.name: opened(path) for path in paths()}
    for stem in ("liver", "liver_nonbyte_aligned"):
        if f"{stem}.dcm" not in by_name:
            pytest.skip("the shared samples are not here")
        wanted = [decoded(frame)[0] for frame in by_name[f"{stem}.dcm"].frames]
        for kind in ("rle", "deflate", "j2k"):
            got = [decoded(frame)[0] for frame in by_name[f"{stem}_{kind}.dcm"].frames]
            np.testing.assert_array_equal(got, wanted, err_msg=kind)


def test_one_bit_pixels_in_rle_may_have_been_one_in_a_byte() -> None:
    """PS3.5 G.2 speaks of bytes: what is packed and what is not is met."""
    about = PixelDescription(rows=3, columns=11, bits_allocated=1, bits_stored=1)
    pixels = (np.arange(33) % 5 % 2).astype("u1").reshape(3, 11)
    packed = np.packbits(pixels.reshape(-1), bitorder="little")
    for cells in (packed, pixels):
        data = _rle_of(cells.tobytes())
        frame = FrameSource(transfer_syntax=registry.RLE, data=data, description=about)
        np.testing.assert_array_equal(decoded(frame)[0].reshape(3, 11), pixels)


def _rle_of(cells: bytes) -> bytes:
    """One segment of literal runs (PS3.5 G.3.1)."""
    runs = [cells[at : at + 128] for at in range(0, len(cells), 128)]
    body = b"".join(bytes((len(run) - 1,)) + run for run in runs)
    return struct.pack("<16I", 1, 64, *[0] * 14) + body + b"\0" * (len(body) % 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (3, 3), (65, 129)])
@pytest.mark.parametrize("bits", [1, 8, 12, 16, 32])
@pytest.mark.parametrize("samples", [1, 3])
def test_small_odd_and_extreme_frames_go_there_and_back(
    size: tuple[int, int], bits: int, samples: int
) -> None:
    if bits == 1 and samples == 3:
        pytest.skip("there is no such image")
    allocated = {1: 1, 12: 16}.get(bits, bits)
    chance = np.random.default_rng(bits * samples)
    for is_signed in (False, True) if bits > 1 else (False,):
        about = PixelDescription(
            rows=size[0],
            columns=size[1],
            samples=samples,
            photometric="RGB" if samples == 3 else "MONOCHROME2",
            bits_allocated=allocated,
            bits_stored=bits,
            is_signed=is_signed,
        )
        limits = (-(1 << (bits - 1)), 1 << (bits - 1)) if is_signed else (0, 1 << bits)
        values = chance.integers(*limits, (*size, samples), np.int64)
        values.reshape(-1)[0], values.reshape(-1)[-1] = limits[0], limits[1] - 1
        cells = values.astype(f"<{'i' if is_signed else 'u'}{max(allocated // 8, 1)}")
        packed = np.packbits(cells.reshape(-1), bitorder="little") if bits == 1 else cells
        frame = FrameSource(transfer_syntax=NATIVE, data=packed.tobytes(), description=about)
        for target in possible(frame):
            after = registry.transcoded(about, NATIVE, target)
            made = FrameSource(
                transfer_syntax=target, data=transcoded(frame, target), description=after
            )
            again = decoded(made)[0]
            np.testing.assert_array_equal(again.reshape(-1), cells.reshape(-1), err_msg=target)


def test_what_the_encoders_write_is_what_the_syntax_asks_for() -> None:
    """PS3.5 8.2.1, 10.18: selection value 1; RPCL with tile-part lengths, smallest side <= 64."""
    values = np.random.default_rng(3).integers(0, 4096, (300, 500), np.uint16)
    about = PixelDescription(rows=300, columns=500, bits_allocated=16, bits_stored=12)
    frame = FrameSource(transfer_syntax=NATIVE, data=values.tobytes(), description=about)
    lossless = transcoded(frame, registry.LOSSLESS_FIRST)
    start = lossless.index(b"\xff\xda")
    assert lossless[start + 7] == 1  # the predictor
    assert streams.jpeg(lossless).precision == 12
    assert streams.jpeg(transcoded(frame, registry.JPEG_LS)).precision == 12
    progressive = transcoded(frame, registry.HTJ2K_RPCL)
    coding = progressive.index(b"\xff\x52")
    assert progressive[coding + 5] == 2  # RPCL
    assert 300 >> progressive[coding + 9] <= 64
    assert b"\xff\x55" in progressive[: progressive.index(b"\xff\x90")]  # TLM
    assert transcoded(frame, registry.JPEG_XL_LOSSLESS).startswith(b"\xff\x0a")


def possible(frame: FrameSource) -> frozenset[str]:
    about = frame.description
    return registry.targets(
        frame.transfer_syntax,
        samples=about.samples,
        bits_allocated=about.bits_allocated,
        is_signed=about.is_signed,
        floating=about.floating,
    )
