"""Transfer Syntaxes, SOP Classes and attribute tables against pydicom's dictionaries."""

from __future__ import annotations

import pydicom.uid
import pytest
from pydicom.datadict import dictionary_keyword, dictionary_VR

from vna.dicom import attributes, uids
from vna.dicom.refs import Level


@pytest.mark.parametrize("uid", pydicom.uid.AllTransferSyntaxes)
def test_every_transfer_syntax_is_known_as_it_is(uid: pydicom.uid.UID) -> None:
    syntax = uids.TRANSFER_SYNTAXES[uid]
    assert syntax.name == uid.name
    assert syntax.explicit != uid.is_implicit_VR
    assert syntax.little == uid.is_little_endian
    if "JPIP" not in uid.name:
        assert syntax.encapsulated == uid.is_encapsulated
    assert syntax.is_video == (uid in pydicom.uid.MPEGTransferSyntaxes)


def test_syntaxes_pydicom_does_not_list_are_known() -> None:
    for number, kind in (("110", "image/jxl"), ("202", "image/jphc"), ("53", "image/jpeg")):
        syntax = uids.transfer_syntax(f"1.2.840.10008.1.2.4.{number}")
        assert syntax is not None
        assert (syntax.frame_type, syntax.encapsulated) == (kind, True)
    assert uids.transfer_syntax("1.2.3") is None
    assert uids.syntax("1.2.3").encapsulated


def test_the_default_of_a_media_type_is_one_of_its_syntaxes() -> None:
    for kind, uid in uids.DEFAULT_BY_FRAME_TYPE.items():
        assert uids.TRANSFER_SYNTAXES[uid].frame_type == kind
    kinds = {syntax.frame_type for syntax in uids.TRANSFER_SYNTAXES.values()}
    assert kinds == set(uids.DEFAULT_BY_FRAME_TYPE)


@pytest.mark.parametrize(
    ("name", "storage"),
    [
        ("CTImageStorage", True),
        ("BasicTextSRStorage", True),
        ("EncapsulatedPDFStorage", True),
        ("DigitalXRayImageStorageForProcessing", True),
        ("HangingProtocolStorage", True),
        ("MediaStorageDirectoryStorage", False),
        ("1.2.840.10008.1.1", False),
        ("1.2.840.10008.1.20.1", False),
        ("1.2.840.10008.5.1.4.1.2.2.1", False),
        ("ExplicitVRLittleEndian", False),
    ],
)
def test_storage_classes_are_told_from_others(name: str, storage: bool) -> None:
    uid = pydicom.uid.UID(name) if name[0] == "1" else getattr(pydicom.uid, name)
    assert uids.is_storage(uid) == storage
    assert uids.sop_class_name(uid) == uid.name


@pytest.mark.parametrize("uid", ["", "1.2.3", "abc", "1.2.840.10008.5.1.4.1.1.2.1.1.1.1"])
def test_other_uids_are_no_storage_class_and_their_own_name(uid: str) -> None:
    assert not uids.is_storage(uid)
    assert uids.sop_class_name(uid) == uid


def test_tables_name_attributes_as_the_dictionary_does() -> None:
    for table in attributes.INDEXED.values():
        for tag, (keyword, vr) in table.items():
            assert (dictionary_keyword(int(tag, 16)), dictionary_VR(int(tag, 16))) == (keyword, vr)
    assert len(attributes.ALL_INDEXED) == sum(map(len, attributes.INDEXED.values()))


def test_every_key_of_a_level_is_a_standard_attribute() -> None:
    for level, keys in attributes.KEYS.items():
        assert all(attributes.keyword_of(tag) for tag in keys.all), level
        assert keys.unique in keys.all
    assert attributes.KEYS[Level.STUDY].unique == attributes.tag_of("StudyInstanceUID")
    assert ("00400275", "00400009") in attributes.SERIES_KEYS.web_required


def test_a_35_reports_are_known_by_their_class() -> None:
    root = "1.2.840.10008.5.1.4.1.1."
    for number in ("88.11", "88.33", "88.59", "88.67", "78.6", "79.1"):
        assert uids.is_report(root + number)
    for number in ("2", "78.1", "80.1", "104.1", "8"):
        assert not uids.is_report(root + number)


def test_look_ups_go_both_ways() -> None:
    assert attributes.tag_of("PatientName") == "00100010"
    assert attributes.keyword_of("00100010") == "PatientName"
    assert attributes.vr_of("00100010") == "PN"
    assert attributes.vr_of("7FE00010") == "OB"
    assert attributes.tag_of("Nonsense") is None
    assert attributes.keyword_of("00091001") is None
    assert attributes.vr_of("00091001") is None
