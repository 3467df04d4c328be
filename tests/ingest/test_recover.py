"""After a crash, and after the loss of the whole index."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from tests.index.samples import dump
from vna.blobs.layout import blob_name
from vna.blobs.sealing import open_json
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import NotFound
from vna.index.register import clear
from vna.ingest.outcome import Stored
from vna.ingest.routing import Router


def forget(archive: Archive) -> None:
    """Lose the rows of the whole catalogue, as a lost database would."""
    with archive.database.transaction() as tx:
        clear(tx)


def some(archive: Archive) -> list[factories.Instance]:
    made = [
        factories.ct(1, 1, 1),
        factories.ct(1, 1, 2, rows=200, columns=200),
        factories.ct(1, 2, 1, transfer_syntax=factories.BIG_ENDIAN),
        factories.ct(2, 1, 1, transfer_syntax=factories.DEFLATED, patient_id=""),
        factories.multi_frame(5),
        factories.compressed([[factories.jpeg(1)], [factories.jpeg(2), factories.jpeg(3)]]),
    ]
    made[4] = dataclasses.replace(made[4], study=factories.uid(3), instance=factories.uid(3, 1, 1))
    made[5] = dataclasses.replace(made[5], study=factories.uid(4), instance=factories.uid(4, 1, 1))
    for one in made:
        assert isinstance(archive.take(one.part10()), Stored)
    return made


def test_a_complete_blob_without_a_row_is_adopted(archive: Archive) -> None:
    made = some(archive)
    forget(archive)
    with pytest.raises(NotFound):
        archive.retrieve.instances(archive.who, StudyRef(uid(made[0].study)))
    found = archive.recovery.adopt(older_s=0)
    assert (found.indexed, found.refused) == (len(made), [])
    assert len(archive.retrieve.instances(archive.who, StudyRef(uid(made[0].study)))) == 3
    assert archive.recovery.adopt(older_s=0).indexed == 0


def test_a_young_blob_may_still_be_on_its_way(archive: Archive) -> None:
    some(archive)
    forget(archive)
    assert archive.recovery.adopt(older_s=3600).indexed == 0


def test_a_blob_whose_content_is_indexed_is_removed(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    forget(archive)
    archive.take(made.part10())
    assert len(list(archive.store.blob_ids())) == 2
    assert archive.recovery.adopt(older_s=0).removed == 1
    assert len(list(archive.store.blob_ids())) == 1


def test_what_is_deleted_while_it_is_being_adopted_stays_deleted(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was still storing it has made its row meanwhile, and that was deleted."""
    made = factories.ct()
    archive.take(made.part10())
    forget(archive)
    study = StudyRef(uid(made.study))

    def of(router: Router, *given: Any) -> tuple[int, ...]:
        monkeypatch.setattr(Router, "of", usual)
        blobs = list(archive.store.blob_ids())
        archive.recovery.restore(blobs, lambda _: set(blobs))
        archive.lifecycle.delete(archive.who, study)
        return usual(router, *given)

    usual = Router.of
    monkeypatch.setattr(Router, "of", of)
    assert archive.recovery.adopt(older_s=0).indexed == 0
    assert archive.lifecycle.is_gone(archive.who, study)
    assert archive.lifecycle.undelete(archive.who, study).refused == []
    assert len(archive.retrieve.instances(archive.who, study)) == 1


def test_a_damaged_blob_is_named_and_the_others_go_on(archive: Archive) -> None:
    made = some(archive)
    damaged = min(archive.settings.data.glob("blobs/b/*/*/*.vnb"), key=lambda p: p.stat().st_size)
    data = bytearray(damaged.read_bytes())
    data[300] ^= 1
    damaged.chmod(0o600)
    damaged.write_bytes(data)
    forget(archive)
    found = archive.recovery.adopt(older_s=0)
    assert len(found.refused) == 1
    assert found.indexed == len(made) - 1


def test_reindex_rebuilds_every_row(archive: Archive) -> None:
    made = some(archive)
    other = dataclasses.replace(made[0], patient_name="Other^Name")
    assert isinstance(archive.take(other.part10()), Stored)
    elsewhere = dataclasses.replace(made[1], series=factories.uid(1, 9))
    assert isinstance(archive.take(elsewhere.part10()), Stored)
    before = catalogue(archive)
    found = archive.recovery.reindex()
    assert found.refused == []
    assert found.indexed == len(made) + 2
    after = catalogue(archive)
    for table, rows in before.items():
        assert set(after[table]) ^ set(rows) == set(), table


@pytest.mark.parametrize("policy", ["first", "newest"])
def test_reindex_says_of_each_of_many_versions_what_was_said_when_it_came(
    tmp_path: Path, database: Database, policy: str
) -> None:
    """Each meets all that came before it: beside one compressed nobody can say it has changed."""
    plain = factories.ct()
    packed = factories.encapsulated([[bytes(64)]])
    dense = dataclasses.replace(
        plain, transfer_syntax=factories.RLE, pixel_element=packed, pixels=None
    )
    with open_archive(tmp_path, database, versions={"policy": policy}) as archive:
        for one in (plain, dense, dataclasses.replace(plain, patient_name="Other^Name")):
            assert isinstance(archive.take(one.part10()), Stored)
        before = said_of_versions(archive)
        assert archive.recovery.reindex().refused == []
        assert said_of_versions(archive) == before


def said_of_versions(archive: Archive) -> list[tuple[Any, ...]]:
    """What each version was found to be, and which is shown; in the order they came."""
    with archive.database.reading() as conn:
        return conn.execute("SELECT reason, current FROM instance ORDER BY blob_id").fetchall()


def catalogue(archive: Archive) -> dict[str, list[str]]:
    """Every row of the catalogue but surrogate keys and times of change; what is sealed, opened."""
    found = dump(archive.database)
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT i.blob_id, i.key_id, i.key_version, j.sealed "
            "FROM instance_json j JOIN instance i USING (instance_pk)"
        ).fetchall()
    opened = [
        repr((blob, open_json(archive.store.keys.open(key, version), blob, sealed)))
        for blob, key, version, sealed in rows
    ]
    return {**found, "instance_json": sorted(opened)}


def test_a_blob_whose_study_key_is_lost_is_named_and_not_passed_over(archive: Archive) -> None:
    made = some(archive)
    lost = next(archive.store.keys.ids())
    archive.store.keys.destroy(lost)
    under = {b.hex() for b in archive.store.blob_ids() if archive.store.key_of(b) == lost}
    found = archive.recovery.reindex()
    assert {blob for blob, _ in found.refused} == under
    assert found.indexed == len(made) - len(under)
    # what has no row may be left of a study that was destroyed: the hourly look says nothing
    assert archive.recovery.adopt(older_s=0).refused == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_blob_of_two_versions_ends_no_rebuilding(archive: Archive, which: int) -> None:
    """The catalogue is empty by then: everything else would be out of sight, at each try."""
    for name in ("Doe^Jane", "Roe^Jane"):
        made = factories.ct(1, 1, 1, rows=512, columns=512, patient_name=name)
        archive.take(made.part10())
    archive.take(factories.ct(2, 1, 1).part10())
    blobs = sorted(archive.store.blob_ids())
    path = archive.settings.data / "blobs" / blob_name(blobs[which])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    assert archive.recovery.reindex().indexed == len(blobs) == 3
