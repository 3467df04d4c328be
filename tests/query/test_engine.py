"""vna/query/engine.py on a real index: two protocols, one answer; pages, scopes, evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from tests import factories
from tests.archive import Archive
from tests.conftest import TestPostgres
from tests.query.conftest import Filled, filling
from vna.access import audit
from vna.access.principal import Action, Kind, Principal, Scope
from vna.dicom.evaluate import matches
from vna.dicom.identifiers import Model
from vna.dicom.matching import Query
from vna.dicom.matchkeys import Options
from vna.dicom.refs import UID, InstanceRef, Level, SeriesRef
from vna.errors import NotPermitted, Unavailable
from vna.ingest.outcome import Stored
from vna.query.engine import PAGE, Answers, Remaining
from vna.query.keys import from_identifier, from_parameters


def content() -> list[factories.Instance]:
    """Six studies: two series of two instances each, names and dates all different."""
    names = ["Müller^Jörg", "MULLER^Anna", "Smith^John", "Smyth^Jane", "Doe", ""]
    made: list[factories.Instance] = []
    for study, name in enumerate(names, 1):
        for series in (1, 2):
            for instance in (1, 2):
                values = {
                    "StudyDate": f"202401{study:02}",
                    "StudyTime": f"{8 + study:02}3000",
                    "AccessionNumber": f"ACC{study}" if study % 2 else "",
                    "StudyDescription": f"Study {study}",
                    "SeriesNumber": str(series),
                    "RequestAttributesSequence": [
                        {
                            "ScheduledProcedureStepID": f"S{study}",
                            "RequestedProcedureID": f"P{series}",
                        }
                    ],
                }
                made.append(
                    factories.ct(
                        *(study, series, instance),
                        rows=2,
                        columns=2,
                        patient_id=f"PAT{study}",
                        patient_name=name,
                        modality=("CT", "PT")[series - 1] if study % 2 else "MR",
                        values=values,
                    )
                )
    return made


@pytest.fixture(scope="module")
def whole(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of all six studies, for tests that only ask."""
    for filled in filling(postgres, tmp_path_factory.mktemp("whole")):
        yield filled(content())


def qido(level: Level, *pairs: tuple[str, str], most: int = 1000, **above: UID) -> Query:
    return from_parameters(level, pairs, most=most, **above).query


def cfind(level: str, options: Options = Options(relational=True), **keys: Any) -> Query:  # noqa: B008 -- a frozen value
    elements = {"00080052": {"vr": "CS", "Value": [level]}}
    elements |= {tag.removeprefix("t"): element for tag, element in keys.items()}
    return from_identifier(Model.STUDY_ROOT, elements, options).query


def found(archive: Archive, query: Query, who: Principal | None = None) -> list[dict[str, Any]]:
    return [answer.attributes for answer in archive.query.find(who or archive.who, query).rows]


def uids(answers: Answers) -> list[tuple[str | None, str | None, str | None]]:
    return [(answer.study, answer.series, answer.instance) for answer in answers.rows]


def value(answer: dict[str, Any], tag: str) -> Any:
    return answer[tag]["Value"][0]


def guest(scope: Scope, *actions: Action) -> Principal:
    return Principal(
        kind=Kind.SHARE,
        name="guest",
        actions=frozenset(actions or (Action.QUERY,)),
        scope=scope,
    )


# --- answers ------------------------------------------------------------------------------------


def test_a_study_is_answered_with_what_qido_demands(whole: Archive) -> None:
    (answer,) = found(whole, qido(Level.STUDY, ("PatientID", "PAT1")))
    assert answer == {
        "00080020": {"vr": "DA", "Value": ["20240101"]},
        "00080030": {"vr": "TM", "Value": ["093000"]},
        "00080050": {"vr": "SH", "Value": ["ACC1"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT", "PT"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Ref^Erring"}]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]},
        "00100020": {"vr": "LO", "Value": ["PAT1"]},
        "00100030": {"vr": "DA", "Value": ["19700101"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "0020000D": {"vr": "UI", "Value": [factories.uid(1)]},
        "00200010": {"vr": "SH", "Value": ["S-1"]},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [4]},
    }


def test_c_find_and_qido_find_the_same(whole: Archive) -> None:
    tags = ("00080050", "0020000D", "00201208", "00100010")
    web = found(whole, qido(Level.STUDY, ("StudyDate", "20240102-20240104")))
    asked = {f"t{tag}": {"vr": "UN"} for tag in tags}
    dimse = found(
        whole, cfind("STUDY", t00080020={"vr": "DA", "Value": ["20240102-20240104"]}, **asked)
    )
    assert [[a[tag] for tag in tags] for a in dimse] == [[a[tag] for tag in tags] for a in web]
    assert [value(a, "00080020") for a in dimse] == ["20240104", "20240103", "20240102"]
    assert {frozenset(a) for a in dimse} == {frozenset((*tags, "00080020", "00080052", "00080056"))}
    assert dimse[0]["00080050"] == {"vr": "SH"}


def test_upper_levels_are_answered_by_relational_resources(whole: Archive) -> None:
    (one, *others) = found(whole, qido(Level.IMAGE, ("PatientID", "PAT3")))
    assert len(others) == 3
    assert (value(one, "00080060"), value(one, "00201208"), value(one, "00201209")) == ("CT", 4, 2)
    assert value(one, "00083002") == factories.EXPLICIT


def test_items_of_a_sequence_are_matched_and_cut(whole: Archive) -> None:
    answers = found(
        whole,
        qido(
            Level.SERIES,
            ("RequestAttributesSequence.ScheduledProcedureStepID", "S2"),
            ("RequestAttributesSequence.RequestedProcedureID", "P1"),
        ),
    )
    assert [answer["00400275"]["Value"] for answer in answers] == [
        [{"00400009": {"vr": "SH", "Value": ["S2"]}, "00401001": {"vr": "SH", "Value": ["P1"]}}]
    ]


def test_what_should_be_a_sequence_and_is_none_has_no_items(filled: Filled) -> None:
    """One instance that is not as PS3.6 has it keeps nobody's search from being answered."""
    odd = factories.ct(1, extra=[("00400275", "LO", "P1"), ("00081111", "US", 1)])
    archive = filled([odd, factories.ct(2)])
    asked = ("00400275.00401001", "00081111.00081155")
    answers = found(archive, qido(Level.SERIES, *(("includefield", path) for path in asked)))
    assert {value(answer, "0020000D") for answer in answers} == {odd.study, factories.uid(2)}
    assert not [answer for answer in answers if "Value" in answer.get("00400275", {})]
    assert found(archive, qido(Level.SERIES, ("00400275.00401001", "P1"))) == []


def test_all_gives_everything_of_the_level(whole: Archive) -> None:
    (answer,) = found(whole, qido(Level.STUDY, ("PatientID", "PAT1"), ("includefield", "all")))
    assert value(answer, "00081030") == "Study 1"
    assert answer["00080062"] == {"vr": "UI", "Value": [factories.CT]}
    assert list(answer) == sorted(answer)


@pytest.mark.parametrize(
    ("pairs", "studies"),
    [
        ([("PatientName", "muller*")], [2, 1]),
        ([("PatientName", "smith^john")], [3]),
        ([("PatientName", "smith^john^*")], [3]),
        ([("PatientName", "smith"), ("fuzzymatching", "true")], [4, 3]),
        ([("PatientName", '""'), ("emptyvaluematching", "true")], [6]),
        ([("AccessionNumber", '""'), ("emptyvaluematching", "true")], [6, 4, 2]),
        ([("AccessionNumber", "ACC?")], [5, 3, 1]),
        ([("ModalitiesInStudy", "PT")], [5, 3, 1]),
        ([("ModalitiesInStudy", "CT\\PT"), ("multiplevaluematching", "true")], [5, 3, 1]),
        ([("ModalitiesInStudy", "CT\\MR")], [6, 5, 4, 3, 2, 1]),
        ([("PatientID", "PAT1\\PAT4")], [4, 1]),
        ([("StudyDescription", "*5\\Study 6")], [6, 5]),
        ([("StudyDate", "20240102-20240104"), ("StudyTime", "1100-1100")], [3]),
        ([("StudyDate", "-20240102")], [2, 1]),
        ([("StudyTime", "13-")], [6, 5]),
        ([("StudyDate", "20240101\\20240103-20240104")], [4, 3, 1]),
        ([("StudyInstanceUID", f"{factories.uid(2)},{factories.uid(5)}")], [5, 2]),
        ([("PatientID", "pat1")], []),
        ([], [6, 5, 4, 3, 2, 1]),
    ],
)
def test_each_kind_of_matching_finds_what_it_means(
    whole: Archive, pairs: list[tuple[str, str]], studies: list[int]
) -> None:
    query = qido(Level.STUDY, *pairs)
    everything = found(whole, qido(Level.STUDY, ("includefield", "all")))
    expected = [a["0020000D"] for a in everything if matches(query, a)]
    answers = [a["0020000D"] for a in found(whole, query)]
    assert answers == expected
    assert [a["Value"][0] for a in answers] == [factories.uid(n) for n in studies]


# --- pages --------------------------------------------------------------------------------------


def many(count: int) -> list[factories.Instance]:
    return [factories.ct(1, 1, n, rows=1, columns=1, number=n) for n in range(1, count + 1)]


def test_answers_go_on_past_a_page_and_hold_no_connection(filled: Filled) -> None:
    archive = filled(many(PAGE + 5))
    seen: list[int] = []
    for answer in archive.query.find(archive.who, qido(Level.IMAGE)).rows:
        seen.append(value(answer.attributes, "00200013"))
        if len(seen) in (1, PAGE, PAGE + 1):  # there is one connection to read with
            assert len(found(archive, qido(Level.STUDY))) == 1
    assert seen == list(range(1, PAGE + 6))


@pytest.mark.parametrize(
    ("limit", "offset", "expected", "remaining"),
    [
        (2, 0, [6, 5], 4),
        (2, 2, [4, 3], 2),
        (2, 4, [2, 1], 0),
        (2, 5, [1], 0),
        (6, 0, [6, 5, 4, 3, 2, 1], 0),
        (0, 0, [], 6),
        (3, 20, [], 0),
        (None, 2, [4, 3, 2, 1], 0),
    ],
)
def test_limit_offset_and_what_remains(
    whole: Archive, limit: int | None, offset: int, expected: list[int], remaining: int
) -> None:
    query = dataclasses.replace(qido(Level.STUDY), limit=limit, offset=offset)
    answers = whole.query.find(whole.who, query)
    days = [int(value(answer.attributes, "00080020")[-2:]) for answer in answers.rows]
    assert days == expected
    assert answers.remaining() == Remaining(remaining)


def test_a_limit_of_just_a_page_counts_what_remains(filled: Filled) -> None:
    archive = filled(many(PAGE + 1))
    answers = archive.query.find(archive.who, qido(Level.IMAGE, most=PAGE))
    assert len(list(answers.rows)) == PAGE
    assert answers.remaining() == Remaining(1)


def test_remaining_says_more_than_past_its_bound() -> None:
    assert str(Remaining(10_000, more=True)) == "more than 10000"
    assert str(Remaining(7)) == "7"


# --- scopes -------------------------------------------------------------------------------------


def series_of(study: int, series: int) -> SeriesRef:
    return SeriesRef(UID(factories.uid(study)), UID(factories.uid(study, series)))


def instance_of(study: int, series: int, instance: int) -> InstanceRef:
    parts = (study,), (study, series), (study, series, instance)
    return InstanceRef(*(UID(factories.uid(*part)) for part in parts))


SCOPES = {
    "whole studies": Scope(studies=frozenset((UID(factories.uid(1)), UID(factories.uid(4))))),
    "series": Scope(series=frozenset((series_of(1, 2), series_of(2, 1)))),
    "instances": Scope(instances=frozenset((instance_of(3, 2, 2), instance_of(3, 1, 2)))),
    "all kinds": Scope(
        studies=frozenset((UID(factories.uid(6)),)),
        series=frozenset((series_of(5, 2),)),
        instances=frozenset((instance_of(5, 1, 1), instance_of(2, 2, 1))),
    ),
    "what is not there": Scope(studies=frozenset((UID("1.2.3"),))),
    "nothing": Scope(),
}
QUESTIONS = [
    qido(Level.STUDY, ("includefield", "all")),
    qido(Level.STUDY, ("ModalitiesInStudy", "PT")),
    qido(Level.STUDY, ("PatientName", "*m*")),
    qido(Level.STUDY, ("limit", "1"), ("offset", "1")),
    qido(Level.SERIES, ("includefield", "all")),
    qido(Level.SERIES, ("Modality", "MR")),
    qido(Level.IMAGE, ("includefield", "all")),
    qido(Level.IMAGE, ("InstanceNumber", "2"), study=UID(factories.uid(5))),
    Query(level=Level.PATIENT, everything=True, returns=frozenset({("00201204",)})),
]


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES.keys())
def test_a_scope_answers_as_an_archive_that_holds_only_it(
    whole: Archive, filled: Filled, scope: Scope
) -> None:
    alone = filled(
        one
        for one in content()
        if scope.covers(InstanceRef(UID(one.study), UID(one.series), UID(one.instance)))
    )
    for query in QUESTIONS:
        under = whole.query.find(guest(scope), query)
        there = alone.query.find(alone.who, query)
        assert [a.attributes for a in under.rows] == [a.attributes for a in there.rows]
        assert under.remaining() == there.remaining()


def test_outside_the_scope_nothing_matches(whole: Archive) -> None:
    who = guest(SCOPES["whole studies"])
    assert found(whole, qido(Level.STUDY, ("PatientID", "PAT2")), who) == []
    assert found(whole, qido(Level.SERIES, study=UID(factories.uid(2))), who) == []


def test_who_may_not_ask_is_refused_before_anything(filled: Filled) -> None:
    archive = filled([])
    archive.database.close()
    with pytest.raises(NotPermitted):
        archive.query.find(guest(Scope(everything=True), Action.RETRIEVE), qido(Level.STUDY))


# --- evidence -----------------------------------------------------------------------------------


def trail(archive: Archive) -> list[tuple[str, dict[str, Any]]]:
    archive.audit.flush()
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT principal, detail FROM audit WHERE kind = 'query' ORDER BY id")
        return [(name, detail) for name, detail in rows]


def test_each_search_leaves_one_row_without_values(filled: Filled) -> None:
    archive = filled([factories.ct()])
    found(archive, qido(Level.STUDY, ("PatientID", "P-0001")))
    found(archive, qido(Level.SERIES, ("PatientName", "nobody")))
    assert trail(archive) == [
        ("test", {"level": "STUDY", "keys": ["PatientID"], "rows": 1}),
        ("test", {"level": "SERIES", "keys": ["PatientName"], "rows": 0}),
    ]


def test_a_search_that_is_left_early_is_told_as_far_as_it_went(filled: Filled) -> None:
    archive = filled(many(PAGE + 1))
    answers = archive.query.find(archive.who, qido(Level.IMAGE))
    for _ in range(3):
        next(answers.rows)
    answers.close()
    assert [detail["rows"] for _, detail in trail(archive)] == [3]
    assert list(answers.rows) == []


def test_without_a_trail_there_is_no_search(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = filled([])
    monkeypatch.setattr(audit, "REFUSE_S", -1.0)  # as if the last row had waited for too long
    found(archive, qido(Level.STUDY))
    with pytest.raises(Unavailable):
        archive.query.find(archive.who, qido(Level.STUDY))


def test_pages_by_offset_are_whole_though_more_came_since_another_reader(filled: Filled) -> None:
    """A process remembers where pages ended; what comes in meanwhile comes before that place."""
    archive = filled(factories.ct(1, 1, number) for number in range(10, 16))

    def page(offset: int) -> list[str | None]:
        asked = qido(Level.IMAGE, ("limit", "2"), ("offset", str(offset)))
        return [one.instance for one in archive.query.find(archive.who, asked).rows]

    earlier = [page(offset) for offset in (0, 2, 4)]
    assert len({uid for one in earlier for uid in one}) == 6
    for number in (1, 2, 3):
        assert isinstance(archive.take(factories.ct(1, 1, number).part10()), Stored)
    # a reader whose first pages another process answered
    assert page(4) == [factories.ct(1, 1, number).instance for number in (11, 12)]
    later = [page(offset) for offset in (0, 2, 4, 6, 8)]
    assert len({uid for one in later for uid in one}) == 9
