"""The Search transaction, row by row: PS3.18 8.3.4, 10.6, and what 8.x says of its requests."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conformance.holdings import CT, MR, held
from tests.conftest import TestPostgres
from tests.factories import JPEG, uid
from tests.web.conftest import Site, parts_of, read_xml
from vna.dicom.attributes import keyword_of, tag_of

JSON = "application/dicom+json"
XML = 'multipart/related; type="application/dicom+xml"'
STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three studies, some attributes made searchable."""
    with held(postgres, tmp_path_factory.mktemp("held")) as found:
        yield found


def ok(site: Site, path: str, accept: str = JSON) -> list[dict[str, Any]]:
    """The results of a search that must succeed."""
    answer = site.get(path, accept)
    assert answer.status_code == 200, answer.text
    results = answer.json()
    assert isinstance(results, list)
    return results


def uids(results: list[dict[str, Any]], tag: str = STUDY) -> list[str]:
    return [elements[tag]["Value"][0] for elements in results]


def studies(site: Site, query: str) -> set[int]:
    """The studies a query finds, by number."""
    found = uids(ok(site, f"/studies?{query}"))
    return {n for n in (1, 2, 3) if uid(n) in found}


def values(elements: dict[str, Any], name: str) -> Any:
    return elements[tag_of(name) or name].get("Value")


def warnings(answer: httpx.Response) -> list[str]:
    return answer.headers.get_list("warning")


# ---- Table 10.6.1-1 Resources --------------------------------------------------------------------

RESOURCES = [
    ("All Studies", "/studies", STUDY, [uid(1), uid(2), uid(3)]),
    ("Study's Series", f"/studies/{uid(1)}/series", SERIES, [uid(1, 1), uid(1, 2)]),
    (
        "Study's Instances",
        f"/studies/{uid(1)}/instances",
        INSTANCE,
        [uid(1, 1, 1), uid(1, 1, 2), uid(1, 2, 1)],
    ),
    ("All Series", "/series", SERIES, [uid(1, 1), uid(1, 2), uid(2, 1), uid(3, 1)]),
    (
        "Series' Instances",
        f"/studies/{uid(1)}/series/{uid(1, 1)}/instances",
        INSTANCE,
        [uid(1, 1, 1), uid(1, 1, 2)],
    ),
    (
        "All Instances",
        "/instances",
        INSTANCE,
        [uid(1, 1, 1), uid(1, 1, 2), uid(1, 2, 1), uid(2, 1, 1), uid(3, 1, 1)],
    ),
]


@pytest.mark.parametrize(
    ("path", "tag", "expected"), [row[1:] for row in RESOURCES], ids=[row[0] for row in RESOURCES]
)
def test_table_10_6_1_1_each_resource_lists_what_it_names(
    site: Site, path: str, tag: str, expected: list[str]
) -> None:
    assert sorted(uids(ok(site, path), tag)) == sorted(expected)


# ---- Table 8.3.4-1 Query parameters --------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        *("PatientID=PAT1", "00100020=PAT1", "PatientID=PAT1&StudyDate="),
        "StudyInstanceUID=" + uid(1),
    ],
)
def test_table_8_3_4_1_match_by_keyword_or_tag(site: Site, query: str) -> None:
    assert studies(site, query) == {1}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientName=Smith&fuzzymatching=true", {2, 3}),
        ("PatientName=J%C3%B6rg%20Mueller&fuzzymatching=true", {1}),
        ("PatientName=Smith&fuzzymatching=false", set()),
    ],
)
def test_table_8_3_4_1_fuzzymatching(site: Site, query: str, expected: set[int]) -> None:
    assert studies(site, query) == expected


INCLUDED = ["StudyDescription", "00081030", "PatientAge", "PatientComments", "AdmissionID"]


@pytest.mark.parametrize("field", INCLUDED)
def test_table_8_3_4_1_includefield_adds_an_attribute(site: Site, field: str) -> None:
    (plain,) = ok(site, "/studies?PatientID=PAT1")
    (wide,) = ok(site, f"/studies?PatientID=PAT1&includefield={field}")
    tag = tag_of(field) or field
    assert tag not in plain
    assert wide[tag]["Value"]
    assert {t: e for t, e in wide.items() if t != tag} == plain


def test_table_8_3_4_1_includefield_takes_a_list_and_may_stand_again(site: Site) -> None:
    query = "includefield=StudyDescription,%20PatientAge&includefield=PatientComments"
    (found,) = ok(site, f"/studies?PatientID=PAT1&{query}")
    assert values(found, "StudyDescription") == ["Chest"]
    assert values(found, "PatientAge") == ["054Y"]
    assert values(found, "PatientComments") == ["left"]


def test_table_8_3_4_1_includefield_all(site: Site) -> None:
    (found,) = ok(site, "/studies?PatientID=PAT1&includefield=all")
    assert values(found, "StudyDescription") == ["Chest"]
    assert values(found, "SOPClassesInStudy") == [CT]
    assert values(found, "AdmittingDiagnosesDescription") == ["cough", "fever"]


def test_table_8_3_4_1_limit_and_offset(site: Site) -> None:
    whole = uids(ok(site, "/studies"))
    assert uids(ok(site, "/studies?limit=2")) == whole[:2]
    assert uids(ok(site, "/studies?offset=1")) == whole[1:]
    assert uids(ok(site, "/studies?offset=1&limit=1")) == whole[1:2]
    assert ok(site, "/studies?limit=0") == []
    assert ok(site, "/studies?offset=3") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("AccessionNumber=%22%22&emptyvaluematching=true", {3}),
        ("StudyDate=%22%22&emptyvaluematching=true", {3}),
        ("AdmissionID=%22%22&emptyvaluematching=true", {3}),
        ("AccessionNumber=%22%22", set()),
        ("AccessionNumber=%22%22&emptyvaluematching=false", set()),
    ],
)
def test_table_8_3_4_1_emptyvaluematching(site: Site, query: str, expected: set[int]) -> None:
    assert studies(site, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ModalitiesInStudy=CT%5CPT&multiplevaluematching=true", {1}),
        ("ModalitiesInStudy=PT%5CCT&multiplevaluematching=true", {1}),
        ("ModalitiesInStudy=CT%5CMR&multiplevaluematching=true", set()),
        ("ModalitiesInStudy=MR%5CPT", {1, 2}),
    ],
)
def test_table_8_3_4_1_multiplevaluematching(site: Site, query: str, expected: set[int]) -> None:
    assert studies(site, query) == expected


# ---- 8.3.1, 8.3.4.1 Grammar ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientName=M%C3%BCller*", {1}),
        ("PatientName=M%c3%bcller%5EJ%C3%B6rg*", {1}),
        ("AccessionNumber=ACC%31", {1}),
        ("Patient%49D=PAT1", {1}),
        ("AccessionNumber=ACC+1", set()),  # a plus is a plus (RFC 3986)
    ],
)
def test_8_3_1_values_are_percent_encoded_utf_8(site: Site, query: str, expected: set[int]) -> None:
    assert studies(site, query) == expected


@pytest.mark.parametrize("between", [",", "%2C", "%5C"])
def test_8_3_4_1_a_list_of_uids_matches_any(site: Site, between: str) -> None:
    assert studies(site, f"StudyInstanceUID={uid(1)}{between}{uid(2)}") == {1, 2}


@pytest.mark.parametrize(
    "name",
    [
        "RequestAttributesSequence.ScheduledProcedureStepID",
        "00400275.00400009",
        "RequestAttributesSequence.00400009",
        "00400275.ScheduledProcedureStepID",
    ],
)
def test_8_3_4_1_paths_into_sequences_mix_keywords_and_tags(site: Site, name: str) -> None:
    assert uids(ok(site, f"/series?{name}=SPS2"), SERIES) == [uid(2, 1)]


def test_8_3_4_1_a_private_attribute_is_named_with_its_creator(site: Site) -> None:
    assert studies(site, "00110010=ACME%201.1&00111001=one") == {1}
    assert studies(site, "00110042=ACME%201.1&00114201=tw*") == {2}
    (found,) = ok(site, "/studies?00110010=ACME%201.1&00111001=two")
    assert found["00110010"] == {"vr": "LO", "Value": ["ACME 1.1"]}
    assert found["00111001"] == {"vr": "LO", "Value": ["two"]}


def test_8_3_4_3_a_private_attribute_is_returned_when_its_creator_is_said(site: Site) -> None:
    path = "/studies?PatientID=PAT2&00110010=ACME%201.1&includefield=00111001"
    (found,) = ok(site, path)
    assert values(found, "00111001") == ["two"]
    answer = site.get("/studies?PatientID=PAT2&includefield=00111001", JSON)
    assert "00111001" not in answer.json()[0]
    assert any("private" in text for text in warnings(answer))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("StudyDate=20240105&StudyTime=101500", {1}),
        ("StudyDate=20240105-20240310&StudyTime=101500-155959", {1}),
        ("StudyDate=20240105-20240310&StudyTime=101501-160000", {2}),
        ("StudyDate=20240105-&StudyTime=101501-", {2}),
        ("StudyDate=-20240310&StudyTime=-155959", {1}),
    ],
)
def test_8_3_4_1_1_date_and_time_ranges_are_one_interval(
    site: Site, query: str, expected: set[int]
) -> None:
    assert studies(site, query) == expected


def test_8_3_4_1_1_the_zone_of_a_query_holds_for_its_times(site: Site) -> None:
    range_ = "StudyDate=20240105-20240105&StudyTime=0910-0920"
    assert studies(site, range_) == set()
    assert studies(site, f"{range_}&TimezoneOffsetFromUTC=%2B0000") == {1}
    assert studies(site, f"{range_}&TimezoneOffsetFromUTC=%2B0100") == set()
    assert site.get(f"/studies?{range_}&TimezoneOffsetFromUTC=1", JSON).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        *("limit=-1", "limit=abc", "limit=", "offset=1.5", "limit=1&limit=2"),
        *("fuzzymatching=yes", "emptyvaluematching=1", "multiplevaluematching=TRUE"),
        *("PatientID=a&PatientID=b", "PatientID=a&00100020=b", "StudyInstanceUID=1.a"),
        *("StudyDate=yesterday", "StudyDate=20240102-20240101", "StudyTime=99", "PatientName=%FF"),
        *("includefield=a%20b", "includefield=", "InstanceNumber=x", "PatientName.PatientID=x"),
        "RequestAttributesSequence=x",
    ],
)
def test_8_3_a_known_parameter_with_an_invalid_value_is_400(site: Site, query: str) -> None:
    answer = site.get(f"/instances?{query}", JSON)
    assert answer.status_code == 400
    assert answer.json()["message"].endswith(".")


@pytest.mark.parametrize(
    "query", ["NoSuchThing=1", "patientid=PAT9", "_=123", "00113333=x", "Modality=CT"]
)
def test_8_3_unknown_parameters_are_ignored_with_a_warning(site: Site, query: str) -> None:
    answer = site.get(f"/studies?PatientID=PAT1&{query}", JSON)
    assert uids(answer.json()) == [uid(1)]
    assert all(text.startswith(f"299 {site.root}: ") for text in warnings(answer))
    assert len(warnings(answer)) >= 1


def test_8_3_an_empty_query_asks_for_all(site: Site) -> None:
    assert len(ok(site, "/studies?")) == 3


# ---- Table 10.6.1-5 Required match keys ----------------------------------------------------------

STUDY_KEYS = [
    ("StudyDate", "20240105", {1}),
    ("StudyDate", "20240101-20240131", {1}),
    ("StudyDate", "20240106-", {2}),
    ("StudyDate", "-20240106", {1}),
    ("StudyTime", "101500", {1}),
    ("StudyTime", "12-", {2}),
    ("AccessionNumber", "ACC2", {2}),
    ("AccessionNumber", "ACC?", {1, 2}),
    ("AccessionNumber", "acc1", set()),
    ("ModalitiesInStudy", "PT", {1}),
    ("ModalitiesInStudy", "M*", {2}),
    ("ReferringPhysicianName", "adams*", {1}),
    ("PatientName", "müller^jörg*", {1}),
    ("PatientName", "MULLER*", {1}),
    ("PatientName", "山田*", {2}),
    ("PatientName", "SM?TH*", {2, 3}),
    ("PatientID", "PAT2", {2}),
    ("PatientID", "PAT*", {1, 2, 3}),
    ("StudyInstanceUID", uid(2), {2}),
    ("StudyID", "ID1", {1}),
    ("StudyID", "*2", {2}),
]


@pytest.mark.parametrize(("key", "value", "expected"), STUDY_KEYS)
def test_table_10_6_1_5_study_keys(site: Site, key: str, value: str, expected: set[int]) -> None:
    found = site.client.get(f"{site.root}/studies", params={key: value}).json()
    assert set(uids(found)) == {uid(n) for n in expected}
    shown = tag_of(key) or key
    assert all(shown in elements for elements in found)


SERIES_KEYS = [
    ("Modality", "PT", {(1, 2)}),
    ("Modality", "C*", {(1, 1), (3, 1)}),
    ("SeriesInstanceUID", uid(2, 1), {(2, 1)}),
    ("SeriesNumber", "7", {(2, 1)}),
    ("PerformedProcedureStepStartDate", "20240310", {(2, 1)}),
    ("PerformedProcedureStepStartDate", "-20240201", {(1, 1), (1, 2)}),
    ("PerformedProcedureStepStartTime", "1020", {(1, 1), (1, 2)}),
    ("RequestAttributesSequence.ScheduledProcedureStepID", "SPS1b", {(1, 1), (1, 2)}),
    ("RequestAttributesSequence.RequestedProcedureID", "RP2", {(2, 1)}),
]


@pytest.mark.parametrize(("key", "value", "expected"), SERIES_KEYS)
def test_table_10_6_1_5_series_keys(
    site: Site, key: str, value: str, expected: set[tuple[int, int]]
) -> None:
    found = site.client.get(f"{site.root}/series", params={key: value}).json()
    assert set(uids(found, SERIES)) == {uid(*pair) for pair in expected}


INSTANCE_KEYS = [
    ("SOPClassUID", MR, {(2, 1, 1)}),
    ("SOPClassUID", f"{MR},{CT}", {(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (3, 1, 1)}),
    ("SOPInstanceUID", uid(1, 1, 2), {(1, 1, 2)}),
    ("InstanceNumber", "2", {(1, 1, 2)}),
]


@pytest.mark.parametrize(("key", "value", "expected"), INSTANCE_KEYS)
def test_table_10_6_1_5_instance_keys(
    site: Site, key: str, value: str, expected: set[tuple[int, ...]]
) -> None:
    found = site.client.get(f"{site.root}/instances", params={key: value}).json()
    assert set(uids(found, INSTANCE)) == {uid(*numbers) for numbers in expected}


# ---- Table 10.6.1-4 Keys of the levels above -----------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tag", "expected"),
    [
        ("/series?PatientID=PAT1&Modality=PT", SERIES, [uid(1, 2)]),
        ("/series?StudyDate=20240310", SERIES, [uid(2, 1)]),
        ("/instances?PatientName=smythe*", INSTANCE, [uid(3, 1, 1)]),
        ("/instances?Modality=PT&InstanceNumber=1", INSTANCE, [uid(1, 2, 1)]),
        (f"/studies/{uid(1)}/instances?Modality=PT", INSTANCE, [uid(1, 2, 1)]),
        (f"/studies/{uid(2)}/series?PatientID=PAT1", SERIES, []),
    ],
)
def test_table_10_6_1_4_relational_keys_narrow_lower_levels(
    site: Site, path: str, tag: str, expected: list[str]
) -> None:
    assert uids(ok(site, path), tag) == expected


# ---- Any attribute made searchable ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tag", "expected"),
    [
        ("/studies?AdmissionID=ADM2", STUDY, [uid(2)]),
        ("/series?OperatorsName=tech*", SERIES, [uid(2, 1), uid(1, 1), uid(1, 2)]),
        ("/series?OperatorsName=two&fuzzymatching=true", SERIES, [uid(2, 1)]),
        ("/instances?KVP=120", INSTANCE, [uid(1, 1, 1), uid(1, 1, 2)]),
        ("/instances?AdmissionID=ADM1&KVP=120.0&InstanceNumber=2", INSTANCE, [uid(1, 1, 2)]),
    ],
)
def test_10_6_1_2_attributes_made_searchable_match_at_their_level_and_below(
    site: Site, path: str, tag: str, expected: list[str]
) -> None:
    assert uids(ok(site, path), tag) == expected


# ---- Tables 10.6.3-3 to -5 Response attributes ---------------------------------------------------

OF_STUDY = [
    ("StudyDate", ["20240105"]),
    ("StudyTime", ["101500"]),
    ("AccessionNumber", ["ACC1"]),
    ("InstanceAvailability", ["ONLINE"]),
    ("ModalitiesInStudy", ["CT", "PT"]),
    ("ReferringPhysicianName", [{"Alphabetic": "Adams^Ann"}]),
    ("TimezoneOffsetFromUTC", ["+0100"]),
    ("PatientName", [{"Alphabetic": "Müller^Jörg^^Dr"}]),
    ("PatientID", ["PAT1"]),
    ("PatientBirthDate", ["19700101"]),
    ("PatientSex", ["F"]),
    ("StudyInstanceUID", [uid(1)]),
    ("StudyID", ["ID1"]),
    ("NumberOfStudyRelatedSeries", [2]),
    ("NumberOfStudyRelatedInstances", [3]),
]


@pytest.mark.parametrize(("name", "expected"), OF_STUDY, ids=[row[0] for row in OF_STUDY])
def test_table_10_6_3_3_study(site: Site, name: str, expected: list[Any]) -> None:
    (found,) = ok(site, f"/studies?StudyInstanceUID={uid(1)}")
    assert values(found, name) == expected
    for series in ok(site, f"/series?StudyInstanceUID={uid(1)}"):  # relational: the study's, too
        assert values(series, name) == expected


def test_table_10_6_3_3_retrieve_url_of_a_study(site: Site) -> None:
    (found,) = ok(site, f"/studies?StudyInstanceUID={uid(1)}")
    assert values(found, "RetrieveURL") == [f"{site.root}/studies/{uid(1)}"]


@pytest.mark.parametrize(
    "name",
    ["StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"],
)
def test_table_10_6_3_3_required_attributes_without_a_value_are_empty(
    site: Site, name: str
) -> None:
    (found,) = ok(site, "/studies?PatientID=PAT3")
    assert set(found[tag_of(name) or ""]) == {"vr"}


def test_table_10_6_3_3_conditional_attributes_without_a_value_are_absent(site: Site) -> None:
    (found,) = ok(site, "/studies?PatientID=PAT3")
    assert "00080201" not in found


OF_SERIES = [
    ("Modality", ["CT"]),
    ("TimezoneOffsetFromUTC", ["+0100"]),
    ("SeriesDescription", ["Axial 5 mm"]),
    ("SeriesInstanceUID", [uid(1, 1)]),
    ("SeriesNumber", [1]),
    ("NumberOfSeriesRelatedInstances", [2]),
    ("PerformedProcedureStepStartDate", ["20240105"]),
    ("PerformedProcedureStepStartTime", ["102000"]),
]


@pytest.mark.parametrize(("name", "expected"), OF_SERIES, ids=[row[0] for row in OF_SERIES])
def test_table_10_6_3_4_series(site: Site, name: str, expected: list[Any]) -> None:
    (found,) = ok(site, f"/studies/{uid(1)}/series?SeriesNumber=1")
    assert values(found, name) == expected


def test_table_10_6_3_4_request_attributes(site: Site) -> None:
    (found,) = ok(site, f"/studies/{uid(1)}/series?SeriesNumber=1")
    assert values(found, "RequestAttributesSequence") == [
        {
            "00400009": {"vr": "SH", "Value": [step]},
            "00401001": {"vr": "SH", "Value": [procedure]},
        }
        for step, procedure in (("SPS1", "RP1"), ("SPS1b", "RP1b"))
    ]
    url = f"{site.root}/studies/{uid(1)}/series/{uid(1, 1)}"
    assert values(found, "RetrieveURL") == [url]


OF_INSTANCE = [
    ("SOPClassUID", [MR]),
    ("SOPInstanceUID", [uid(2, 1, 1)]),
    ("InstanceAvailability", ["ONLINE"]),
    ("InstanceNumber", [1]),
    ("Rows", [16]),
    ("Columns", [16]),
    ("BitsAllocated", [16]),
    ("NumberOfFrames", [3]),
    ("AvailableTransferSyntaxUID", [JPEG]),
]


@pytest.mark.parametrize(("name", "expected"), OF_INSTANCE, ids=[row[0] for row in OF_INSTANCE])
def test_table_10_6_3_5_instance(site: Site, name: str, expected: list[Any]) -> None:
    (found,) = ok(site, f"/studies/{uid(2)}/series/{uid(2, 1)}/instances")
    assert values(found, name) == expected


def test_table_10_6_3_5_retrieve_url_and_zone_of_an_instance(site: Site) -> None:
    found = ok(site, f"/studies/{uid(1)}/series/{uid(1, 1)}/instances")[0]
    url = f"{site.root}/studies/{uid(1)}/series/{uid(1, 1)}/instances/{uid(1, 1, 1)}"
    assert values(found, "RetrieveURL") == [url]
    assert values(found, "TimezoneOffsetFromUTC") == ["+0100"]


def test_10_6_3_3_the_attributes_of_what_the_resource_does_not_name_are_answered(
    site: Site,
) -> None:
    all_series = ok(site, "/series?SeriesNumber=7")[0]
    of_study = ok(site, f"/studies/{uid(2)}/series")[0]
    all_instances = ok(site, f"/instances?SOPClassUID={MR}")[0]
    of_series = ok(site, f"/studies/{uid(2)}/series/{uid(2, 1)}/instances")[0]
    in_study = ok(site, f"/studies/{uid(2)}/instances")[0]
    patient, modality = "00100020", "00080060"
    assert patient in all_series
    assert patient not in of_study
    assert {patient, modality} <= set(all_instances)
    assert modality in in_study
    assert patient not in in_study
    assert {patient, modality} & set(of_series) == set()


def test_10_6_3_3_match_keys_are_answered(site: Site) -> None:
    (found,) = ok(site, "/studies?AdmissionID=ADM1&StudyDescription=Chest")
    assert values(found, "AdmissionID") == ["ADM1"]
    assert values(found, "StudyDescription") == ["Chest"]


def test_10_6_3_3_includes_of_levels_above_are_answered_and_lower_ones_dropped(
    site: Site,
) -> None:
    fields = "includefield=AdmissionID,OperatorsName,KVP,PatientComments"
    study = ok(site, f"/studies?PatientID=PAT1&{fields}")[0]
    series = ok(site, f"/studies/{uid(1)}/series?Modality=CT&{fields}")[0]
    instance = ok(site, f"/studies/{uid(1)}/instances?Modality=CT&{fields}")[0]

    def named(elements: dict[str, Any]) -> set[str]:
        return {keyword_of(tag) or tag for tag in elements}

    assert named(study) & {"OperatorsName", "KVP"} == set()
    assert {"AdmissionID", "PatientComments"} <= named(study)
    assert {"AdmissionID", "PatientComments", "OperatorsName"} <= named(series)
    assert "KVP" not in named(series)
    assert {"AdmissionID", "PatientComments", "OperatorsName", "KVP"} <= named(instance)
    assert values(instance, "KVP") == [120]


def test_10_6_3_3_an_include_without_a_value_is_empty(site: Site) -> None:
    (found,) = ok(site, "/studies?PatientID=PAT3&includefield=PatientAge,StudyDescription")
    assert found["00101010"] == {"vr": "AS"}
    assert found["00081030"] == {"vr": "LO"}


def test_10_6_3_3_only_the_items_that_match_are_answered(site: Site) -> None:
    path = "/series?SeriesNumber=1&RequestAttributesSequence.ScheduledProcedureStepID=SPS1b"
    found = ok(site, path)[0]
    (item,) = values(found, "RequestAttributesSequence")
    assert item["00401001"]["Value"] == ["RP1b"]


def test_annex_f_2_2_attributes_ascend(site: Site) -> None:
    for elements in ok(site, "/instances?includefield=all,PatientAge"):
        assert list(elements) == sorted(elements)


# ---- 8.3.4.4.1 Paging and warnings ---------------------------------------------------------------


def test_8_3_4_4_1_the_same_request_has_the_same_order(site: Site) -> None:
    assert ok(site, "/instances") == ok(site, "/instances")
    pages = [uids(ok(site, f"/instances?limit=2&offset={n}"), INSTANCE) for n in (0, 2, 4)]
    assert [one for page in pages for one in page] == uids(ok(site, "/instances"), INSTANCE)


def test_8_3_4_4_1_what_remains_is_told(site: Site) -> None:
    answer = site.get("/instances?limit=2&offset=1", JSON)
    text = f"299 {site.root}: There are 2 additional results that can be requested"
    assert warnings(answer) == [text]
    assert warnings(site.get("/instances?limit=2&offset=3", JSON)) == []
    assert warnings(site.get("/instances", JSON)) == []


# ---- Table 10.6.3-1 Status codes -----------------------------------------------------------------


def test_table_10_6_3_1_success_is_200(site: Site) -> None:
    assert site.get("/studies", JSON).status_code == 200


@pytest.mark.parametrize("path", ["/studies?PatientID=Nobody", "/studies/1.2.3/series"])
def test_table_10_6_3_1_no_match_is_200_with_an_empty_list(site: Site, path: str) -> None:
    answer = site.get(path, JSON)
    assert (answer.status_code, answer.content) == (200, b"[]")


@pytest.mark.parametrize("path", ["/studies/1.x/series", f"/studies/{uid(1)}/series/x/instances"])
def test_table_10_6_3_1_a_bad_uid_in_the_path_is_400(site: Site, path: str) -> None:
    assert site.get(path, JSON).status_code == 400


# ---- 8.7, 10.6.3 Media types ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (JSON, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", "application/json"),
        (f"{JSON};q=0.5, application/json;q=0.4", JSON),
    ],
)
def test_10_6_3_json_is_the_default(site: Site, accept: str, media: str) -> None:
    answer = site.get("/studies", accept)
    assert answer.headers["content-type"] == media
    assert len(answer.json()) == 3


def test_10_6_3_xml_is_a_multipart_of_one_part_a_result(site: Site) -> None:
    parts = parts_of(site.get("/studies?PatientID=PAT*", XML))
    assert len(parts) == 3
    assert {headers["content-type"] for headers, _ in parts} == {"application/dicom+xml"}
    root = read_xml(parts[0][1])
    assert {"StudyInstanceUID", "RetrieveURL"} <= {node.get("keyword") for node in root}


def test_10_6_3_private_attributes_in_xml_name_their_creator(site: Site) -> None:
    path = "/studies?PatientID=PAT2&00110010=ACME%201.1&includefield=00111001"
    root = read_xml(parts_of(site.get(path, XML))[0][1])
    (node,) = [n for n in root if n.get("privateCreator") == "ACME 1.1"]
    assert node.get("tag") == "00110001"


def test_a_table_is_an_extension(site: Site) -> None:
    rows = list(csv.DictReader(io.StringIO(site.get("/studies", "text/csv").text)))
    assert {row["StudyInstanceUID"] for row in rows} == {uid(1), uid(2), uid(3)}


def test_8_3_3_1_the_accept_parameter_chooses(site: Site) -> None:
    answer = site.get("/studies?accept=application/json", "*/*")
    assert answer.headers["content-type"] == "application/json"
    assert warnings(answer) == []


def test_8_3_3_2_a_charset_that_is_not_had_is_ignored(site: Site) -> None:
    answer = site.get("/studies?charset=x-klingon&PatientID=PAT1", JSON)
    assert answer.status_code == 200
    assert "Müller" in answer.content.decode()
    assert warnings(answer) == []


@pytest.mark.parametrize("accept", ["image/jpeg", "application/dicom", "text/html"])
def test_8_7_5_other_media_types_are_406(site: Site, accept: str) -> None:
    assert site.get("/studies", accept).status_code == 406


def test_8_7_5_dicom_and_rendered_media_types_mixed_are_400(site: Site) -> None:
    assert site.get("/studies", f"{JSON}, image/png").status_code == 400
