"""Attributes made searchable: filled in from what is sealed, kept for what comes, removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests import factories
from tests.archive import Archive
from tests.conftest import TestPostgres
from tests.query.conftest import filling
from vna.access.principal import Action, Kind, Principal
from vna.dicom.refs import Level
from vna.dicom.searchable import read
from vna.errors import Conflict, NotPermitted
from vna.index.register import clear
from vna.ingest import backfill
from vna.query.keys import from_parameters


def private(block: str, value: str) -> list[factories.Element]:
    """A private attribute of one creator in any block."""
    return [(f"001100{block}", "LO", "ACME 1.1"), (f"0011{block}01", "LO", value)]


def referring_to(study: int) -> dict[str, Any]:
    items = [{"ReferencedSOPClassUID": "1.2.3", "ReferencedSOPInstanceUID": f"1.2.{study}"}]
    if study == 2:
        items.append({"ReferencedSOPClassUID": "1.2.9", "ReferencedSOPInstanceUID": "1.2.1"})
    return {"ReferencedStudySequence": items}


def three() -> list[factories.Instance]:
    """Three studies of two instances; what they say differs by study and by instance."""
    made = []
    for study in (1, 2, 3):
        for number in (1, 2):
            values = {
                "AdmissionID": f"ADM{study}",
                "ProtocolName": f"CT{study}",
                "KVP": str(100 + 10 * number),
                "AcquisitionDateTime": f"2024010{study}1200{number}0",
                "PerformingPhysicianName": f"Doe^J{study}",
                **referring_to(study),
            }
            made.append(
                factories.ct(
                    *(study, 1, number),
                    rows=2,
                    columns=2,
                    patient_id=f"P{study}",
                    values=values,
                    extra=private("10" if study < 3 else "42", f"secret {study}"),
                )
            )
    return made


@pytest.fixture
def archive(postgres: TestPostgres, tmp_path: Path) -> Iterator[Archive]:
    """An archive of three studies; no process has an older list: there is nothing to wait for."""
    for filled in filling(postgres, tmp_path):
        made = filled(three())
        made.search_index.settled_s = 0.0
        yield made


def added(archive: Archive, *attributes: str, **how: Any) -> None:
    for attribute in attributes:
        assert archive.search_index.add(archive.who, read(attribute, **how))
    ready(archive)


def ready(archive: Archive) -> None:
    while (walk := archive.search_index.walk()) is not None and not walk.ready:
        assert not archive.search_index.step().waits


def fresh(archive: Archive) -> None:
    """As if a second had gone by: the lists of this process are asked for again."""
    for engine in (archive.query, archive.ingest, archive.recovery):
        engine._searchables._good_until = float("-inf")  # type: ignore[attr-defined]


def found(archive: Archive, level: Level, *pairs: tuple[str, str]) -> list[str]:
    fresh(archive)
    asked = from_parameters(level, pairs, most=100, added=archive.query.searchable())
    assert not asked.unsupported, asked.unsupported
    tag = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    rows = archive.query.find(archive.who, asked.query).rows
    return sorted(row.attributes[tag]["Value"][0] for row in rows)


@pytest.mark.parametrize(
    ("attribute", "level", "pair", "expected"),
    [
        ("AdmissionID", Level.STUDY, ("AdmissionID", "ADM2"), [2]),
        ("AdmissionID", Level.STUDY, ("00380010", "ADM*"), [1, 2, 3]),
        ("AdmissionID", Level.STUDY, ("AdmissionID", "*M3"), [3]),
        ("AdmissionID", Level.SERIES, ("AdmissionID", "ADM1"), [1]),
        ("00181030", Level.SERIES, ("ProtocolName", "CT2"), [2]),
        ("PerformingPhysicianName", Level.SERIES, ("PerformingPhysicianName", "doe^j3"), [3]),
        (
            "ReferencedStudySequence.ReferencedSOPInstanceUID",
            Level.STUDY,
            ("ReferencedStudySequence.ReferencedSOPInstanceUID", "1.2.1"),
            [1, 2],
        ),
    ],
)
def test_what_was_stored_before_is_found_by_an_added_attribute(
    archive: Archive, attribute: str, level: Level, pair: tuple[str, str], expected: list[int]
) -> None:
    added(archive, attribute)

    series = (1,) if level is Level.SERIES else ()
    assert found(archive, level, pair) == [factories.uid(n, *series) for n in expected]


def test_instances_are_found_by_numbers_and_moments(archive: Archive) -> None:
    added(archive, "KVP", "AcquisitionDateTime")

    assert found(archive, Level.IMAGE, ("KVP", "120.0")) == [
        factories.uid(study, 1, 2) for study in (1, 2, 3)
    ]
    between = ("AcquisitionDateTime", "20240102-202401021215")
    assert found(archive, Level.IMAGE, between) == [factories.uid(2, 1, 1), factories.uid(2, 1, 2)]


def test_all_keys_of_a_sequence_hold_in_one_item(archive: Archive) -> None:
    added(archive, "ReferencedStudySequence")
    both = (
        ("ReferencedStudySequence.ReferencedSOPInstanceUID", "1.2.1"),
        ("ReferencedStudySequence.ReferencedSOPClassUID", "1.2.3"),
    )

    assert found(archive, Level.STUDY, *both) == [factories.uid(1)]


def test_a_private_attribute_is_found_in_whatever_block_it_stands(archive: Archive) -> None:
    added(archive, "00111001", creator="ACME 1.1", vr="LO", level=Level.STUDY)

    for block, study in (("10", 1), ("42", 3), ("17", 3)):
        pairs = ((f"001100{block}", "ACME 1.1"), (f"0011{block}01", f"secret {study}"))
        assert found(archive, Level.STUDY, *pairs) == [factories.uid(study)]
    other = (("00110010", "OTHER"), ("00111001", "secret 1"))
    asked = from_parameters(Level.STUDY, other, most=9, added=archive.query.searchable())
    assert asked.unsupported == ("(0011,1001)",)


def test_a_private_attribute_that_came_without_a_vr_is_read_by_the_one_given(
    archive: Archive,
) -> None:
    implicit = factories.ct(
        7, transfer_syntax=factories.IMPLICIT, extra=private("10", "hidden"), values={}
    )
    archive.take(implicit.part10())
    added(archive, "00111001", creator="ACME 1.1", vr="LO", level=Level.STUDY)

    pairs = (("00110010", "ACME 1.1"), ("00111001", "hid*"))
    assert found(archive, Level.STUDY, *pairs) == [factories.uid(7)]


def test_an_added_attribute_is_kept_for_what_comes_later(archive: Archive) -> None:
    added(archive, "AdmissionID", "KVP")
    fresh(archive)

    archive.take(factories.ct(8, values={"AdmissionID": "NEW", "KVP": "77"}).part10())

    assert found(archive, Level.STUDY, ("AdmissionID", "NEW")) == [factories.uid(8)]
    assert found(archive, Level.IMAGE, ("KVP", "77")) == [factories.uid(8, 1, 1)]


def test_nothing_is_matched_on_an_attribute_before_all_is_filled_in(archive: Archive) -> None:
    archive.search_index.add(archive.who, read("AdmissionID"))
    fresh(archive)
    key = ("AdmissionID", "ADM2")

    before = from_parameters(Level.STUDY, [key], most=9, added=archive.query.searchable())
    assert (before.query.keys, before.unsupported) == ((), ("AdmissionID",))
    assert before.deviations == ("AdmissionID is not matched on yet: it is being indexed.",)

    ready(archive)
    assert found(archive, Level.STUDY, key) == [factories.uid(2)]


def test_a_walk_that_was_cut_off_goes_on_where_it_was(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_BATCH", 2)
    archive.search_index.add(archive.who, read("AdmissionID"))

    steps = [archive.search_index.step().instances]
    first = archive.search_index.walk()
    again = backfill.SearchIndex(
        store=archive.store,
        database=archive.database,
        audit=archive.audit,
        settings=archive.settings,
    )
    again.settled_s = 0.0
    while (walk := again.walk()) is not None and not walk.ready:
        steps.append(again.step().instances)

    assert first is not None
    assert 0 < first.percent < 100
    assert steps == [2, 2, 2, 0]


def test_what_was_taken_in_by_the_old_list_is_looked_at_again(archive: Archive) -> None:
    archive.ingest._searchables._clock = lambda: 0.0  # this process keeps the list it has
    assert archive.ingest._searchables.now() == ()
    added(archive, "AdmissionID")
    archive.take(factories.ct(9, values={"AdmissionID": "LATE"}).part10())
    assert found(archive, Level.STUDY, ("AdmissionID", "LATE")) == []

    archive.search_index.swept_s = 0.0
    while archive.search_index.walk() is not None:
        archive.search_index.step()

    assert found(archive, Level.STUDY, ("AdmissionID", "LATE")) == [factories.uid(9)]


def test_a_removed_attribute_is_not_matched_on_and_its_values_go(archive: Archive) -> None:
    added(archive, "AdmissionID", "ProtocolName")
    assert archive.search_index.remove(archive.who, read("AdmissionID"))
    assert not archive.search_index.remove(archive.who, read("AdmissionID"))
    fresh(archive)

    key = ("AdmissionID", "ADM2")
    asked = from_parameters(Level.STUDY, [key], most=9, added=archive.query.searchable())
    assert asked.unsupported == ("AdmissionID",)
    ready(archive)
    assert rows(archive, "study_extra") == 0
    assert found(archive, Level.SERIES, ("ProtocolName", "CT1")) == [factories.uid(1, 1)]

    archive.search_index.remove(archive.who, read("ProtocolName"))
    assert [rows(archive, t) for t in ("series_extra", "instance_extra")] == [0, 0]
    assert archive.search_index.walk() is None


def rows(archive: Archive, table: str) -> int:
    with archive.database.reading() as conn:
        text = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        row = conn.execute(text).fetchone()
    return int(row[0]) if row else -1


def test_reindex_fills_in_what_was_added(archive: Archive) -> None:
    added(archive, "AdmissionID", "KVP")
    with archive.database.transaction() as tx:
        clear(tx)
    archive.recovery.reindex()

    assert found(archive, Level.STUDY, ("AdmissionID", "ADM3")) == [factories.uid(3)]
    assert len(found(archive, Level.IMAGE, ("KVP", "110"))) == 3


def test_an_object_whose_metadata_is_past_the_cap_is_read_from_its_blob(archive: Archive) -> None:
    added(archive, "AdmissionID")
    fresh(archive)
    many = [("00081140", "SQ", [[("00081150", "UI", "1.2.840.10008.5.1.4.1.1.2")]] * 40_000)]
    large = factories.ct(5, extra=many, values={"AdmissionID": "HUGE"})

    archive.take(large.part10())
    assert found(archive, Level.STUDY, ("AdmissionID", "HUGE")) == [factories.uid(5)]
    added(archive, "ProtocolName")
    assert found(archive, Level.STUDY, ("AdmissionID", "HUGE")) == [factories.uid(5)]


def test_an_empty_value_is_matched_on_an_added_attribute(archive: Archive) -> None:
    added(archive, "AdmissionID")
    fresh(archive)
    archive.take(factories.ct(6).part10())

    empty = (("AdmissionID", '""'), ("emptyvaluematching", "true"))
    assert found(archive, Level.STUDY, *empty) == [factories.uid(6)]


def test_adding_needs_the_right_and_leaves_a_trace(archive: Archive) -> None:
    asker = Principal(kind=Kind.PERSON, name="asker", actions=frozenset({Action.QUERY}))
    with pytest.raises(NotPermitted):
        archive.search_index.add(asker, read("AdmissionID"))
    assert archive.search_index.add(archive.who, read("AdmissionID"))
    assert not archive.search_index.add(archive.who, read("AdmissionID"))
    assert [str(one) for one in archive.search_index.attributes(archive.who)] == ["00380010"]

    with archive.database.reading() as conn:
        query = "SELECT principal, detail FROM audit WHERE kind = 'index.attribute.added'"
        told = conn.execute(query).fetchall()
    assert told == [("test", {"attribute": "00380010", "level": "STUDY"})]


def test_one_attribute_has_one_level(archive: Archive) -> None:
    assert archive.search_index.add(archive.who, read("SourceImageSequence.PatientID"))
    with pytest.raises(Conflict, match="level IMAGE"):
        archive.search_index.add(
            archive.who, read("SourceImageSequence.StudyID", level=Level.STUDY)
        )


def test_a_deleted_study_takes_its_values_along(archive: Archive) -> None:
    added(archive, "AdmissionID", "KVP")
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM instance")
        tx.execute("DELETE FROM series")
        tx.execute("DELETE FROM study")
    assert [rows(archive, t) for t in ("study_extra", "instance_extra")] == [0, 0]
