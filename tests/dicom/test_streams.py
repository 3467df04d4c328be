"""What images and videos say of themselves, held against what real encoders were told."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.dicom import streams
from tests.dicom.corpus import shared
from vna.dicom import codestreams, jpegxl, video
from vna.dicom.codestreams import Described, Read
from vna.errors import MalformedInstance, UnsupportedMedia

AVC, HEVC = streams.h264_parameters, streams.h265_parameters
BASE = "1.2.840.10008.1.2.4."
GREY = np.arange(24 * 40, dtype=np.uint8).reshape(24, 40)
DEEP = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40) * 60
COLOR = np.dstack([GREY, GREY.T.reshape(24, 40), GREY[::-1]])


def reader(data: bytes) -> Read:
    return lambda at, count: data[at : at + count]


def image(data: bytes, kind: str = "jpeg") -> Described:
    """Describe an image."""
    describe = codestreams.jpeg if kind == "jpeg" else codestreams.jpeg_2000
    return describe(reader(data), len(data))


def pillow(array: Any, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, form, **options)
    return out.getvalue()


def told(found: Described) -> tuple[str, int, int, int, int, str]:
    """The parts of a description that tests look at."""
    number = found.transfer_syntax.removeprefix(BASE)
    return number, found.rows, found.columns, found.samples, found.bits, found.photometric


@pytest.mark.parametrize(
    ("data", "number", "bits", "photometric", "lossy"),
    [
        (pillow(GREY, "JPEG"), "50", 8, "MONOCHROME2", "ISO_10918_1"),
        (pillow(COLOR, "JPEG"), "50", 8, "YBR_FULL_422", "ISO_10918_1"),
        (pillow(COLOR, "JPEG", subsampling=0), "50", 8, "YBR_FULL_422", "ISO_10918_1"),
        (pillow(COLOR, "JPEG", keep_rgb=True), "50", 8, "RGB", "ISO_10918_1"),
        (pillow(GREY, "JPEG", progressive=True), "55", 8, "MONOCHROME2", "ISO_10918_1"),
        (
            imagecodecs.jpeg8_encode(DEEP, lossless=True, predictor=1, bitspersample=16),
            "70",
            16,
            "MONOCHROME2",
            None,
        ),
        (
            imagecodecs.jpeg8_encode(DEEP, lossless=True, predictor=4, bitspersample=16),
            "57",
            16,
            "MONOCHROME2",
            None,
        ),
        (imagecodecs.jpegls_encode(DEEP), "80", 16, "MONOCHROME2", None),
        (imagecodecs.jpegls_encode(COLOR), "80", 8, "RGB", None),
        (imagecodecs.jpegls_encode(GREY, level=3), "81", 8, "MONOCHROME2", "ISO_14495_1"),
    ],
)
def test_jpeg_and_jpeg_ls(
    data: bytes, number: str, bits: int, photometric: str, lossy: str | None
) -> None:
    found = image(data)
    samples = 1 if photometric == "MONOCHROME2" else 3
    assert told(found) == (number, 24, 40, samples, bits, photometric)
    assert found.lossy_method == lossy
    assert (found.offset, found.length) == (0, len(data))


def j2k(array: Any, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(array, codecformat="j2k", **options))


@pytest.mark.parametrize(
    ("data", "number", "bits", "photometric"),
    [
        (j2k(DEEP, reversible=True), "90", 16, "MONOCHROME2"),
        (j2k(COLOR, reversible=True, mct=True), "90", 8, "YBR_RCT"),
        (j2k(COLOR, reversible=True, mct=False), "90", 8, "RGB"),
        (j2k(COLOR, level=30, reversible=False, mct=True), "91", 8, "YBR_ICT"),
        (imagecodecs.htj2k_encode(DEEP, reversible=True), "201", 16, "MONOCHROME2"),
        (imagecodecs.htj2k_encode(GREY, reversible=False), "203", 8, "MONOCHROME2"),
    ],
)
def test_jpeg_2000_and_htj2k(data: bytes, number: str, bits: int, photometric: str) -> None:
    found = image(data, "jp2")
    samples = 1 if photometric == "MONOCHROME2" else 3
    assert told(found) == (number, 24, 40, samples, bits, photometric)
    assert (found.lossy_method is None) == (number in ("90", "201"))


def test_signed_pixels_are_told() -> None:
    assert image(j2k(DEEP.astype(np.int16), reversible=True), "jp2").signed


def test_of_a_jp2_file_the_codestream_is_taken() -> None:
    data = pillow(COLOR, "JPEG2000")
    found = image(data, "jp2")
    codestream = data[found.offset : found.offset + found.length]
    assert codestream[:4] == b"\xff\x4f\xff\x51"
    assert codestream[-2:] == b"\xff\xd9"
    assert np.array_equal(imagecodecs.jpeg2k_decode(codestream), COLOR)


def test_a_jpeg_that_names_its_components_rgb_is_rgb() -> None:
    data = pillow(COLOR, "JPEG", keep_rgb=True)
    adobe = data.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", data, adobe + 2)
    assert image(data[:adobe] + data[adobe + 2 + length :]).photometric == "RGB"


def test_a_jp2_file_of_plain_sycc_is_no_rgb() -> None:
    data = pillow(COLOR, "JPEG2000", mct=0)
    assert image(data, "jp2").photometric == "RGB"
    sycc = data.replace(b"colr\1\0\0\0\0\0\x10", b"colr\1\0\0\0\0\0\x12")  # ISO 15444-1 I.5.3.3
    assert image(sycc, "jp2").photometric == "YBR_FULL"


@pytest.mark.parametrize(
    "data",
    [
        pillow(np.dstack([COLOR, GREY]), "JPEG2000"),
        pillow(np.dstack([COLOR, GREY])[:, :, [0, 3]].copy(), "JPEG2000"),
    ],
)
def test_components_without_a_photometric_interpretation_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        image(data, "jp2")


def test_a_palette_in_a_jp2_file_is_refused() -> None:
    data = pillow(GREY, "JPEG2000")
    header = data.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", data, header)
    palette = streams.box("pclr", bytes(10))
    changed = struct.pack(">I", length + len(palette)) + data[header + 4 : header + length]
    with pytest.raises(UnsupportedMedia):
        image(data[:header] + changed + palette + data[header + length :], "jp2")


def test_cmyk_and_unknown_processes_are_refused() -> None:
    cmyk = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(cmyk, "JPEG")
    with pytest.raises(UnsupportedMedia):
        image(cmyk.getvalue())
    arithmetic = pillow(GREY, "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1)
    with pytest.raises(UnsupportedMedia):
        image(arithmetic)


def test_an_rle_frame_counts_its_segments() -> None:
    head = struct.pack("<16I", 2, 64, 80, *([0] * 13))
    assert codestreams.rle(reader(head + bytes(40)), 104) == 2
    unordered = struct.pack("<16I", 2, 80, 64, *([0] * 13))
    for bad in (head[:60], head[:64], unordered + bytes(40), bytes(104)):
        with pytest.raises(MalformedInstance):
            codestreams.rle(reader(bad), len(bad))


def ts(kind: int, stream: bytes) -> bytes:
    return streams.transport_stream(kind, stream)


SAMPLES = [
    pillow(COLOR, "JPEG"),
    imagecodecs.jpegls_encode(GREY),
    pillow(COLOR, "JPEG2000"),
    imagecodecs.htj2k_encode(GREY, reversible=True),
    bytes(imagecodecs.jpegxl_encode(DEEP, lossless=True)),
    streams.mp4(),
    streams.mp4("hvc1"),
    streams.mpeg_2(),
    ts(0x1B, streams.h264_parameters(64, 48)),
    ts(0x24, streams.h265_parameters(64, 48)),
]


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=400, deadline=None)
def test_damage_is_told_and_never_ours(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 4))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    damaged = damaged[: draw.draw(st.integers(0, len(data)))]
    for describe in (codestreams.jpeg, codestreams.jpeg_2000, jpegxl.jpeg_xl, video.describe):
        try:
            found = describe(reader(bytes(damaged)), len(damaged))
        except (MalformedInstance, UnsupportedMedia):
            continue
        assert 0 <= found.offset <= found.offset + found.length <= len(damaged)
        assert found.rows > 0
        assert found.columns > 0


@pytest.mark.parametrize(
    ("array", "options", "bits", "photometric"),
    [
        (GREY, {"lossless": True}, 8, "MONOCHROME2"),
        (GREY, {"lossless": False, "distance": 2.0}, 8, "MONOCHROME2"),
        (DEEP, {"lossless": True}, 16, "MONOCHROME2"),
        (COLOR, {"lossless": True}, 8, "RGB"),
        (COLOR, {"lossless": False, "distance": 2.0}, 8, "XYB"),
        (COLOR[:21, :37].copy(), {"lossless": True}, 8, "RGB"),
    ],
)
def test_jpeg_xl(array: Any, options: dict[str, Any], bits: int, photometric: str) -> None:
    data = bytes(imagecodecs.jpegxl_encode(array, **options))
    found = jpegxl.jpeg_xl(reader(data), len(data))
    rows, columns = array.shape[:2]
    assert told(found) == ("112", rows, columns, 3 if array.ndim == 3 else 1, bits, photometric)
    assert (found.lossy_method is None) == options["lossless"]
    bare = data[found.offset : found.offset + found.length]
    assert imagecodecs.jpegxl_decode(bare).shape == array.shape


def test_jpeg_xl_with_transparency_is_refused() -> None:
    data = bytes(imagecodecs.jpegxl_encode(np.dstack([COLOR, GREY]), lossless=True))
    with pytest.raises(UnsupportedMedia):
        jpegxl.jpeg_xl(reader(data), len(data))


def described(data: bytes) -> Described:
    return video.describe(reader(data), len(data))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (streams.mp4(), ("102", 48, 64, 3, 8)),
        (streams.mp4(movie_first=True), ("102", 48, 64, 3, 8)),
        (streams.mp4(setup=bytes([1, 66, 0, 30, 0xFF])), ("102", 48, 64, 3, 8)),
        (streams.mp4("avc3", bytes([1, 100, 0, 42, 0xFF])), ("104", 48, 64, 3, 8)),
        (streams.mp4(setup=bytes([1, 128, 0, 42, 0xFF])), ("106", 48, 64, 3, 8)),
        (streams.mp4("hvc1"), ("107", 48, 64, 3, 8)),
        (streams.mp4("hev1", bytes([1, 2]) + bytes(10) + bytes([153])), ("108", 48, 64, 3, 10)),
        (streams.mpeg_2(), ("100", 288, 352, 3, 8)),
        (streams.mpeg_2(1920, 1080, level=4), ("101", 1080, 1920, 3, 8)),
        (streams.mpeg_2(level=6), ("101", 288, 352, 3, 8)),
        (b"\0\0\1\xba" + bytes(30) + streams.mpeg_2(), ("100", 288, 352, 3, 8)),
        (ts(2, streams.mpeg_2()), ("100", 288, 352, 3, 8)),
        (ts(0x1B, AVC(1920, 1080)), ("102", 1080, 1920, 3, 8)),
        (ts(0x1B, AVC(640, 480, profile=66, level=30)), ("102", 480, 640, 3, 8)),
        (ts(0x24, HEVC(3840, 2160)), ("107", 2160, 3840, 3, 8)),
        (ts(0x24, HEVC(640, 480, profile=2)), ("108", 480, 640, 3, 10)),
    ],
)
def test_videos(data: bytes, wanted: tuple[str, int, int, int, int]) -> None:
    found = described(data)
    assert told(found)[:5] == wanted
    assert found.photometric == "YBR_PARTIAL_420"
    assert found.lossy_method is not None
    assert found.frames == (5 if data[4:8] == b"ftyp" else None)


@pytest.mark.parametrize(
    "data",
    [
        streams.mp4("mp4v", b""),
        streams.mp4("av01", b""),
        streams.mp4("vp09", b""),
        streams.mp4("\x01\x02\x03\x04", b""),
        streams.mp4(setup=bytes([1, 110, 0, 41])),
        streams.mp4(setup=bytes([1, 100, 0, 51])),
        streams.mp4("hvc1", bytes([1, 4]) + bytes(10) + bytes([153])),
        streams.mp4("hvc1", bytes([1, 1]) + bytes(10) + bytes([186])),
        streams.mp4(handler="soun"),
        streams.mp4(brand="qt  "),
        streams.mpeg_2(profile=1),
        ts(0x10, bytes(100)),
        b"RIFF\0\0\0\0AVI ",
        b"\x1a\x45\xdf\xa3" + bytes(20),
        b"OggS" + bytes(20),
        b"FLV\1" + bytes(20),
        b"\x30\x26\xb2\x75" + bytes(20),
        b"no video at all, but long enough",
    ],
)
def test_videos_without_a_dicom_encoding_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        described(data)


@pytest.mark.parametrize(
    ("name", "number"),
    [("video-h264", "102"), ("video-hevc", "107"), ("video-mpeg2", "100")],
)
def test_real_videos_are_described_as_their_files_say(name: str, number: str) -> None:
    path = shared() / "data" / "dicom" / "made" / f"{name}.dcm"
    if not path.exists():
        pytest.skip("the shared samples are not here")
    dataset = pydicom.dcmread(path)
    (stream,) = pydicom.encaps.generate_fragments(
        dataset.PixelData[8 + int.from_bytes(dataset.PixelData[4:8], "little") :]
    )
    found = described(stream)
    assert dataset.file_meta.TransferSyntaxUID == BASE + number == found.transfer_syntax
    assert (found.rows, found.columns) == (dataset.Rows, dataset.Columns)
    assert found.frames in (None, dataset.NumberOfFrames)
