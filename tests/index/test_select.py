"""What a retrieval by unique keys selects, against a plain search of what was stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.factories import Instance, ct
from vna.db.pool import Database
from vna.dicom.refs import UID, Level, SeriesRef, Within
from vna.errors import TooLarge
from vna.index.select import Selection, located, select
from vna.ingest.outcome import Refused

HELD = [
    ct(1, 1, 2),
    ct(1, 1, 1),
    ct(1, 2, 1, patient_id="P-0001"),
    ct(2, 1, 1, patient_id="P-0001"),
    ct(3, 1, 1, patient_id="P-0002"),
]


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        for one in HELD:
            assert not isinstance(archive.take(one.part10()), Refused)
        yield archive


def found(
    archive: Archive, asked: Selection, *, most: int = 100, within: Within | None = None
) -> list[str]:
    with archive.database.reading() as conn:
        return [one.ref.instance for one in select(conn, asked, most=most, within=within)]


def uids(*instances: Instance) -> list[str]:
    return [one.instance for one in instances]


def of(*values: str) -> frozenset[UID]:
    return frozenset(map(UID, values))


def test_each_level_selects_what_stands_below_it_in_order(archive: Archive) -> None:
    patient = Selection(level=Level.PATIENT, patient_id="P-0001")
    assert found(archive, patient) == uids(HELD[1], HELD[0], HELD[2], HELD[3])
    study = Selection(level=Level.STUDY, studies=of(ct(1).study, ct(3).study))
    assert found(archive, study) == uids(HELD[1], HELD[0], HELD[2], HELD[4])
    series = Selection(level=Level.SERIES, studies=of(ct(1).study), series=of(ct(1, 2).series))
    assert found(archive, series) == uids(HELD[2])
    image = Selection(level=Level.IMAGE, instances=of(HELD[0].instance, HELD[4].instance))
    assert found(archive, image) == uids(HELD[0], HELD[4])


def test_keys_of_other_levels_must_agree(archive: Archive) -> None:
    right = Selection(level=Level.STUDY, patient_id="P-0002", studies=of(ct(3).study))
    assert found(archive, right) == uids(HELD[4])
    for wrong in (
        Selection(level=Level.STUDY, patient_id="P-0001", studies=of(ct(3).study)),
        Selection(level=Level.SERIES, studies=of(ct(2).study), series=of(ct(1, 2).series)),
        Selection(level=Level.IMAGE, series=of(ct(2).series), instances=of(HELD[0].instance)),
        Selection(level=Level.PATIENT, patient_id="p-0001"),
    ):
        assert found(archive, wrong) == []


def test_what_may_not_be_seen_is_not_selected(archive: Archive) -> None:
    asked = Selection(level=Level.PATIENT, patient_id="P-0001")
    within = Within(series=frozenset({SeriesRef(UID(ct(1).study), UID(ct(1, 2).series))}))
    assert found(archive, asked, within=within) == uids(HELD[2])
    assert found(archive, asked, within=Within()) == []


def test_more_than_may_be_is_refused(archive: Archive) -> None:
    asked = Selection(level=Level.STUDY, studies=of(ct(1).study))
    assert len(found(archive, asked, most=3)) == 3
    with pytest.raises(TooLarge):
        found(archive, asked, most=2)


def test_what_was_listed_is_located_by_its_key(archive: Archive) -> None:
    asked = Selection(level=Level.STUDY, studies=of(ct(1).study))
    with archive.database.reading() as conn:
        listed = select(conn, asked, most=10, within=None)
        there = located(conn, listed)
    assert [there[one.key].ref for one in listed] == [one.ref for one in listed]
    for one in listed:
        at = there[one.key]
        data = b"".join(archive.store.chunks(at.blob_id, at.header, at.payload_len))
        (wanted,) = (held for held in HELD if held.instance == one.ref.instance)
        assert data == wanted.dataset()
        assert (one.sop_class, one.transfer_syntax) == (at.sop_class, at.transfer_syntax)


def test_one_that_went_meanwhile_is_not_located(archive: Archive) -> None:
    asked = Selection(level=Level.STUDY, studies=of(ct(1).study))
    with archive.database.reading() as conn:
        listed = select(conn, asked, most=10, within=None)
    with archive.database.transaction() as tx:
        tx.execute("UPDATE instance SET current = false WHERE instance_pk = %s", (listed[0].key,))
    with archive.database.reading() as conn:
        assert sorted(located(conn, listed)) == sorted(one.key for one in listed[1:])
