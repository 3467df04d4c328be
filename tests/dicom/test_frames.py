"""Frame tables: written and read back, and found for every layout of Pixel Data."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import unpack_bits

from tests import factories as f
from tests.dicom.corpus import files, read, scan_bare
from vna.dicom.frames import FrameTable
from vna.dicom.scan import Scan
from vna.errors import Corrupt

pieces = st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 32))


@given(st.lists(st.lists(pieces, min_size=0, max_size=3), min_size=1, max_size=600))
@settings(max_examples=60, deadline=None)
def test_a_listed_table_is_read_back(frames: list[list[tuple[int, int]]]) -> None:
    table = FrameTable.decode(FrameTable.listed(frames).encode())
    assert table.count == len(frames)
    assert table.encapsulated
    for number, wanted in enumerate(frames, 1):
        assert table.frame(number) == tuple(wanted)


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 32), st.integers(1, 1000))
def test_a_native_table_is_read_back(offset: int, length: int, count: int) -> None:
    table = FrameTable.decode(FrameTable.native(offset, length, count).encode())
    assert (table.count, table.encapsulated, table.bits) == (count, False, None)
    assert table.frame(count) == ((offset + (count - 1) * length, length),)


@given(st.integers(1, 5000), st.integers(1, 40), st.data())
def test_frames_of_bits_cover_the_value(bits: int, count: int, data: Any) -> None:
    table = FrameTable.decode(FrameTable.native(100, (bits + 7) // 8, count, bits).encode())
    number = data.draw(st.integers(1, count))
    offset, length, shift = table.frame_bits(number)
    first = (offset - 100) * 8 + shift
    assert first == (number - 1) * bits
    assert length == (shift + bits + 7) // 8
    assert table.frame(number) == ((offset, length),)
    assert table.bits == (bits if bits % 8 else None)


def test_numbers_outside_are_refused() -> None:
    tables = [
        FrameTable.native(0, 10, 3),
        FrameTable.native(0, 2, 3, 10),
        FrameTable.listed([[(8, 10)]] * 3),
    ]
    for table in tables:
        for number in (-1, 0, 4):
            with pytest.raises(IndexError):
                table.frame(number)
    with pytest.raises(IndexError):
        tables[1].frame_bits(4)


def test_a_stream_is_its_first_frame() -> None:
    table = FrameTable.decode(FrameTable.stream([(8, 10), (26, 4)], 300).encode())
    assert (table.count, table.is_stream) == (300, True)
    assert table.frame(1) == ((8, 10), (26, 4))
    with pytest.raises(IndexError):
        table.frame(2)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"{", b"\x09\0\1", b"\1", b"\1\0\xff", b'{"off":1,"len":2}', b"[1]", b"null"],
)
def test_rubbish_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        FrameTable.decode(data)


@given(st.binary(max_size=60))
def test_rubbish_is_corrupt_and_nothing_else(data: bytes) -> None:
    try:
        table = FrameTable.decode(b"\1" + data)
        table.frame(1)
    except (Corrupt, IndexError):
        return
    assert table.count >= 1


def test_a_cut_table_is_corrupt_when_a_frame_is_asked_for() -> None:
    data = FrameTable.listed([[(8, 1000)]] * 300).encode()
    with pytest.raises(Corrupt):
        FrameTable.decode(data[:-2]).frame(300)
    with pytest.raises(Corrupt):
        FrameTable.decode(data[:8]).frame(300)


# -- found in data sets ----------------------------------------------------------------------------


def cut(data: bytes, scan: Scan) -> list[bytes]:
    """The frames the scan's table points at."""
    assert scan.frames is not None
    return [
        b"".join(data[offset : offset + length] for offset, length in scan.frames.frame(number))
        for number in range(1, scan.frames.count + 1)
    ]


def halves(data: bytes) -> list[bytes]:
    """A frame in two fragments of even length."""
    middle = len(data) // 4 * 2
    return [data[:middle], data[middle:]]


FRAMES = [f.jpeg(n, 40 + 2 * n) for n in range(5)]


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_encapsulated_frames_are_found(table: bool, several: bool) -> None:
    fragments = [halves(frame) if several else [frame] for frame in FRAMES]
    data = f.compressed(fragments, table=table).dataset()
    scan, _ = scan_bare(data, f.JPEG)
    assert cut(data, scan) == FRAMES
    assert scan.flags == frozenset()
    assert scan.pixel is not None
    value = data[scan.pixel.offset : scan.pixel.offset + scan.pixel.length]
    assert list(generate_frames(value, number_of_frames=5)) == FRAMES


def test_one_frame_of_many_fragments_needs_no_marks() -> None:
    parts = [bytes([n]) * 20 for n in range(6)]
    data = f.compressed([parts], transfer_syntax=f.RLE, table=False).dataset()
    scan, _ = scan_bare(data, f.RLE)
    assert cut(data, scan) == [b"".join(parts)]


def test_frames_without_end_marks_are_found_by_their_beginnings() -> None:
    frames = [b"\xff\x4f\xff\x51" + bytes([n]) * 60 for n in range(3)]
    data = f.compressed(
        [halves(frame) for frame in frames], transfer_syntax=f.JPEG_2000, table=False
    ).dataset()
    scan, _ = scan_bare(data, f.JPEG_2000)
    assert cut(data, scan) == frames


@pytest.mark.parametrize("count", [2, 9])
def test_fragments_nobody_can_tell_apart_are_unknown(count: int) -> None:
    parts = [[bytes([n]) * 20] for n in range(6)]
    data = f.compressed(parts, table=False, count=count).dataset()
    scan, _ = scan_bare(data, f.JPEG)
    assert scan.frames is None
    assert scan.flags == {"frames-unknown"}
    assert scan.pixel is not None


def extended(offsets: list[int], lengths: list[int], frames: list[bytes]) -> bytes:
    """An instance with an Extended Offset Table."""
    tables: list[f.Element] = [
        ("7FE00001", "OV", struct.pack(f"<{len(offsets)}Q", *offsets)),
        ("7FE00002", "OV", struct.pack(f"<{len(lengths)}Q", *lengths)),
    ]
    whole = f.compressed([[frame] for frame in frames], table=False, extra=tables)
    return whole.dataset()


def test_an_extended_offset_table_gives_lengths_without_padding() -> None:
    frames = [f.jpeg(n, 41 + 2 * n) for n in range(3)]
    ends = [0]
    for frame in frames:
        ends.append(ends[-1] + 8 + len(frame) + len(frame) % 2)
    data = extended(ends[:-1], [len(frame) for frame in frames], frames)
    scan, _ = scan_bare(data, f.JPEG)
    assert cut(data, scan) == frames
    assert scan.flags == frozenset()


def test_a_large_extended_offset_table_is_read_though_it_goes_by_uri() -> None:
    frames = [f.jpeg(n) for n in range(200)]
    offsets = [n * (8 + len(frames[0])) for n in range(200)]
    data = extended(offsets, [len(frame) for frame in frames], frames)
    scan, json = scan_bare(data, f.JPEG)
    assert json["7FE00001"]["BulkDataURI"] == "bulkdata/7FE00001"
    assert cut(data, scan) == frames
    assert scan.flags == frozenset()


def test_a_wrong_offset_table_is_not_believed() -> None:
    data = extended([0, 4], [40, 40], [f.jpeg(1), f.jpeg(2)])
    scan, _ = scan_bare(data, f.JPEG)
    assert cut(data, scan) == [f.jpeg(1), f.jpeg(2)]
    assert scan.flags == {"offset-table"}
    data = f.compressed([[f.jpeg(1)], [f.jpeg(2)]]).dataset()
    wrong = data.replace(struct.pack("<2I", 0, 48), struct.pack("<2I", 0, 50))
    assert wrong != data
    scan, _ = scan_bare(wrong, f.JPEG)
    assert cut(data, scan) == [f.jpeg(1), f.jpeg(2)]
    assert scan.flags == {"offset-table"}


def test_a_table_of_another_count_is_flagged() -> None:
    fragments = [halves(frame) for frame in FRAMES]
    data = f.compressed(fragments, count=4).dataset()
    scan, _ = scan_bare(data, f.JPEG)
    assert cut(data, scan) == FRAMES
    assert scan.flags == {"frames-count"}


def test_a_video_is_one_stream() -> None:
    stream = [bytes(range(200)), bytes(300)]
    data = f.compressed([stream], transfer_syntax=f.MPEG_4, table=False, count=250).dataset()
    scan, _ = scan_bare(data, f.MPEG_4)
    assert scan.frames is not None
    assert (scan.frames.count, scan.frames.is_stream) == (250, True)
    assert b"".join(data[o : o + n] for o, n in scan.frames.frame(1)) == b"".join(stream)
    assert scan.flags == {"frames-stream"}


@pytest.mark.parametrize("transfer_syntax", [f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN])
def test_native_frames_are_found(transfer_syntax: str) -> None:
    whole = f.multi_frame(7, rows=5, columns=3, transfer_syntax=transfer_syntax)
    data = whole.dataset()
    scan, _ = scan_bare(data, transfer_syntax)
    frames = cut(data, scan)
    assert [len(frame) for frame in frames] == [30] * 7
    assert data.endswith(b"".join(frames))


@pytest.mark.parametrize(
    ("photometric", "samples", "factor"),
    [("RGB", 3, 6), ("YBR_FULL_422", 3, 4), ("YBR_FULL_422", 3, 6), ("YBR_PARTIAL_420", 3, 3)],
)
def test_samples_and_subsampling_count(photometric: str, samples: int, factor: int) -> None:
    size = 4 * 4 * factor // 2
    values = {
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": photometric,
        "BitsAllocated": 8,
    }
    whole = f.multi_frame(3, rows=4, columns=4, pixels=bytes(size * 3), values=values)
    scan, _ = scan_bare(whole.dataset())
    assert scan.frames is not None
    assert scan.frames.frame(3)[0][1] == size
    assert scan.flags == frozenset()


def test_too_few_frames_are_flagged_and_counted_down() -> None:
    whole = f.multi_frame(5, rows=4, columns=4, pixels=bytes(32 * 3 + 8))
    scan, _ = scan_bare(whole.dataset())
    assert scan.frames is not None
    assert scan.frames.count == 3
    assert scan.flags == {"frames-short"}


@pytest.mark.parametrize("missing", ["Rows", "Columns", "BitsAllocated"])
def test_pixels_of_unknown_size_have_no_frames(missing: str) -> None:
    scan, _ = scan_bare(f.ct(values={missing: None}).dataset())
    assert scan.frames is None
    assert scan.pixel is not None
    assert scan.flags == {"frames-unknown"}


def test_pixel_data_of_known_length_in_a_compressed_syntax_has_no_frames() -> None:
    scan, _ = scan_bare(f.ct().dataset(), f.JPEG)
    assert scan.frames is None
    assert scan.flags == {"frames-unknown"}


def bit_files() -> list[Any]:
    """Sample files of one-bit pixels whose frames do not end on bytes."""
    found = []
    for path in files():
        if "seg" in path.parts or "single-bit" in path.name:
            frames = read(path.read_bytes()).scan.frames
            if frames is not None and frames.bits is not None:
                found.append(path)
    return found


def test_one_bit_frames_are_what_pydicom_unpacks() -> None:
    columns, rows, count = 7, 5, 4
    bits = bytes((n * 7) % 256 for n in range((35 * 4 + 7) // 8))
    values = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    whole = f.multi_frame(count, rows=rows, columns=columns, pixels=bits, values=values)
    check_bits(whole.dataset(), scan_bare(whole.dataset())[0], bits)
    for path in bit_files():
        reading = read(path.read_bytes())
        dataset = pydicom.dcmread(path)
        check_bits(reading.dataset, reading.scan, dataset.PixelData)


def check_bits(data: bytes, scan: Scan, value: bytes) -> None:
    """Hold the bits of each frame against the whole value unpacked."""
    table = scan.frames
    assert table is not None
    assert table.bits is not None
    whole = unpack_bits(value, as_array=False)
    numbers = {1, 2, table.count // 2 + 1, table.count} & set(range(1, table.count + 1))
    for number in numbers:
        offset, length, shift = table.frame_bits(number)
        mine = unpack_bits(data[offset : offset + length], as_array=False)
        first = (number - 1) * table.bits
        assert mine[shift : shift + table.bits] == whole[first : first + table.bits]


@given(st.lists(st.integers(2, 60), min_size=1, max_size=30), st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_encapsulated_frames_are_what_pydicom_generates(sizes: list[int], table: bool) -> None:
    frames = [f.jpeg(n, 6 + 2 * size) for n, size in enumerate(sizes)]
    fragments = [halves(frame) if n % 3 == 0 else [frame] for n, frame in enumerate(frames)]
    data = f.compressed(fragments, table=table).dataset()
    scan, _ = scan_bare(data, f.JPEG)
    assert cut(data, scan) == frames
    assert scan.frames is not None
    places = [scan.frames.frame(n)[0][0] for n in range(1, len(frames) + 1)]
    assert all(b > a for a, b in pairwise(places))
