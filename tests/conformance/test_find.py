"""C-FIND of the Query/Retrieve Service Class, row by row: PS3.4 C.2.2.2, C.4.1, C.5.1, C.6."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from tests.conformance.holdings import CT, JPEG, MR, dicom_edge, held, uid
from tests.conftest import TestPostgres
from tests.dimse.edge import Edge
from tests.dimse.test_peers import run
from tests.web.conftest import Site

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.1"
RELATIONAL, COMBINED, FUZZY, TIMEZONE = b"\1", b"\0\1", b"\0\0\1", b"\0\1\0\1"
EMPTY, SEVERAL = b"\0\0\0\0\0\1", b"\0\0\0\0\0\0\1"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three studies, some attributes made searchable."""
    with held(postgres, tmp_path_factory.mktemp("held")) as found:
        yield found


@pytest.fixture(scope="module")
def edge(site: Site) -> Iterator[Edge]:
    with dicom_edge(site) as found:
        yield found


def identifier(level: str | None, keys: dict[str, Any]) -> Dataset:
    """Make an Identifier; a list of dicts is a sequence."""
    ds = Dataset()
    if level is not None:
        ds.QueryRetrieveLevel = level
    for name, value in keys.items():
        if isinstance(value, dict):
            value = Items([identifier(None, value)])  # noqa: PLW2901 -- the item
        setattr(ds, name, value)
    return ds


def ask(
    edge: Edge, ds: Dataset, model: str = STUDY_ROOT, extended: bytes | None = None
) -> tuple[list[tuple[Dataset, Dataset | None]], bytes | None]:
    """Ask by pynetdicom's SCU; give each status with its Identifier, and what was agreed on."""
    ae = AE(ae_title="ASKER")
    ae.add_requested_context(model)
    items = []
    if extended is not None:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = model
        item.service_class_application_information = extended
        items.append(item)
    assoc = ae.associate("127.0.0.1", edge.port, ext_neg=items)
    assert assoc.is_established
    answered = assoc.acceptor.sop_class_extended.get(model)
    found = [(status, found) for status, found in assoc.send_c_find(ds, model)]
    assoc.release()
    return found, answered


def find(
    edge: Edge,
    level: str,
    model: str = STUDY_ROOT,
    extended: bytes | None = None,
    **keys: Any,
) -> list[Dataset]:
    """The Identifiers of a query that must succeed."""
    answers, _ = ask(edge, identifier(level, keys), model, extended)
    assert answers[-1][0].Status == 0x0000, answers[-1][0]
    assert all(status.Status in (0xFF00, 0xFF01) for status, _ in answers[:-1])
    return [found for _, found in answers[:-1] if found is not None]


def refused(edge: Edge, ds: Dataset, model: str = STUDY_ROOT) -> Dataset:
    """The one status of a query that must fail."""
    answers, _ = ask(edge, ds, model)
    assert len(answers) == 1
    return answers[0][0]


def studies(edge: Edge, extended: bytes | None = None, **keys: Any) -> set[int]:
    """The studies a query finds, by number."""
    found = find(edge, "STUDY", extended=extended, **{"StudyInstanceUID": "", **keys})
    return {n for n in (1, 2, 3) for ds in found if ds.StudyInstanceUID == uid(n)}


# ---- C.2.2.2 Attribute matching ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"PatientID": "PAT1"}, {1}),
        ({"PatientID": "pat1"}, set()),
        ({"StudyTime": "1015"}, {1}),
        ({"StudyDate": "20240310"}, {2}),
        ({"NumberOfStudyRelatedInstances": "3"}, {1}),
    ],
)
def test_c_2_2_2_1_single_values(edge: Edge, keys: dict[str, str], expected: set[int]) -> None:
    assert studies(edge, **keys) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (uid(1), {1}),
        ([uid(1), uid(3)], {1, 3}),
        ([uid(2), "1.2.3"], {2}),
    ],
)
def test_c_2_2_2_2_list_of_uids(edge: Edge, value: str | list[str], expected: set[int]) -> None:
    assert studies(edge, StudyInstanceUID=value) == expected


@pytest.mark.parametrize("value", ["", "*"])
def test_c_2_2_2_3_universal_matching(edge: Edge, value: str) -> None:
    assert studies(edge, AccessionNumber=value, PatientName=value) == {1, 2, 3}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"AccessionNumber": "ACC*"}, {1, 2}),
        ({"AccessionNumber": "?CC2"}, {2}),
        ({"PatientName": "sm?th*"}, {2, 3}),
        ({"StudyDescription": "*ea*"}, {2}),
        ({"StudyID": "*2"}, {2}),
    ],
)
def test_c_2_2_2_4_wild_cards(edge: Edge, keys: dict[str, str], expected: set[int]) -> None:
    assert studies(edge, **keys) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"StudyDate": "20240101-20240201"}, {1}),
        ({"StudyDate": "20240106-"}, {2}),
        ({"StudyDate": "-20240310"}, {1, 2}),
        ({"StudyTime": "10-11"}, {1}),
        ({"PatientBirthDate": "19750101-"}, {2}),
    ],
)
def test_c_2_2_2_5_ranges(edge: Edge, keys: dict[str, str], expected: set[int]) -> None:
    both = {"StudyInstanceUID": [uid(1), uid(2)]}
    assert studies(edge, **both, **keys) == expected


def test_c_2_2_2_6_sequences(edge: Edge) -> None:
    asked = {"ScheduledProcedureStepID": "SPS1b", "RequestedProcedureID": ""}
    found = find(
        edge,
        "SERIES",
        extended=RELATIONAL,
        SeriesInstanceUID="",
        RequestAttributesSequence=asked,
    )
    assert {ds.SeriesInstanceUID for ds in found} == {uid(1, 1), uid(1, 2)}
    for ds in found:
        (item,) = ds.RequestAttributesSequence
        assert (item.ScheduledProcedureStepID, item.RequestedProcedureID) == ("SPS1b", "RP1b")
    crossed = {"ScheduledProcedureStepID": "SPS1", "RequestedProcedureID": "RP1b"}
    assert not find(
        edge, "SERIES", extended=RELATIONAL, SeriesInstanceUID="", RequestAttributesSequence=crossed
    )


def test_c_2_2_2_6_an_item_without_keys_is_universal(edge: Edge) -> None:
    (ds,) = find(
        edge,
        "SERIES",
        StudyInstanceUID=uid(2),
        SeriesInstanceUID="",
        RequestAttributesSequence={"ScheduledProcedureStepID": ""},
    )
    (item,) = ds.RequestAttributesSequence
    assert [element.keyword for element in item] == ["ScheduledProcedureStepID"]


@pytest.mark.parametrize(("extended", "expected"), [(EMPTY, {3}), (None, set())])
def test_c_2_2_2_7_empty_values(edge: Edge, extended: bytes | None, expected: set[int]) -> None:
    assert studies(edge, extended, AccessionNumber='""') == expected


@pytest.mark.parametrize(("extended", "expected"), [(SEVERAL, {1}), (None, {1, 3})])
def test_c_2_2_2_8_several_values(edge: Edge, extended: bytes | None, expected: set[int]) -> None:
    assert studies(edge, extended, ModalitiesInStudy=["CT", "PT"]) == expected


# ---- Table C.5-1, C.5-2 Extended negotiation -----------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"\1", b"\1"),
        (b"\0", b"\0"),
        (b"\1\1\1\1\1\1\1", b"\1\1\1\1\0\1\1"),
        (b"\0\0\0\1", b"\0\0\0\1"),
    ],
)
def test_table_c_5_2_each_byte_is_answered(edge: Edge, asked: bytes, answered: bytes) -> None:
    ds = identifier("STUDY", {"StudyInstanceUID": ""})
    assert ask(edge, ds, extended=asked)[1] == answered
    assert ask(edge, ds)[1] is None


def test_table_c_5_1_relational_queries(edge: Edge) -> None:
    ds = identifier("SERIES", {"SeriesInstanceUID": "", "Modality": "PT"})
    assert refused(edge, ds).Status == 0xA900
    (found,) = find(edge, "SERIES", extended=RELATIONAL, SeriesInstanceUID="", Modality="PT")
    assert found.SeriesInstanceUID == uid(1, 2)


def test_table_c_5_1_combined_date_and_time(edge: Edge) -> None:
    keys = {"StudyDate": "20240105-20240310", "StudyTime": "101501-161000"}
    assert studies(edge, COMBINED, **keys) == {2}
    assert studies(edge, None, **keys) == {2}  # 10:15:00 lies in neither
    keys = {"StudyDate": "20240105-20240310", "StudyTime": "16-10"}
    assert studies(edge, COMBINED, **keys) == set()
    keys = {"StudyDate": "20240104-20240310", "StudyTime": "12-13"}
    assert studies(edge, COMBINED, **keys) == {1}
    assert studies(edge, None, **keys) == set()


def test_table_c_5_1_fuzzy_names(edge: Edge) -> None:
    assert studies(edge, FUZZY, PatientName="Smith") == {2, 3}
    assert studies(edge, FUZZY, PatientName="Jorg Mueller") == {1}
    assert studies(edge, None, PatientName="Smith") == set()


def test_table_c_5_1_timezone_adjustment(edge: Edge) -> None:
    keys = {"StudyDate": "20240105-20240105", "StudyTime": "0910-0920"}
    assert studies(edge, TIMEZONE, **keys, TimezoneOffsetFromUTC="+0000") == {1}
    assert studies(edge, TIMEZONE, **keys) == set()
    assert studies(edge, COMBINED, **keys, TimezoneOffsetFromUTC="+0000") == set()
    bad = identifier("STUDY", {"StudyInstanceUID": "", "TimezoneOffsetFromUTC": "CET"})
    assert ask(edge, bad, extended=TIMEZONE)[0][0][0].Status == 0xA900


# ---- Tables C.6-1 to C.6-4 Patient Root ----------------------------------------------------------

PATIENT_ROWS: list[tuple[str, str, Any]] = [
    ("PatientID", "PAT1", "PAT1"),
    ("PatientName", "müller*", "Müller^Jörg^^Dr"),
    ("PatientBirthDate", "19700101", "19700101"),
    ("PatientSex", "F", "F"),
    ("IssuerOfPatientID", "LOCAL", "LOCAL"),
    ("PatientComments", "", "left"),
    ("NumberOfPatientRelatedStudies", "", 1),
    ("NumberOfPatientRelatedSeries", "", 2),
    ("NumberOfPatientRelatedInstances", "", 3),
]


@pytest.mark.parametrize(("name", "asked", "answered"), PATIENT_ROWS)
def test_table_c_6_1_patient_keys(edge: Edge, name: str, asked: str, answered: Any) -> None:
    keys = {"PatientID": "", "SpecificCharacterSet": "ISO_IR 100", name: asked}
    found = find(edge, "PATIENT", PATIENT_ROOT, **keys)
    (ds,) = [ds for ds in found if ds.PatientID == "PAT1"]
    assert ds[name].value == answered
    assert len(found) == (1 if asked and name != "IssuerOfPatientID" else 3)


def test_table_c_6_2_studies_of_a_patient(edge: Edge) -> None:
    keys = {"PatientID": "PAT2", "StudyInstanceUID": "", "StudyDate": "", "StudyID": ""}
    (ds,) = find(edge, "STUDY", PATIENT_ROOT, **keys)
    assert (ds.PatientID, ds.StudyInstanceUID, ds.StudyID) == ("PAT2", uid(2), "ID2")
    assert ds.QueryRetrieveLevel == "STUDY"


def test_table_c_6_2_the_patient_must_be_named(edge: Edge) -> None:
    status = refused(edge, identifier("STUDY", {"StudyInstanceUID": ""}), PATIENT_ROOT)
    assert status.Status == 0xA900
    assert status.OffendingElement == 0x00100020
    assert "PatientID" in status.ErrorComment


def test_c_3_3_patient_study_only_has_two_levels(edge: Edge) -> None:
    (ds,) = find(edge, "PATIENT", PATIENT_STUDY_ONLY, PatientID="PAT3")
    assert ds.PatientID == "PAT3"
    keys = {"PatientID": "PAT3", "StudyInstanceUID": ""}
    assert [d.StudyInstanceUID for d in find(edge, "STUDY", PATIENT_STUDY_ONLY, **keys)] == [uid(3)]
    ds = identifier("SERIES", {**keys, "SeriesInstanceUID": ""})
    assert refused(edge, ds, PATIENT_STUDY_ONLY).Status == 0xA900


# ---- Tables C.6-5 to C.6-7 Study Root ------------------------------------------------------------

STUDY_ROWS: list[tuple[str, Any, Any]] = [
    ("StudyDate", "20240105", "20240105"),
    ("StudyTime", "101500", "101500"),
    ("AccessionNumber", "ACC1", "ACC1"),
    ("PatientName", "müller*", "Müller^Jörg^^Dr"),
    ("PatientID", "PAT1", "PAT1"),
    ("StudyID", "ID1", "ID1"),
    ("StudyInstanceUID", uid(1), uid(1)),
    ("ModalitiesInStudy", "PT", ["CT", "PT"]),
    ("SOPClassesInStudy", CT, CT),
    ("ReferringPhysicianName", "adams*", "Adams^Ann"),
    ("StudyDescription", "Chest", "Chest"),
    ("PatientBirthDate", "19700101", "19700101"),
    ("PatientSex", "F", "F"),
    ("NumberOfStudyRelatedSeries", "2", 2),
    ("NumberOfStudyRelatedInstances", "3", 3),
    ("PatientAge", "", "054Y"),
    ("AdmittingDiagnosesDescription", "", ["cough", "fever"]),
    ("AdmissionID", "ADM1", "ADM1"),
    ("TimezoneOffsetFromUTC", "", "+0100"),
]


@pytest.mark.parametrize(("name", "asked", "answered"), STUDY_ROWS)
def test_table_c_6_5_study_keys(edge: Edge, name: str, asked: Any, answered: Any) -> None:
    keys = {"StudyInstanceUID": "", "SpecificCharacterSet": "ISO_IR 100", name: asked}
    answers, _ = ask(edge, identifier("STUDY", keys))
    found = [ds for _, ds in answers[:-1] if ds is not None]
    assert {status.Status for status, _ in answers[:-1]} == {0xFF00}
    (ds,) = [ds for ds in found if ds.StudyInstanceUID == uid(1)]
    assert ds[name].value == answered
    if asked not in ("", CT):
        assert len(found) == 1


SERIES_ROWS: list[tuple[str, Any, Any]] = [
    ("Modality", "PT", "PT"),
    ("SeriesNumber", "2", 2),
    ("SeriesInstanceUID", uid(1, 2), uid(1, 2)),
    ("SeriesDescription", "Axial*", "Axial 5 mm"),
    ("BodyPartExamined", "CHEST", "CHEST"),
    ("PerformedProcedureStepStartDate", "20240105", "20240105"),
    ("PerformedProcedureStepStartTime", "1020", "102000"),
    ("NumberOfSeriesRelatedInstances", "1", 1),
    ("OperatorsName", "tech*", "Tech^One"),
    ("InstitutionName", "Example*", "Example Hospital"),
    ("ProtocolName", "", None),
]


@pytest.mark.parametrize(("name", "asked", "answered"), SERIES_ROWS)
def test_table_c_6_3_series_keys(edge: Edge, name: str, asked: Any, answered: Any) -> None:
    keys = {"StudyInstanceUID": uid(1), "SeriesInstanceUID": "", name: asked}
    found = find(edge, "SERIES", **keys)
    (ds,) = [ds for ds in found if ds.SeriesInstanceUID == uid(1, 2)]
    assert ds.StudyInstanceUID == uid(1)
    assert ds[name].value == answered or (answered is None and ds[name].is_empty)


IMAGE_ROWS: list[tuple[str, Any, Any]] = [
    ("InstanceNumber", "1", 1),
    ("SOPInstanceUID", uid(2, 1, 1), uid(2, 1, 1)),
    ("SOPClassUID", MR, MR),
    ("AvailableTransferSyntaxUID", "", JPEG),
    ("Rows", "", 16),
    ("NumberOfFrames", "3", 3),
    ("ContentDate", "20240102", "20240102"),
    ("KVP", "80", 80),
    ("ImageType", "", ["ORIGINAL", "PRIMARY", "AXIAL"]),
]


@pytest.mark.parametrize(("name", "asked", "answered"), IMAGE_ROWS)
def test_table_c_6_4_image_keys(edge: Edge, name: str, asked: Any, answered: Any) -> None:
    above = {"StudyInstanceUID": uid(2), "SeriesInstanceUID": uid(2, 1)}
    keys = {**above, "SOPInstanceUID": "", name: int(asked) if name == "Rows" and asked else asked}
    if asked == "" and name == "Rows":
        keys[name] = None
    (ds,) = find(edge, "IMAGE", **keys)
    assert ds[name].value == answered
    assert (ds.StudyInstanceUID, ds.SeriesInstanceUID) == (uid(2), uid(2, 1))


# ---- C.4.1.1.3 Identifiers -----------------------------------------------------------------------


def test_c_4_1_1_3_2_an_answer_says_level_retrieve_ae_and_availability(edge: Edge) -> None:
    (ds,) = find(edge, "STUDY", StudyInstanceUID=uid(2))
    assert ds.QueryRetrieveLevel == "STUDY"
    assert ds.RetrieveAETitle == "VNA"
    assert ds.InstanceAvailability == "ONLINE"


def test_c_4_1_1_3_2_nothing_else_is_answered_than_was_asked_for(edge: Edge) -> None:
    (ds,) = find(edge, "STUDY", StudyInstanceUID=uid(2), StudyID="")
    named = {element.keyword for element in ds}
    assert named == {
        *("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability"),
        *("StudyInstanceUID", "StudyID"),
    }


def test_c_4_1_1_3_2_a_key_without_a_value_is_of_zero_length(edge: Edge) -> None:
    (ds,) = find(edge, "STUDY", StudyInstanceUID=uid(3), StudyID="", PatientAge="")
    assert ds["StudyID"].is_empty
    assert ds["PatientAge"].is_empty


@pytest.mark.parametrize(
    ("charset", "answered"),
    [("ISO_IR 100", "ISO_IR 100"), ("ISO_IR 192", "ISO_IR 192"), ("ISO_IR 101", "ISO_IR 101")],
)
def test_c_4_1_1_3_2_the_askers_characters_are_used(
    edge: Edge, charset: str, answered: str
) -> None:
    keys = {"StudyInstanceUID": "", "PatientID": "PAT1", "PatientName": ""}
    (ds,) = find(edge, "STUDY", SpecificCharacterSet=charset, **keys)
    assert ds.SpecificCharacterSet == answered
    assert str(ds.PatientName) == "Müller^Jörg^^Dr"


def test_c_4_1_1_3_2_utf_8_is_used_where_the_askers_cannot_carry_it(edge: Edge) -> None:
    keys = {"StudyInstanceUID": "", "PatientID": "PAT2", "PatientName": ""}
    (ds,) = find(edge, "STUDY", SpecificCharacterSet="ISO_IR 100", **keys)
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName.ideographic == "山田^太郎"


def test_c_4_1_1_3_2_a_private_key_is_found_by_its_creator(edge: Edge) -> None:
    ds = identifier("STUDY", {"StudyInstanceUID": ""})
    block = ds.private_block(0x0011, "ACME 1.1", create=True)
    block.add_new(0x01, "LO", "two")
    answers, _ = ask(edge, ds)
    ((status, found), (_, _)) = answers
    assert status.Status == 0xFF00
    assert found is not None
    assert found.StudyInstanceUID == uid(2)
    assert found.private_block(0x0011, "ACME 1.1")[0x01].value in ("two", b"two ")


# ---- Table C.4-1 Statuses ------------------------------------------------------------------------


def test_table_c_4_1_success_without_a_match(edge: Edge) -> None:
    answers, _ = ask(edge, identifier("STUDY", {"StudyInstanceUID": "", "PatientID": "Nobody"}))
    assert [(status.Status, found) for status, found in answers] == [(0x0000, None)]


@pytest.mark.parametrize(
    "keys",
    [
        {"PatientComments": "left"},  # not made searchable
        {"Modality": "CT"},  # of a level below
        {"KVP": ""},  # of a level below
        {"AnatomicRegionsInStudyCodeSequence": {"CodeValue": ""}},  # not had at all
    ],
)
def test_table_c_4_1_ff01_says_that_a_key_is_not_supported(
    edge: Edge, keys: dict[str, Any]
) -> None:
    answers, _ = ask(edge, identifier("STUDY", {"StudyInstanceUID": uid(1), **keys}))
    assert [status.Status for status, _ in answers] == [0xFF01, 0x0000]


FAULTS: list[tuple[dict[str, Any], Sequence[int]]] = [
    ({"StudyInstanceUID": ""}, [0x00080052]),
    ({"QueryRetrieveLevel": "FRAME", "StudyInstanceUID": ""}, [0x00080052]),
    ({"QueryRetrieveLevel": "PATIENT", "PatientID": ""}, [0x00080052]),
    ({"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ""}, [0x0020000D]),
    (
        {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": [uid(1), uid(2)]},
        [0x0020000D],
    ),
    ({"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": uid(1)}, [0x0020000E]),
    ({"QueryRetrieveLevel": "STUDY", "StudyDate": "20240310-20240105"}, [0x00080020]),
]


@pytest.mark.parametrize(("keys", "offending"), FAULTS)
def test_table_c_4_1_a900_names_the_element_at_fault(
    edge: Edge, keys: dict[str, Any], offending: Sequence[int]
) -> None:
    status = refused(edge, identifier(None, keys))
    assert status.Status == 0xA900
    element = status.OffendingElement
    assert element in (offending, offending[0])
    assert status.ErrorComment


def test_table_c_4_1_a700_past_the_limit_of_answers(postgres: TestPostgres, tmp_path: Path) -> None:
    with held(postgres, tmp_path, find_rows=2) as site, dicom_edge(site) as edge:
        answers, _ = ask(edge, identifier("STUDY", {"StudyInstanceUID": ""}))
        assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0xA700]
        assert "more than 2" in answers[-1][0].ErrorComment
        ds = identifier("STUDY", {"StudyInstanceUID": [uid(1), uid(2)]})
        assert [status.Status for status, _ in ask(edge, ds)[0]] == [0xFF00, 0xFF00, 0x0000]


# ---- Real clients --------------------------------------------------------------------------------


def test_findscu_with_keys_of_every_kind(edge: Edge) -> None:
    for keys, expected in (
        (["PatientName=SM*"], {2, 3}),
        (["StudyDate=20240101-20240201", "PatientAge"], {1}),
        (["AdmissionID=ADM2"], {2}),
        ([f"StudyInstanceUID={uid(1)}\\{uid(2)}"], {1, 2}),
    ):
        asked = [part for key in keys for part in ("-k", key)]
        done = run(
            *("/usr/bin/findscu", "-v", "-S", "-aec", "VNA", "-k", "QueryRetrieveLevel=STUDY"),
            *("-k", "StudyInstanceUID", *asked, "127.0.0.1", str(edge.port)),
        )
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        answers = text.split("Received Final Find Response")[0].split("Find Response:")[1:]
        assert {n for n in (1, 2, 3) for one in answers if f"[{uid(n)}" in one} == expected, text


def test_dicomweb_client_searches_with_fields_and_fuzzy_names(site: Site) -> None:
    client = DICOMwebClient(url=site.root)
    found = client.search_for_studies(
        search_filters={"PatientName": "Smith"}, fuzzymatching=True, fields=["AdmissionID"]
    )
    assert {one["0020000D"]["Value"][0] for one in found} == {uid(2), uid(3)}
    assert {one["0020000D"]["Value"][0]: one["00380010"].get("Value") for one in found} == {
        uid(2): ["ADM2"],
        uid(3): None,
    }
    series = client.search_for_series(uid(1), search_filters={"Modality": "PT"})
    assert [one["0020000E"]["Value"] for one in series] == [[uid(1, 2)]]
    instances = client.search_for_instances(search_filters={"KVP": "80"}, limit=1)
    assert [one["00080018"]["Value"] for one in instances] == [[uid(2, 1, 1)]]


# ---- Both protocols ------------------------------------------------------------------------------

SAME: list[tuple[str, str, dict[str, str], list[str]]] = [
    ("STUDY", "studies", {"PatientName": "SM*"}, ["PatientAge", "AdmissionID", "StudyID"]),
    ("STUDY", "studies", {"AdmissionID": "ADM1"}, ["ModalitiesInStudy", "OtherStudyNumbers"]),
    ("STUDY", "studies", {"StudyDate": "20240101-"}, ["PatientName", "PatientComments"]),
    ("SERIES", "series", {"OperatorsName": "tech*"}, ["SeriesDescription", "ProtocolName"]),
    ("IMAGE", "instances", {"KVP": "120", "PatientID": "PAT1"}, ["ImageType", "PatientAge"]),
]
UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@pytest.mark.parametrize("same", SAME)
def test_both_protocols_answer_the_same(
    site: Site, edge: Edge, same: tuple[str, str, dict[str, str], list[str]]
) -> None:
    level, resource, keys, fields = same
    wanted = {UNIQUE[level]: "", **dict.fromkeys(fields, "")}
    asked = {**wanted, **keys, "SpecificCharacterSet": "ISO_IR 192"}
    found = find(edge, level, extended=b"\1\1", **asked)
    answer = site.client.get(
        f"{site.root}/{resource}", params={**keys, "includefield": ",".join(fields)}
    )
    assert len(found) == len(answer.json()) > 0
    for ds, elements in zip(found, answer.json(), strict=True):
        mine = json.loads(ds.to_json())
        for name in (*wanted, *keys):
            tag = f"{ds[name].tag:08X}"
            assert mine[tag].get("Value") == elements[tag].get("Value"), name
