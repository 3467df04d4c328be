"""Part 10 heads: read in any pieces and any condition, kept byte for byte, written canonically."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import factories as f
from tests.dicom.corpus import files
from vna.dicom.part10 import FileMeta, Part10Reader, file_head, group2_for, with_transfer_syntax
from vna.errors import MalformedInstance, TooLarge, VNAError


def split(data: bytes, step: int | None = None, most: int = 65536) -> tuple[FileMeta, bytes]:
    """Read a file in steps: its head and its data set."""
    reader = Part10Reader(meta_group_bytes=most)
    step = step or max(1, len(data))
    out = b"".join(bytes(reader.feed(data[i : i + step])) for i in range(0, len(data), step))
    out += reader.finish()
    assert reader.meta is not None
    return reader.meta, out


@pytest.mark.parametrize("step", [None, 1, 3, 131, 132, 133])
@pytest.mark.parametrize("transfer_syntax", [f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN, f.DEFLATED])
def test_a_file_is_split(transfer_syntax: str, step: int | None) -> None:
    whole = f.ct(transfer_syntax=transfer_syntax)
    meta, dataset = split(whole.part10(), step)
    assert dataset == whole.dataset()
    assert meta.transfer_syntax == transfer_syntax
    assert meta.sop_class == whole.sop_class
    assert meta.sop_instance == whole.instance
    assert meta.group2 == whole.group2()
    assert meta.preamble == bytes(128)


def test_head_and_data_set_are_the_file_again() -> None:
    data = f.ct().part10()
    meta, dataset = split(data)
    assert file_head(group2=meta.group2, preamble=meta.preamble) + dataset == data


def test_a_preamble_other_than_tiff_is_not_sent_out() -> None:
    group2 = f.ct().group2()
    for magic in (b"MZ", b"\x7fELF", b"#!/bin/sh\n", b"PK\3\4"):
        preamble = magic + bytes(128 - len(magic))
        meta, _ = split(preamble + b"DICM" + group2 + f.ct().dataset())
        assert meta.preamble == preamble
        assert file_head(group2=group2, preamble=preamble)[:128] == bytes(128)
    for magic in (b"II*\0", b"MM\0*"):
        preamble = magic + bytes(range(124))
        assert file_head(group2=group2, preamble=preamble)[:128] == preamble


@pytest.mark.parametrize("head", [b"DICM", b""])
def test_a_missing_preamble_is_forgiven(head: bytes) -> None:
    whole = f.ct()
    for step in (None, 1, 50):
        meta, dataset = split(head + whole.group2() + whole.dataset(), step)
        assert (meta.group2, dataset) == (whole.group2(), whole.dataset())
        assert meta.preamble == b""


@pytest.mark.parametrize("length", [None, 0, 7, 100_000])
def test_a_missing_or_wrong_group_length_is_forgiven(length: int | None) -> None:
    whole = f.ct()
    group2 = whole.group2()[12:]
    if length is not None:
        group2 = f.element("00020000", "UL", length) + group2
    meta, dataset = split(bytes(128) + b"DICM" + group2 + whole.dataset(), 7)
    assert (meta.group2, dataset) == (group2, whole.dataset())


def test_a_group_2_in_implicit_vr_is_read() -> None:
    whole = f.ct(transfer_syntax=f.IMPLICIT)
    how = f.writing(f.IMPLICIT)
    group2 = f.element("00020002", "UI", f.CT, how) + f.element("00020010", "UI", f.IMPLICIT, how)
    meta, dataset = split(bytes(128) + b"DICM" + group2 + whole.dataset())
    assert (meta.transfer_syntax, meta.sop_class) == (f.IMPLICIT, f.CT)
    assert dataset == whole.dataset()


@pytest.mark.parametrize("transfer_syntax", [f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN])
def test_a_bare_data_set_is_told_apart(transfer_syntax: str) -> None:
    whole = f.ct(transfer_syntax=transfer_syntax).dataset()
    for step in (None, 1):
        meta, dataset = split(whole, step)
        assert dataset == whole
        assert meta.transfer_syntax == transfer_syntax
        assert (meta.group2, meta.preamble, meta.sop_class) == (b"", b"", None)


def test_a_bare_data_set_shorter_than_a_preamble_is_read() -> None:
    data = f.element("00080060", "CS", "CT")
    assert split(data)[1] == data


def test_dicm_by_chance_in_a_bare_data_set_misleads_nobody() -> None:
    start = f.element("00080060", "CS", "CT")
    filler = f.element("00080070", "LO", b"x" * (128 - len(start) - 8) + b"DICM and more ")
    data = start + filler + f.element("00100020", "LO", "P1")
    assert data[128:132] == b"DICM"
    assert split(data) == (split(start)[0], data)


def test_a_missing_transfer_syntax_is_told_by_the_data_set() -> None:
    head = bytes(128) + b"DICM" + f.element("00020002", "UI", f.CT)
    for transfer_syntax in (f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN):
        dataset = f.ct(transfer_syntax=transfer_syntax).dataset()
        for step in (None, 1):
            meta, rest = split(head + dataset, step)
            assert (meta.transfer_syntax, rest) == (transfer_syntax, dataset)


@pytest.mark.parametrize("name", ["text", "html", "half-head", "empty"])
def test_what_is_no_dicom_is_malformed(name: str) -> None:
    for step in (None, 1):
        with pytest.raises(MalformedInstance):
            split(f.broken(name), step)


def test_group_2_is_limited() -> None:
    whole = f.ct()
    size = len(whole.group2())
    for step in (None, 1):
        assert split(whole.part10(), step, most=size)[1] == whole.dataset()
        with pytest.raises(TooLarge):
            split(whole.part10(), step, most=size - 1)


def test_a_claimed_gigabyte_in_group_2_takes_no_memory() -> None:
    reader = Part10Reader(meta_group_bytes=65536)
    claim = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 1 << 30)
    with pytest.raises(TooLarge):
        reader.feed(bytes(128) + b"DICM" + claim + bytes(64))


@given(st.binary(max_size=600), st.integers(1, 300), st.booleans())
@settings(max_examples=200, deadline=None)
def test_rubbish_never_does_more_than_refuse(data: bytes, step: int, with_head: bool) -> None:
    if with_head:
        data = bytes(128) + b"DICM" + data
    results = []
    for size in (None, step):
        try:
            results.append(split(data, size))
        except VNAError as refusal:
            results.append(type(refusal))
    assert results[0] == results[1]


def test_group_2_is_written_as_pydicom_reads_it() -> None:
    group2 = group2_for(
        sop_class=f.CT, sop_instance="1.2.3", transfer_syntax=f.IMPLICIT, source_ae="MODALITY1"
    )
    meta = pydicom.dcmread(io.BytesIO(file_head(group2=group2, preamble=b""))).file_meta
    assert meta.FileMetaInformationGroupLength == len(group2) - 12
    assert meta.MediaStorageSOPClassUID == f.CT
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == f.IMPLICIT
    assert meta.SourceApplicationEntityTitle == "MODALITY1"
    assert meta.ImplementationClassUID
    assert len(meta.ImplementationVersionName) <= 16


def test_another_transfer_syntax_changes_nothing_else() -> None:
    for path in files():
        try:
            meta, _ = split(path.read_bytes())
        except VNAError:
            continue
        if not meta.group2:
            continue
        group2 = with_transfer_syntax(meta.group2, f.EXPLICIT)
        again, rest = split(file_head(group2=group2, preamble=b"") + f.ct().dataset())
        assert rest == f.ct().dataset()
        assert again.transfer_syntax == f.EXPLICIT
        assert (again.sop_class, again.sop_instance) == (meta.sop_class, meta.sop_instance)
        assert struct.unpack_from("<I", group2, 8)[0] == len(group2) - 12


def test_a_canonical_group_2_stays_as_it_is() -> None:
    group2 = f.ct().group2()
    assert with_transfer_syntax(group2, f.EXPLICIT) == group2
    changed = with_transfer_syntax(group2, f.JPEG)
    assert with_transfer_syntax(changed, f.EXPLICIT) == group2
