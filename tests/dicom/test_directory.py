"""DICOMDIR: what pydicom reads of it, and where each instance is listed."""

from __future__ import annotations

import io
from dataclasses import replace
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
        ("78.1", "MEASUREMENT"),
        ("78.6", "SR DOCUMENT"),
        ("79.1", "SR DOCUMENT"),
        ("80.1", "MEASUREMENT"),
        ("88.59", "KEY OBJECT DOC"),
        ("91.1", "ANNOTATION"),
        ("131", "PRESENTATION"),
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


def record_of(sop_class: str, members: dict[str, Any]) -> pydicom.Dataset:
    """Read the record of an instance of this class with these attributes."""
    plain = listed(1, 1, 1)
    keys = {**plain.keys, **keys_of(members)}
    found: pydicom.Dataset = read(
        dicomdir([replace(plain, sop_class=f"1.2.840.10008.5.1.4.1.1.{sop_class}", keys=keys)])
    ).DirectoryRecordSequence[-1]
    return found


def sequence(*items: dict[str, Any]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def content(relation: str, text: str) -> dict[str, Any]:
    return {
        "0040A010": {"vr": "CS", "Value": [relation]},
        "0040A160": {"vr": "UT", "Value": [text]},
    }


@pytest.mark.parametrize("sop_class", ["88.33", "88.59"])
def test_f_5_25_a_record_holds_what_modifies_the_title_and_nothing_else(sop_class: str) -> None:
    members = {
        "0040A730": sequence(
            content("HAS CONCEPT MOD", "English"),
            content("CONTAINS", "A finding"),
            {},
        )
    }
    record = record_of(sop_class, members)
    assert [item.TextValue for item in record.ContentSequence] == ["English"]
    only_findings = {"0040A730": sequence(content("CONTAINS", "A finding"))}
    assert "ContentSequence" not in record_of(sop_class, only_findings)


def test_f_5_25_a_verified_report_says_when_it_was_verified_last() -> None:
    moments = ["20240102030405", "20240203040506", "20230101000000"]
    observers = [{"0040A030": {"vr": "DT", "Value": [moment]}} for moment in moments]
    record = record_of("88.11", {"0040A073": sequence(*observers, {})})
    assert str(record.VerificationDateTime) == "20240203040506"
    assert "VerificationDateTime" not in record_of("88.11", {})


def test_f_5_23_a_blending_state_names_what_it_blends_but_not_how_it_looks() -> None:
    blended = {
        "0020000D": {"vr": "UI", "Value": ["2.25.1"]},
        "00081115": sequence({"0020000E": {"vr": "UI", "Value": ["2.25.2"]}}),
        "00283110": sequence({"00283006": {"vr": "OW", "BulkDataURI": "bulkdata/1"}}),
    }
    record = record_of("11.4", {"00700402": sequence(blended)})
    (item,) = record.BlendingSequence
    assert item.ReferencedSeriesSequence[0].SeriesInstanceUID == "2.25.2"
    assert item.StudyInstanceUID == "2.25.1"
    assert "SoftcopyVOILUTSequence" not in item
    assert "ReferencedSeriesSequence" not in record


@pytest.mark.parametrize(
    ("sop_class", "tag", "vr", "keyword"),
    [
        ("104.2", "0040E001", "ST", "HL7InstanceIdentifier"),
        ("481.10", "30100033", "SH", "UserContentLabel"),
        ("481.10", "30100034", "LO", "UserContentLongLabel"),
    ],
)
def test_f_5_keys_of_type_1c_stand_where_the_instance_has_them(
    sop_class: str, tag: str, vr: str, keyword: str
) -> None:
    record = record_of(sop_class, {tag: {"vr": vr, "Value": ["Said"]}})
    assert record[keyword].value == "Said"
    assert keyword not in record_of(sop_class, {})


def test_a_value_that_lies_elsewhere_inside_an_item_leaves_its_key_empty() -> None:
    code = {"00420011": {"vr": "OB", "BulkDataURI": "bulkdata/1"}}
    record = record_of("88.11", {"0040A043": sequence(code)})
    assert len(record.ConceptNameCodeSequence) == 0


def test_patients_without_an_id_are_told_apart_by_their_names() -> None:
    nobody = {"00100020": {"vr": "LO"}}
    named = [{"vr": "PN", "Value": [{"Alphabetic": name}]} for name in ("Doe^A", "Doe^B", "Doe^A")]
    files = [listed(n, 1, 1, **nobody, **{"00100010": name}) for n, name in enumerate(named, 1)]
    records = read(dicomdir(files)).DirectoryRecordSequence
    kinds = [record.DirectoryRecordType for record in records]
    assert [str(r.PatientName) for r in records if "PatientName" in r] == ["Doe^A", "Doe^B"]
    assert kinds.count("STUDY") == 3


@pytest.mark.parametrize("tag", ["0040A730", "00700402", "0040A073"])
def test_what_should_be_a_sequence_and_is_none_leaves_the_directory_whole(tag: str) -> None:
    for vr, value in (("LO", "text"), ("US", 1), ("FD", 1.5)):
        members = {tag: {"vr": vr, "Value": [value]}}
        assert record_of("88.11", members).DirectoryRecordType == "SR DOCUMENT"
        record_of("11.4", members)


def test_moments_of_verification_that_are_none_are_passed_over() -> None:
    observers = [
        {"0040A030": {"vr": "US", "Value": [7]}},
        {"0040A030": {"vr": "DT", "Value": ["20240203"]}},
    ]
    record = record_of("88.11", {"0040A073": sequence(*observers)})
    assert str(record.VerificationDateTime) == "20240203"
