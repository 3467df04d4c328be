"""Whole instances in another Transfer Syntax: what stays, what changes, what cannot be done."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from tests import factories
from tests.archive import Archive
from tests.factories import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, RLE, Instance, header
from vna.dicom.refs import InstanceRef, uid
from vna.errors import NotAcceptable, Undecodable
from vna.ingest.outcome import Stored

JPEG_LS, DEFLATED_FRAMES = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.8.1"
SEGMENTATION = {"00280100": 1, "00280101": 1, "00280102": 0, "00080008": None}


def given(archive: Archive, made: Instance, target: str) -> pydicom.Dataset:
    """Store an instance and read what it becomes."""
    assert isinstance(archive.take(made.part10()), Stored)
    ref = InstanceRef(uid(made.study), uid(made.series), uid(made.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    chosen = archive.retrieve.forms.choose(located, [target])
    assert chosen == target
    payload = archive.retrieve.forms.part10(located, chosen)
    return pydicom.dcmread(io.BytesIO(b"".join(payload.chunks)))


@pytest.mark.parametrize("stored", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_uncompressed_in_any_encoding_becomes_compressed(archive: Archive, stored: str) -> None:
    made = factories.multi_frame(3, transfer_syntax=stored)
    ds = given(archive, made, JPEG_LS)
    pixels = np.frombuffer(made._pixels(), ">u2" if stored == BIG_ENDIAN else "<u2")
    assert np.array_equal(ds.pixel_array.ravel(), pixels)
    assert ds.PatientName == "Doe^Jane"
    assert ds["PixelData"].VR == "OB"


def test_each_frame_is_one_fragment_behind_an_empty_offset_table(archive: Archive) -> None:
    ds = given(archive, factories.multi_frame(3), RLE)
    assert pydicom.encaps.parse_basic_offsets(ds.PixelData) == []
    assert pydicom.encaps.parse_fragments(ds.PixelData)[0] == 4
    for fragment in pydicom.encaps.generate_fragments(ds.PixelData):
        assert len(fragment) % 2 == 0


def test_what_stands_behind_the_pixels_stays_and_old_offset_tables_go(archive: Archive) -> None:
    tail = [("FFFCFFFC", "OB", b"\0" * 30)]
    tables = [("7FE00001", "OV", b"\0" * 8), ("7FE00002", "OV", (44).to_bytes(8, "little"))]
    made = factories.ct(extra=[*tables, *tail])
    ds = given(archive, made, JPEG_LS)
    assert ds[0xFFFCFFFC].value == b"\0" * 30
    assert "ExtendedOffsetTable" not in ds
    assert "ExtendedOffsetTableLengths" not in ds


def test_sequences_private_elements_and_nested_pixels_pass_through(archive: Archive) -> None:
    icon = [("00280010", "US", 2), ("00280011", "US", 2), ("7FE00010", "OB", b"\1\2\3\4")]
    extra = [
        ("00090010", "LO", "Acme"),
        ("00091001", "UN", b"\1\2\3\4"),
        ("00880200", "SQ", [icon]),
    ]
    for endless in (False, True):
        made = factories.ct(1, 1, 1 + endless, extra=extra, endless=endless)
        ds = given(archive, made, JPEG_LS)
        assert ds[0x00091001].value == b"\1\2\3\4"
        assert ds.IconImageSequence[0].PixelData == b"\1\2\3\4"


def test_colour_says_how_it_is_written(archive: Archive) -> None:
    rgb = {"00280002": 3, "00280004": "RGB", "00280006": 1}
    shape = {"00280100": 8, "00280101": 8, "00280102": 7}
    planes = bytes(range(256)) * 3
    made = factories.ct(values=rgb | shape, pixels=planes)
    ds = given(archive, made, JPEG_LS)
    assert (ds.PhotometricInterpretation, ds.PlanarConfiguration) == ("RGB", 0)
    assert np.array_equal(np.moveaxis(ds.pixel_array, 2, 0).ravel(), np.frombuffer(planes, "u1"))


def test_an_attribute_that_was_missing_is_put_where_it_belongs(archive: Archive) -> None:
    values = {"00280002": 3, "00280004": "RGB", "00280100": 8, "00280101": 8, "00280102": 7}
    made = factories.ct(values=values, pixels=bytes(768))
    ds = given(archive, made, RLE)
    tags = [e.tag for e in ds]
    assert ds.PlanarConfiguration == 0
    assert tags == sorted(tags)


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (3, 5), (1, 3)])
def test_one_bit_frames_are_packed_without_a_gap(archive: Archive, rows: int, columns: int) -> None:
    frames = 5
    bits = np.arange(frames * rows * columns) * 7 % 3 % 2
    pixels = np.packbits(bits.astype("u1"), bitorder="little").tobytes()
    pixels += b"\0" * (len(pixels) % 2)
    made = factories.multi_frame(
        frames, rows=rows, columns=columns, values=SEGMENTATION, pixels=pixels
    )
    packed = given(archive, made, DEFLATED_FRAMES)
    copy = factories.multi_frame(
        frames,
        rows=rows,
        columns=columns,
        values=SEGMENTATION,
        instance=2,
        transfer_syntax=DEFLATED_FRAMES,
        pixel_element=header("7FE00010", "OB", 0xFFFFFFFF)
        + packed.PixelData
        + header("FFFEE0DD", "", 0),
    )
    back = given(archive, copy, EXPLICIT)
    found = np.unpackbits(np.frombuffer(back.PixelData, "u1"), bitorder="little")
    assert np.array_equal(found[: len(bits)], bits)


def test_what_cannot_be_decoded_fails_before_the_first_byte(archive: Archive) -> None:
    made = factories.compressed([[factories.jpeg(1)]], transfer_syntax=factories.JPEG_2000)
    assert isinstance(archive.take(made.part10()), Stored)
    ref = InstanceRef(uid(made.study), uid(made.series), uid(made.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    payload = archive.retrieve.forms.part10(located, EXPLICIT)
    with pytest.raises(Undecodable, match="stored in"):
        next(payload.chunks)


@pytest.mark.parametrize(
    "made",
    [
        factories.compressed([[b"\0\0\1\xb3" * 9]], transfer_syntax=factories.MPEG_4),
        factories.ct(values={"00280010": 0}),
        factories.ct(values={"00280100": 12}),
    ],
    ids=["video", "no rows", "odd bits"],
)
def test_what_has_no_other_form_says_so(archive: Archive, made: Instance) -> None:
    assert isinstance(archive.take(made.part10()), Stored)
    ref = InstanceRef(uid(made.study), uid(made.series), uid(made.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    with pytest.raises(NotAcceptable, match=str(UID(made.transfer_syntax))):
        archive.retrieve.forms.choose(located, [JPEG_LS])


def test_compressed_pixels_inside_a_sequence_keep_an_instance_as_it_is(archive: Archive) -> None:
    icon: list[Any] = [("00280010", "US", 2)]
    inner = factories.dataset(icon) + factories.encapsulated([[factories.jpeg(1)]])
    item = header("FFFEE000", "", len(inner)) + inner
    sequence = header("00880200", "SQ", len(item)) + item
    made = factories.compressed([[factories.jpeg(1)]], transfer_syntax=factories.JPEG)
    made.pixel_element = sequence + (made.pixel_element or b"")
    assert isinstance(archive.take(made.part10()), Stored)
    ref = InstanceRef(uid(made.study), uid(made.series), uid(made.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    with pytest.raises(NotAcceptable):
        archive.retrieve.forms.choose(located, [EXPLICIT])


def test_an_instance_without_pixels_is_only_named_anew(archive: Archive) -> None:
    made = factories.ct(transfer_syntax=RLE, pixel_element=b"")
    ds = given(archive, made, EXPLICIT)
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT
    assert ds.PatientName == "Doe^Jane"


def test_one_frame_is_held_at_a_time(archive: Archive) -> None:
    made = factories.multi_frame(24, rows=512, columns=512)
    assert isinstance(archive.take(made.part10(), chunk=1 << 20), Stored)
    ref = InstanceRef(uid(made.study), uid(made.series), uid(made.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    payload = archive.retrieve.forms.part10(located, DEFLATED_FRAMES)
    next(payload.chunks)
    tracemalloc.start()
    sent = sum(len(chunk) for chunk in payload.chunks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent > 0
    assert peak < 8 << 20  # the pixels are 12 MiB
