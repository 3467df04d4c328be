"""vna/query/keys.py: what a level takes and answers (PS3.18 10.6, PS3.4 C.6)."""

from __future__ import annotations

from typing import Any

import pytest

from vna.dicom.attributes import tag_of
from vna.dicom.identifiers import Model
from vna.dicom.matching import DateRange, Item, MatchingKey, MomentRange, Number, Path, Single
from vna.dicom.matchkeys import Options
from vna.dicom.refs import UID, Level
from vna.errors import InvalidQuery
from vna.query.keys import Asked, from_identifier, from_parameters

STUDY, SERIES = UID("1.2.3"), UID("1.2.3.4")


def paths(*keywords: str) -> set[Path]:
    return {tuple(str(tag_of(step)) for step in keyword.split(".")) for keyword in keywords}


OF_STUDY = paths(
    *("StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName"),
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"),
    *("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
)
OF_SERIES = paths(
    *("Modality", "SeriesInstanceUID", "SeriesNumber", "NumberOfSeriesRelatedInstances"),
)
OF_INSTANCE = paths("SOPClassUID", "SOPInstanceUID", "InstanceNumber")
SERIES_IF_KNOWN = paths(
    *("TimezoneOffsetFromUTC", "SeriesDescription", "PerformedProcedureStepStartDate"),
    *("PerformedProcedureStepStartTime", "RequestAttributesSequence.ScheduledProcedureStepID"),
    "RequestAttributesSequence.RequestedProcedureID",
)
INSTANCE_IF_KNOWN = paths(
    *("InstanceAvailability", "TimezoneOffsetFromUTC", "Rows", "Columns", "BitsAllocated"),
    *("NumberOfFrames", "AvailableTransferSyntaxUID"),
)


def qido(
    level: Level, *pairs: tuple[str, str], study: UID | None = None, series: UID | None = None
) -> Asked:
    return from_parameters(level, pairs, most=1000, study=study, series=series)


@pytest.mark.parametrize(
    ("level", "study", "series", "required"),
    [
        (Level.STUDY, None, None, OF_STUDY),
        (Level.SERIES, STUDY, None, OF_SERIES),
        (Level.SERIES, None, None, OF_SERIES | OF_STUDY),
        (Level.IMAGE, STUDY, SERIES, OF_INSTANCE),
        (Level.IMAGE, STUDY, None, OF_INSTANCE | OF_SERIES),
        (Level.IMAGE, None, None, OF_INSTANCE | OF_SERIES | OF_STUDY),
    ],
)
def test_each_resource_answers_its_tables(
    level: Level, study: UID | None, series: UID | None, required: set[Path]
) -> None:
    assert qido(level, study=study, series=series).query.returns == required


@pytest.mark.parametrize(
    ("level", "if_known"),
    [
        (Level.STUDY, paths("InstanceAvailability", "TimezoneOffsetFromUTC")),
        (Level.SERIES, SERIES_IF_KNOWN),
        (Level.IMAGE, INSTANCE_IF_KNOWN),
    ],
)
def test_some_attributes_are_answered_only_if_known(level: Level, if_known: set[Path]) -> None:
    study = None if level is Level.STUDY else STUDY
    series = SERIES if level is Level.IMAGE else None
    assert qido(level, study=study, series=series).query.if_known == if_known


def test_the_resource_gives_the_keys_of_the_levels_above() -> None:
    query = qido(Level.IMAGE, ("InstanceNumber", "5"), study=STUDY, series=SERIES).query
    assert query.keys[:2] == (
        MatchingKey("0020000D", Single(STUDY)),
        MatchingKey("0020000E", Single(SERIES)),
    )
    assert query.keys[2].tag == "00200013"


def test_match_keys_and_includes_are_answered_too() -> None:
    query = qido(
        Level.STUDY,
        ("StudyDescription", "A*"),
        ("includefield", "IssuerOfPatientID,RequestAttributesSequence"),
        ("includefield", "InstitutionName"),
    ).query
    assert query.returns - OF_STUDY == paths("StudyDescription", "IssuerOfPatientID")


def test_an_include_of_a_level_above_is_answered() -> None:
    query = qido(Level.SERIES, ("includefield", "PatientName"), study=STUDY).query
    assert query.returns == OF_SERIES | paths("PatientName")


def test_an_include_by_request_is_answered_even_when_empty() -> None:
    query = qido(Level.SERIES, ("includefield", "SeriesDescription"), study=STUDY).query
    assert paths("SeriesDescription") <= query.returns
    assert query.if_known == SERIES_IF_KNOWN - paths("SeriesDescription")


def test_keys_that_are_not_matched_on_are_left_out_and_said() -> None:
    asked = qido(
        Level.STUDY,
        ("Modality", "CT"),
        ("InstanceAvailability", "ONLINE"),
        ("00091001", "X"),
        ("TimezoneOffsetFromUTC", "+0100"),
        ("InstitutionName", ""),
    )
    assert asked.query.keys == ()
    assert set(asked.unsupported) == {"Modality", "InstanceAvailability", "(0009,1001)"}
    assert len(asked.deviations) == 4  # the private one has no creator either


def test_date_and_time_combine_on_the_web() -> None:
    query = qido(Level.STUDY, ("StudyDate", "20240101-"), ("StudyTime", "10-")).query
    assert [type(key.condition) for key in query.keys] == [MomentRange]


@pytest.mark.parametrize(
    ("pairs", "limit", "offset"),
    [
        ([], 1000, 0),
        ([("limit", "5"), ("offset", "7")], 5, 7),
        ([("limit", "5000")], 1000, 0),
        ([("limit", "0")], 0, 0),
    ],
)
def test_limits_stay_below_the_servers(
    pairs: list[tuple[str, str]], limit: int, offset: int
) -> None:
    query = qido(Level.STUDY, *pairs).query
    assert (query.limit, query.offset) == (limit, offset)


def test_all_is_everything() -> None:
    assert qido(Level.STUDY, ("includefield", "all")).query.everything


# --- C-FIND -------------------------------------------------------------------------------------


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def find(model: Model, level: str, elements: dict[str, Any], options: Options = Options()) -> Asked:  # noqa: B008 -- a frozen value
    return from_identifier(model, {"00080052": element("CS", level)} | elements, options)


def test_an_identifier_is_answered_with_what_it_names() -> None:
    asked = find(
        Model.STUDY_ROOT,
        "STUDY",
        {
            "00080005": element("CS", "ISO_IR 100"),
            "00080020": element("DA", "20240101-20240131"),
            "00080054": element("AE"),
            "00100010": element("PN"),
            "0020000D": element("UI"),
        },
    )
    assert asked.query.level is Level.STUDY
    assert [type(key.condition) for key in asked.query.keys] == [DateRange]
    assert asked.query.returns == paths(
        *("QueryRetrieveLevel", "StudyDate", "PatientName", "StudyInstanceUID")
    )
    assert asked.query.if_known == paths("InstanceAvailability", "TimezoneOffsetFromUTC")
    assert asked.query.limit is None
    assert asked.unsupported == ()


def test_what_is_not_supported_is_named() -> None:
    asked = find(
        Model.STUDY_ROOT,
        "STUDY",
        {
            "0020000D": element("UI"),
            "00080060": element("CS", "CT"),
            "00081080": element("LO"),
            "00201208": element("IS", 4),
            "00091001": {"vr": "UN", "InlineBinary": "AAA="},
        },
    )
    assert asked.unsupported == ("(0009,1001)", "Modality")
    assert [detail.path for detail in asked.query.details] == [("00081080",)]
    assert [key.condition for key in asked.query.keys] == [Number(4)]
    assert asked.query.returns == paths(
        *("QueryRetrieveLevel", "StudyInstanceUID", "NumberOfStudyRelatedInstances"),
        "AdmittingDiagnosesDescription",
    )


def test_hierarchical_keys_narrow_the_search() -> None:
    asked = find(
        Model.PATIENT_ROOT,
        "IMAGE",
        {
            "00100020": element("LO", "P1"),
            "0020000D": element("UI", "1.2"),
            "0020000E": element("UI", "1.3"),
            "00080018": element("UI"),
            "00080061": element("CS", "CT"),
        },
    )
    assert [(key.tag, key.condition) for key in asked.query.keys] == [
        ("00100020", Single("P1")),
        ("0020000D", Single("1.2")),
        ("0020000E", Single("1.3")),
        ("00080061", Single("CT")),
    ]


def test_date_and_time_combine_only_when_negotiated() -> None:
    elements = {
        "0020000D": element("UI"),
        "00080020": element("DA", "20240101-"),
        "00080030": element("TM", "10-"),
    }
    assert len(find(Model.STUDY_ROOT, "STUDY", elements).query.keys) == 2
    combined = find(Model.STUDY_ROOT, "STUDY", elements, Options(combined=True))
    assert [type(key.condition) for key in combined.query.keys] == [MomentRange]


def test_sequence_keys_reach_the_query() -> None:
    asked = find(
        Model.STUDY_ROOT,
        "SERIES",
        {
            "0020000D": element("UI", "1.2"),
            "0020000E": element("UI"),
            "00400275": element("SQ", {"00400009": element("SH", "S"), "00401001": element("SH")}),
        },
    )
    (key,) = (key for key in asked.query.keys if key.tag == "00400275")
    assert key.condition == Item((MatchingKey("00400009", Single("S")),))
    assert paths(
        *("RequestAttributesSequence.ScheduledProcedureStepID",),
        "RequestAttributesSequence.RequestedProcedureID",
    ) <= set(asked.query.returns)


def test_patient_counts_are_of_the_patient_level() -> None:
    counted = {"00201200": element("IS")}
    at_patient = find(Model.PATIENT_ROOT, "PATIENT", {"00100020": element("LO")} | counted)
    at_study = find(Model.STUDY_ROOT, "STUDY", {"0020000D": element("UI")} | counted)
    assert at_patient.unsupported == ()
    assert at_study.unsupported == ("NumberOfPatientRelatedStudies",)


def test_a_bad_key_value_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="StudyDate"):
        find(Model.STUDY_ROOT, "STUDY", {"00080020": element("DA", "2024")})
