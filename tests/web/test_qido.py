"""QIDO-RS against a real archive: resources, parameters, paging, forms (PS3.18 10.6, 8.3.4)."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct, multi_frame, uid
from tests.web.conftest import Site, parts_of, read_xml, serving
from vna.web.dicomweb.tables import table

XML = 'multipart/related; type="application/dicom+xml"'

STORED: list[Instance] = [
    ct(1, 1, 1, patient_id="Q-1", patient_name="Müller^Änne", values={"StudyDate": "20240101"}),
    ct(1, 1, 2, patient_id="Q-1", patient_name="Müller^Änne", values={"StudyDate": "20240101"}),
    ct(
        1,
        2,
        1,
        patient_id="Q-1",
        patient_name="Müller^Änne",
        modality="PT",
        values={"StudyDate": "20240101", "SeriesNumber": "2"},
    ),
    ct(
        2,
        patient_id="Q-2",
        patient_name="Smith^John",
        values={
            "StudyDate": "20240215",
            "AccessionNumber": "A+1",
            "RequestAttributesSequence": [
                {"ScheduledProcedureStepID": "SPS1", "RequestedProcedureID": "RP1"}
            ],
        },
    ),
    multi_frame(3, study=3, patient_id="Q-3", patient_name="Smithers^Jo", values={"StudyDate": ""}),
]


@pytest.fixture(scope="module")
def searched(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive of three studies, the most of a search set to 4."""
    folder = tmp_path_factory.mktemp("searched")
    with serving(postgres, folder, limits={"search_rows": 4}) as site:
        assert site.store(*(i.part10() for i in STORED)).status_code == 200
        yield site


def found(site: Site, path: str) -> list[dict[str, Any]]:
    """The results of a search that must succeed."""
    answer = site.get(path, "application/dicom+json")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    results = answer.json()
    assert isinstance(results, list)
    for elements in results:
        assert list(elements) == sorted(elements)
    return results


def uids(results: list[dict[str, Any]], tag: str) -> set[str]:
    """Values of a UID attribute over results."""
    return {elements[tag]["Value"][0] for elements in results}


@pytest.mark.parametrize(
    ("path", "tag", "expected"),
    [
        ("/studies", "0020000D", {uid(1), uid(2), uid(3)}),
        ("/series", "0020000E", {uid(1, 1), uid(1, 2), uid(2, 1), uid(3, 1)}),
        (f"/studies/{uid(1)}/series", "0020000E", {uid(1, 1), uid(1, 2)}),
        (f"/studies/{uid(1)}/instances", "00080018", {uid(1, 1, 1), uid(1, 1, 2), uid(1, 2, 1)}),
        (
            f"/studies/{uid(1)}/series/{uid(1, 1)}/instances",
            "00080018",
            {uid(1, 1, 1), uid(1, 1, 2)},
        ),
        ("/instances?PatientID=Q-2", "00080018", {uid(2, 1, 1)}),
    ],
)
def test_each_of_the_six_resources_lists_what_it_names(
    searched: Site, path: str, tag: str, expected: set[str]
) -> None:
    assert uids(found(searched, path), tag) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientID=Q-1", {1}),
        ("00100020=Q-1", {1}),
        ("PatientName=muller^anne", {1}),
        ("PatientName=SMITH*", {2, 3}),
        ("PatientName=M%C3%BCller*", {1}),
        ("PatientID=q-1", set()),
        (f"StudyInstanceUID={uid(1)},{uid(2)}", {1, 2}),
        ("StudyDate=20240101-20240201", {1}),
        ("StudyDate=20240201-", {2}),
        ("StudyDate=-20240101", {1}),
        ("StudyDate=20240101-20240215&StudyTime=101112-", {1, 2}),
        ("ModalitiesInStudy=PT", {1}),
        ("ModalitiesInStudy=CT%5CPT&multiplevaluematching=true", {1}),
        ("ModalitiesInStudy=PT%2CUS", {1}),  # several modalities as OHIF asks for them
        ("ModalitiesInStudy=CT,PT&multiplevaluematching=true", {1}),
        ("AccessionNumber=A+1", {2}),
        ("AccessionNumber=A%2B1", {2}),
        ("AccessionNumber=A%201", set()),
        ("StudyDate=%22%22&emptyvaluematching=true", {3}),
        ("PatientName=smith&fuzzymatching=true", {2}),
        ("PatientName=smith&fuzzymatching=True", {2}),  # what requests of Python and C# write
        ("PatientName=smith&fuzzymatching=False", set()),
        ("PatientID=", {1, 2, 3}),
        ("PatientID=Nobody", set()),
        ("limit=2", None),
        ("limit=0", set()),
        ("offset=100", set()),
    ],
)
def test_studies_match_by_their_keys(searched: Site, query: str, expected: set[int] | None) -> None:
    results = found(searched, f"/studies?{query}")
    if expected is None:
        assert len(results) == 2
        return
    assert uids(results, "0020000D") == {uid(number) for number in expected}


def test_series_and_instances_match_by_keys_of_their_level_and_above(searched: Site) -> None:
    series = found(searched, f"/studies/{uid(1)}/series?Modality=PT")
    assert uids(series, "0020000E") == {uid(1, 2)}
    relational = found(searched, "/series?PatientID=Q-1&Modality=CT")
    assert uids(relational, "0020000E") == {uid(1, 1)}
    nested = found(searched, "/series?RequestAttributesSequence.ScheduledProcedureStepID=SPS1")
    assert uids(nested, "0020000E") == {uid(2, 1)}
    instances = found(searched, "/instances?InstanceNumber=2")
    assert uids(instances, "00080018") == {uid(1, 1, 2)}


@pytest.mark.parametrize("path", ["//studies", "///studies/{study}/series"])
def test_a_root_may_end_with_slashes_of_its_own(searched: Site, path: str) -> None:
    """dicomweb-client asks for /dicom-web//studies where it was told an empty prefix."""
    assert found(searched, path.format(study=uid(1)))
    assert searched.get("//").status_code == 404


def test_a_study_holds_what_table_10_6_3_3_requires(searched: Site) -> None:
    (study,) = found(searched, "/studies?PatientID=Q-1")
    required = (
        *("00080020", "00080030", "00080050", "00080061", "00080090", "00081190", "00100010"),
        *("00100020", "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208"),
    )
    assert set(required) <= set(study)
    assert study["00081190"] == {"vr": "UR", "Value": [f"{searched.root}/studies/{uid(1)}"]}
    assert sorted(study["00080061"]["Value"]) == ["CT", "PT"]
    assert study["00201206"]["Value"] == [2]
    assert study["00201208"]["Value"] == [3]
    assert study["00100010"]["Value"] == [{"Alphabetic": "Müller^Änne"}]


def test_a_series_holds_what_table_10_6_3_4_requires(searched: Site) -> None:
    (series,) = found(searched, "/series?PatientID=Q-2")
    required = {"00080060", "00081190", "0020000E", "00200011", "00201209", "00400275"}
    assert required <= set(series)
    assert {"0020000D", "00100020"} <= set(series)
    url = f"{searched.root}/studies/{uid(2)}/series/{uid(2, 1)}"
    assert series["00081190"]["Value"] == [url]
    inner = found(searched, f"/studies/{uid(2)}/series")[0]
    assert "00100020" not in inner


def test_an_instance_holds_what_table_10_6_3_5_requires(searched: Site) -> None:
    (instance,) = found(searched, "/instances?PatientID=Q-3")
    assert {"00080016", "00080018", "00081190", "00200013", "00280010", "00280011"} <= set(instance)
    assert instance["00280008"]["Value"] == [3]
    url = instance["00081190"]["Value"][0]
    assert searched.client.get(url, headers={"accept": "application/dicom"}).status_code == 200


def test_includefield_adds_attributes(searched: Site) -> None:
    plain = found(searched, "/studies?PatientID=Q-1")[0]
    assert "00081030" not in plain
    for field in ("StudyDescription", "00081030", "all", "PatientID,StudyDescription"):
        wide = found(searched, f"/studies?PatientID=Q-1&includefield={field}")[0]
        assert wide["00081030"]["Value"] == ["Chest"]


def test_a_cut_answer_says_how_much_is_left(searched: Site) -> None:
    answer = searched.get("/studies?limit=1")
    assert answer.headers["warning"] == (
        f"299 {searched.root}: There are 2 additional results that can be requested"
    )
    pages = [found(searched, f"/studies?limit=1&offset={n}")[0] for n in range(3)]
    assert uids(pages, "0020000D") == {uid(1), uid(2), uid(3)}
    assert "warning" not in searched.get("/studies?limit=1&offset=2").headers


def test_the_servers_maximum_cuts_too(searched: Site) -> None:
    answer = searched.get("/instances")
    assert len(answer.json()) == 4
    assert "There are 1 additional results" in answer.headers["warning"]
    assert len(searched.get("/instances?limit=100").json()) == 4


def test_unknown_parameters_are_ignored_with_a_warning(searched: Site) -> None:
    answer = searched.get("/studies?PatientID=Q-1&NoSuchThing=1")
    assert len(answer.json()) == 1
    assert answer.headers["warning"].startswith(f"299 {searched.root}: ")
    assert "NoSuchThing" in answer.headers["warning"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=-1", "limit=abc", "offset=1.5", "fuzzymatching=maybe", "limit=1&limit=2"),
        *("PatientID=a&PatientID=b", "StudyInstanceUID=1.a", "StudyDate=yesterday"),
        *("PatientName=%FF", "PatientName=%00", "includefield=a%20b"),
    ],
)
def test_a_known_parameter_with_a_bad_value_is_400(searched: Site, query: str) -> None:
    answer = searched.get(f"/studies?{query}")
    assert answer.status_code == 400
    assert answer.json()["message"].endswith(".")


def test_nothing_found_is_200_with_an_empty_list(searched: Site) -> None:
    answer = searched.get("/studies?PatientID=Nobody")
    assert answer.status_code == 200
    assert answer.json() == []
    assert found(searched, "/studies/1.2.3.4/series") == []
    none = searched.get("/studies?PatientID=Nobody", XML)
    assert none.status_code == 200
    assert parts_of(none) == []


def test_results_are_xml_when_asked(searched: Site) -> None:
    parts = parts_of(searched.get("/studies?PatientName=Smith*", XML))
    assert len(parts) == 2
    for headers, content in parts:
        assert headers["content-type"] == "application/dicom+xml"
        keywords = {node.get("keyword") for node in read_xml(content)}
        assert {"StudyInstanceUID", "RetrieveURL"} <= keywords


def test_results_are_compressed_when_asked(searched: Site) -> None:
    with searched.client.stream(
        "GET", f"{searched.root}/studies", headers={"accept-encoding": "gzip"}
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == searched.get("/studies", accept_encoding="identity").content


@pytest.mark.parametrize(
    ("accepted", "is_zipped"),
    [
        *(("gzip", True), ("*", True), ("x-gzip;q=0.5", True), ("br, GZIP;q=0.1, *;q=0", True)),
        *(("gzip;q=0, *", False), ("*;q=0", False), ("identity, *;q=0", False), ("br", False)),
    ],
)
def test_12_5_3_a_coding_that_is_refused_is_not_taken(
    searched: Site, accepted: str, is_zipped: bool
) -> None:
    answer = searched.get("/studies", accept_encoding=accepted)
    assert answer.headers.get("content-encoding") == ("gzip" if is_zipped else None)


def test_head_of_a_search_sends_no_body(searched: Site) -> None:
    head = searched.client.head(f"{searched.root}/studies", headers={"accept-encoding": "identity"})
    get = searched.get("/studies", accept_encoding="identity")
    assert head.status_code == 200
    assert head.headers["content-length"] == get.headers["content-length"]


def test_a_search_is_not_acceptable_in_other_types(searched: Site) -> None:
    assert searched.get("/studies", "application/pdf").status_code == 406
    assert searched.get("/studies?accept=application/json").headers["content-type"] == (
        "application/json"
    )


def test_results_are_a_table_when_asked(searched: Site) -> None:
    answer = searched.get("/studies?includefield=StudyDescription", "text/csv")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["PatientName"] for row in rows] == ["Smith^John", "Müller^Änne", "Smithers^Jo"]
    assert {row["StudyDescription"] for row in rows} == {"Chest"}
    assert rows[1]["ModalitiesInStudy"] == "CT\\PT"
    none = searched.get("/studies?PatientID=Nobody", "text/csv")
    assert (none.status_code, none.text) == (200, "\r\n")


def test_a_table_holds_no_formula() -> None:
    def cells(value: object, vr: str = "LO") -> str:
        return table([{"00081030": {"vr": vr, "Value": [value]}}]).decode().splitlines()[1]

    assert cells('=HYPERLINK("x")') == '"\'=HYPERLINK(""x"")"'
    assert cells("@x") == '"\'@x"'
    for sign in "\uff1d\uff0b\uff0d\uff20":
        assert cells(f"{sign}1+1") == f'"\'{sign}1+1"'
    assert table([{"00081030": {"vr": "LT", "Value": ["\n=1+1"]}}]).endswith(b'"\'\n=1+1"\r\n')
    assert cells(-2.5, "DS") == '"-2.5"'
    assert cells({"Alphabetic": "+1", "Phonetic": "b"}, "PN") == '"\'+1==b"'
    assert cells({"00080100": {"vr": "SH", "Value": ["X"]}}, "SQ").startswith('"[{""00080100""')


@pytest.mark.parametrize("number", ["1e30", "-1e308", "9223372036854775808"])
def test_a_number_larger_than_any_is_in_no_item(searched: Site, number: str) -> None:
    asked = f"RequestAttributesSequence.ReferencedFrameNumber={number}"
    answer = searched.get(f"/instances?{asked}", "application/dicom+json")
    assert (answer.status_code, answer.content) in ((204, b""), (200, b"[]")), answer.text
