"""DICOMDIR: what pydicom reads of it, and where each instance is listed."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest

from tests.factories import CT, ct
from vna.dicom.directory import Listed, dicomdir, keys_of, record_type

SR = "1.2.840.10008.5.1.4.1.1.88.11"


def listed(study: int, series: int, number: int, **keys: Any) -> Listed:
    made = ct(study, series, number)
    members = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jürgen"}]},
        "00100020": {"vr": "LO", "Value": [f"P{study}"]},
        "0020000D": {"vr": "UI", "Value": [made.study]},
        "0020000E": {"vr": "UI", "Value": [made.series]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00200013": {"vr": "IS", "Value": [number]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"},
        **keys,
    }
    return Listed(
        file_id=("DICOM", f"ST{study}", f"SE{series}", f"IM{number}"),
        sop_class=CT,
        sop_instance=made.instance,
        transfer_syntax=made.transfer_syntax,
        keys=keys_of(members),
    )


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def test_records_are_linked_by_where_they_stand() -> None:
    files = [listed(study, series, n) for study in (1, 2) for series in (1, 2) for n in (1, 2)]
    data = dicomdir(files)
    ds = read(data)
    records = {item.seq_item_tell: item for item in ds.DirectoryRecordSequence}

    def chain(at: int) -> list[pydicom.Dataset]:
        found = []
        while at:
            found.append(records[at])
            at = records[at].OffsetOfTheNextDirectoryRecord
        return found

    patients = chain(ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
    assert [p.PatientID for p in patients] == ["P1", "P2"]
    assert patients[-1].seq_item_tell == ds.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    found = [
        instance.ReferencedSOPInstanceUIDInFile
        for patient in patients
        for study in chain(patient.OffsetOfReferencedLowerLevelDirectoryEntity)
        for series in chain(study.OffsetOfReferencedLowerLevelDirectoryEntity)
        for instance in chain(series.OffsetOfReferencedLowerLevelDirectoryEntity)
    ]
    assert found == [one.sop_instance for one in files]


def test_names_of_any_script_are_kept() -> None:
    ds = read(dicomdir([listed(1, 1, 1)]))
    patient = ds.DirectoryRecordSequence[0]
    assert str(patient.PatientName) == "Müller^Jürgen"
    assert patient.SpecificCharacterSet == "ISO_IR 192"


def test_the_same_files_give_the_same_bytes_and_others_another_uid() -> None:
    one, other = dicomdir([listed(1, 1, 1)]), dicomdir([listed(1, 1, 2)])
    assert dicomdir([listed(1, 1, 1)]) == one
    uids = [read(data).file_meta.MediaStorageSOPInstanceUID for data in (one, other)]
    assert uids[0] != uids[1]
    assert all(uid.is_valid for uid in uids)


def test_a_value_that_is_large_or_elsewhere_is_left_empty() -> None:
    large = {"00200013": {"vr": "IS", "Value": list(range(5000))}}
    away = {"00200013": {"vr": "IS", "BulkDataURI": "bulkdata/00200013"}}
    for keys in (large, away):
        ds = read(dicomdir([listed(1, 1, 1, **keys)]))
        assert ds.DirectoryRecordSequence[-1]["InstanceNumber"].value is None


def test_no_files_make_an_empty_directory() -> None:
    ds = read(dicomdir([]))
    assert ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity == 0
    assert len(ds.DirectoryRecordSequence) == 0


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("2", "IMAGE"),
        ("7.4", "IMAGE"),
        ("66.4", "IMAGE"),
        ("9.1.1", "WAVEFORM"),
        ("11.1", "PRESENTATION"),
        ("88.11", "SR DOCUMENT"),
        ("88.59", "KEY OBJECT DOC"),
        ("66", "RAW DATA"),
        ("66.1", "REGISTRATION"),
        ("104.1", "ENCAP DOC"),
        ("481.1", "IMAGE"),
        ("481.2", "RT DOSE"),
        ("481.3", "RT STRUCTURE SET"),
        ("481.5", "RT PLAN"),
        ("481.10", "RADIOTHERAPY"),
        ("4.2", "SPECTROSCOPY"),
        ("67", "VALUE MAP"),
    ],
)
def test_an_instance_is_listed_as_what_its_class_is(ending: str, kind: str) -> None:
    assert record_type(f"1.2.840.10008.5.1.4.1.1.{ending}") == kind
