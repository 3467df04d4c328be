"""Deleted is gone everywhere, at once and after a rebuild; brought back is as it was."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Sequence

import pytest

from tests import factories
from tests.archive import Archive
from tests.index.samples import dump
from vna.access.principal import Action, Kind, Principal, Scope
from vna.dicom.matching import Query
from vna.dicom.refs import InstanceRef, Level, Ref, SeriesRef, StudyRef, uid
from vna.dicom.searchable import read
from vna.errors import Gone, NotFound, NotPermitted
from vna.ingest.outcome import AlreadyStored, Stored
from vna.operate.purge import Purge
from vna.query.keys import from_parameters


def study(made: factories.Instance) -> StudyRef:
    return StudyRef(uid(made.study))


def series(made: factories.Instance) -> SeriesRef:
    return SeriesRef(uid(made.study), uid(made.series))


def instance(made: factories.Instance) -> InstanceRef:
    return InstanceRef(uid(made.study), uid(made.series), uid(made.instance))


def fill(archive: Archive) -> list[factories.Instance]:
    """Two studies of one patient: two series of two, and one of one."""
    made = [
        factories.ct(1, 1, 1),
        factories.ct(1, 1, 2),
        factories.ct(1, 2, 1),
        factories.ct(1, 2, 2, modality="MR"),
        factories.ct(2, 1, 1),
    ]
    for one in made:
        assert isinstance(archive.take(one.part10()), Stored)
    return made


def shown(archive: Archive, level: Level = Level.IMAGE) -> set[str]:
    """What a search finds at a level, by UID."""
    found = archive.query.find(archive.who, Query(level=level, keys=())).rows
    if level is Level.STUDY:
        return {str(row.study) for row in found}
    return {str(row.instance if level is Level.IMAGE else row.series) for row in found}


def uids(made: Sequence[factories.Instance]) -> set[str]:
    return {one.instance for one in made}


def tables(archive: Archive) -> dict[str, list[str]]:
    """Every row of the catalogue that a rebuild must give again; names of modalities only grow."""
    found = dump(archive.database)
    return {name: rows for name, rows in found.items() if name not in ("modality", "instance_json")}


def kinds(archive: Archive) -> list[str]:
    """What the audit trail says was done, in order, but reads and searches."""
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT kind FROM audit ORDER BY id").fetchall()
    return [kind for (kind,) in rows if kind not in ("read", "query")]


def expire(archive: Archive) -> None:
    """Let the time of grace of every deletion be over."""
    with archive.database.transaction() as tx:
        tx.execute("UPDATE deletion SET due_at = now() - interval '1 s'")


def purge(archive: Archive) -> Purge:
    """A purge for which every key is old enough."""
    return Purge(
        store=archive.store, database=archive.database, audit=archive.audit, rest_s=0.0
    )  # fmt: skip


@pytest.mark.parametrize("of", [study, series, instance])
def test_what_is_deleted_is_not_found_and_the_rest_is(archive: Archive, of: object) -> None:
    made = fill(archive)
    ref: Ref = of(made[0])  # type: ignore[operator]
    gone = archive.retrieve.instances(archive.who, ref)
    deletion = archive.lifecycle.delete(archive.who, ref)
    assert {grave.blob_id for grave in deletion.graves} == {one.blob_id for one in gone}
    assert shown(archive) == uids(made) - {one.ref.instance for one in gone}
    with pytest.raises(NotFound):
        archive.retrieve.instances(archive.who, ref)
    assert archive.lifecycle.is_gone(archive.who, ref)
    assert not archive.lifecycle.is_gone(archive.who, study(made[4]))


def test_the_catalogue_after_a_deletion_is_that_of_a_rebuild(archive: Archive) -> None:
    made = fill(archive)
    other = dataclasses.replace(made[2], patient_name="Other^Name", patient_id="P-2")
    archive.take(dataclasses.replace(other, instance=factories.uid(1, 2, 9)).part10())
    archive.lifecycle.delete(archive.who, instance(made[0]))
    archive.lifecycle.delete(archive.who, instance(other))
    archive.lifecycle.delete(archive.who, series(made[3]))
    archive.lifecycle.delete(archive.who, study(made[4]))
    before = tables(archive)
    assert archive.recovery.reindex().refused == []
    assert tables(archive) == before
    assert shown(archive) == {made[1].instance}
    assert archive.lifecycle.is_gone(archive.who, study(made[4]))


def test_nothing_of_a_deleted_study_stays_in_the_catalogue(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    archive.lifecycle.delete(archive.who, study(made[4]))
    assert all(rows == [] for rows in tables(archive).values())


def test_counts_are_those_of_what_is_left(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, series(made[2]))
    archive.lifecycle.delete(archive.who, instance(made[1]))
    (row,) = archive.query.find(
        archive.who, Query(level=Level.STUDY, keys=(), limit=1)
    ).rows  # fmt: skip
    with archive.database.reading() as conn:
        counts = conn.execute(
            "SELECT instances, series, modalities FROM study_state JOIN study USING (study_pk) "
            "WHERE study_uid = %s",
            [made[0].study],
        ).fetchone()
    assert counts == (1, 1, ["CT"])
    assert row.study in (made[0].study, made[4].study)


def test_a_study_shows_the_attributes_of_what_is_left(archive: Archive) -> None:
    first = factories.ct(1, 1, 1, patient_name="First^One")
    second = factories.ct(1, 1, 2, patient_name="Second^One")
    archive.take(first.part10())
    archive.take(second.part10())
    archive.lifecycle.delete(archive.who, instance(first))
    with archive.database.reading() as conn:
        names = conn.execute("SELECT patient_name FROM study").fetchall()
        others = conn.execute("SELECT count(*) FROM study_difference").fetchone()
    assert names == [("=second^one===",)]
    assert others == (0,)


def test_unknown_is_not_found_and_deleted_is_gone(archive: Archive) -> None:
    made = fill(archive)
    with pytest.raises(NotFound) as unknown:
        archive.lifecycle.delete(archive.who, StudyRef(uid("1.2.3")))
    assert not isinstance(unknown.value, Gone)
    archive.lifecycle.delete(archive.who, study(made[0]))
    for ref in (study(made[0]), series(made[2]), instance(made[1])):
        with pytest.raises(Gone):
            archive.lifecycle.delete(archive.who, ref)


def test_what_comes_in_after_a_deletion_is_new(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    outcome = archive.take(made[0].part10())
    assert isinstance(outcome, Stored)
    assert outcome.caution is None
    assert shown(archive) == uids([made[0], made[4]])
    assert not archive.lifecycle.is_gone(archive.who, study(made[0]))
    assert archive.lifecycle.is_gone(archive.who, instance(made[1]))
    assert archive.recovery.reindex().refused == []
    assert shown(archive) == uids([made[0], made[4]])


def test_brought_back_is_as_it_was(archive: Archive) -> None:
    made = fill(archive)
    before = tables(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    restored = archive.lifecycle.undelete(archive.who, study(made[0]))
    assert (restored.blobs, restored.refused) == (4, [])
    assert tables(archive) == before
    assert not archive.lifecycle.is_gone(archive.who, study(made[0]))
    archive.recovery.reindex()
    assert tables(archive) == before
    assert kinds(archive)[5:7] == ["study.deleted", "study.undeleted"]


def test_a_part_of_a_deletion_can_be_brought_back(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    archive.lifecycle.undelete(archive.who, series(made[2]))
    assert shown(archive) == uids(made[2:])
    archive.lifecycle.undelete(archive.who, instance(made[0]))
    assert shown(archive) == uids([made[0], *made[2:]])
    archive.recovery.reindex()
    assert shown(archive) == uids([made[0], *made[2:]])
    assert archive.lifecycle.is_gone(archive.who, instance(made[1]))


def test_one_study_that_is_brought_back_brings_no_other_along(archive: Archive) -> None:
    made = fill(archive)
    for one in (made[0], made[4]):
        archive.lifecycle.delete(archive.who, study(one))
    archive.lifecycle.undelete(archive.who, study(made[4]))
    assert shown(archive) == uids(made[4:])
    assert archive.lifecycle.is_gone(archive.who, study(made[0]))
    assert not archive.lifecycle.is_gone(archive.who, study(made[4]))
    assert not archive.lifecycle.is_gone(archive.who, StudyRef(uid("9.9.9")))  # never known
    archive.lifecycle.undelete(archive.who, study(made[0]))
    assert shown(archive) == uids(made)


def test_deleted_again_after_it_was_brought_back(archive: Archive) -> None:
    made = fill(archive)
    for _ in range(3):
        archive.lifecycle.delete(archive.who, series(made[0]))
        archive.recovery.reindex()
        assert shown(archive) == uids(made[2:])
        archive.lifecycle.undelete(archive.who, study(made[0]))
        archive.recovery.reindex()
        assert shown(archive) == uids(made)


def test_nothing_to_bring_back_is_not_found(archive: Archive) -> None:
    made = fill(archive)
    with pytest.raises(NotFound):
        archive.lifecycle.undelete(archive.who, study(made[0]))
    archive.lifecycle.delete(archive.who, series(made[0]))
    with pytest.raises(NotFound):
        archive.lifecycle.undelete(archive.who, series(made[2]))


def test_what_came_in_meanwhile_stays_beside_what_is_brought_back(archive: Archive) -> None:
    old = factories.ct(patient_name="Old^Name")
    new = dataclasses.replace(old, patient_name="New^Name")
    archive.take(old.part10())
    archive.lifecycle.delete(archive.who, study(old))
    archive.take(new.part10())
    archive.lifecycle.undelete(archive.who, study(old))
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT current, reason FROM instance ORDER BY created_us").fetchall()
    assert rows == [(True, ""), (False, "content")]
    before = tables(archive)
    archive.recovery.reindex()
    assert tables(archive) == before


def test_the_same_content_come_in_meanwhile_is_kept_once(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    archive.lifecycle.delete(archive.who, study(made))
    archive.take(made.part10())
    archive.lifecycle.undelete(archive.who, study(made))
    assert isinstance(archive.take(made.part10()), AlreadyStored)
    assert len(list(archive.store.blob_ids())) == 1
    assert archive.recovery.adopt(older_s=0).indexed == 0


def test_every_version_goes_and_what_is_known_elsewhere_rises(archive: Archive) -> None:
    first = factories.ct(1, 1, 1)
    other = dataclasses.replace(first, patient_name="Other^Name")
    elsewhere = dataclasses.replace(first, study=factories.uid(7), series=factories.uid(7, 1))
    for one in (first, other, elsewhere):
        assert isinstance(archive.take(one.part10()), Stored)
    assert shown(archive, Level.STUDY) == {first.study}
    deletion = archive.lifecycle.delete(archive.who, study(first))
    assert len(deletion.graves) == 2
    assert shown(archive, Level.STUDY) == {elsewhere.study}
    assert len(archive.retrieve.instances(archive.who, study(elsewhere))) == 1
    assert kinds(archive)[-2:] == ["study.deleted", "instance.risen"]
    before = tables(archive)
    archive.recovery.reindex()
    assert tables(archive) == before
    archive.lifecycle.undelete(archive.who, study(first))
    assert shown(archive, Level.STUDY) == {first.study}


def test_recovery_leaves_the_dead_alone(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    assert archive.recovery.adopt(older_s=0).indexed == 0
    assert shown(archive) == uids(made[4:])


def test_a_lost_index_is_brought_up_by_journal_and_blobs(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    archive.lifecycle.undelete(archive.who, series(made[0]))
    before = tables(archive)
    with archive.database.transaction() as tx:
        for table in ("study", "series", "patient", "instance", "instance_blob", "instance_json"):
            tx.execute(f"TRUNCATE {table} CASCADE")  # type: ignore[call-overload]
        tx.execute("TRUNCATE deletion, deleted_instance, journal_entry")
    assert archive.lifecycle.catch_up(older_s=0) == 2
    assert archive.recovery.adopt(older_s=0).indexed == 3
    assert tables(archive) == before
    assert archive.lifecycle.catch_up(older_s=0) == 0


def test_only_who_may_delete_does(archive: Archive) -> None:
    made = fill(archive)
    scope = Scope(studies=frozenset([uid(made[4].study)]))
    who = Principal(kind=Kind.PERSON, name="a", actions=frozenset([Action.DELETE]), scope=scope)
    with pytest.raises(NotFound):
        archive.lifecycle.delete(who, study(made[0]))
    for action in set(Action) - {Action.DELETE}:
        other = dataclasses.replace(who, actions=frozenset([action]))
        for act in (archive.lifecycle.delete, archive.lifecycle.undelete):
            with pytest.raises(NotPermitted):
                act(other, study(made[4]))
    archive.lifecycle.delete(who, study(made[4]))
    archive.lifecycle.delete(archive.who, study(made[0]))
    assert [one.ref for one in archive.lifecycle.deletions(who)] == [study(made[4])]
    assert len(archive.lifecycle.deletions(archive.who)) == 2
    assert not archive.lifecycle.is_gone(who, study(made[0]))


def test_the_same_study_deleted_by_two_at_once_is_deleted_once(archive: Archive) -> None:
    made = fill(archive)
    answers: list[str] = []
    together = threading.Barrier(4)

    def delete() -> None:
        together.wait()
        try:
            archive.lifecycle.delete(archive.who, study(made[0]))
            answers.append("deleted")
        except Gone:
            answers.append("gone")

    threads = [threading.Thread(target=delete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert "deleted" in answers
    assert shown(archive) == uids(made[4:])
    archive.lifecycle.undelete(archive.who, study(made[0]))
    assert shown(archive) == uids(made)


def test_storing_and_deleting_the_same_study_at_once_fails_nobody(archive: Archive) -> None:
    stop = threading.Event()
    stored: list[str] = []
    failures: list[object] = []

    def store(number: int) -> None:
        for count in range(25):
            made = factories.ct(1, number, count + 1)
            outcome = archive.take(made.part10())
            if isinstance(outcome, Stored):
                stored.append(made.instance)
            else:
                failures.append(outcome)

    def delete() -> None:
        while not stop.is_set():
            try:
                archive.lifecycle.delete(archive.who, StudyRef(uid(factories.uid(1))))
            except NotFound:
                stop.wait(0.001)

    storers = [threading.Thread(target=store, args=(n,)) for n in (1, 2)]
    deleter = threading.Thread(target=delete)
    for thread in (*storers, deleter):
        thread.start()
    for thread in storers:
        thread.join()
    stop.set()
    deleter.join()
    assert failures == []
    assert len(stored) == 50
    with archive.database.reading() as conn:
        named = conn.execute("SELECT sop_instance_uid FROM deleted_instance").fetchall()
    assert sorted([*shown(archive), *(name for (name,) in named)]) == sorted(stored)
    before = tables(archive)
    archive.recovery.reindex()
    assert tables(archive) == before


def test_after_its_time_keys_and_blobs_are_gone(archive: Archive) -> None:
    made = fill(archive)
    deletion = archive.lifecycle.delete(archive.who, study(made[0]))
    assert purge(archive).run().deletions == 0
    expire(archive)
    done = purge(archive).run()
    assert (done.deletions, done.blobs, done.keys) == (1, 4, 1)
    keys = {grave.key_id for grave in deletion.graves}
    assert keys.isdisjoint(archive.store.keys.ids())
    assert not {grave.blob_id for grave in deletion.graves} & set(archive.store.blob_ids())
    assert shown(archive) == uids(made[4:])
    with pytest.raises(Gone):
        archive.lifecycle.undelete(archive.who, study(made[0]))
    assert archive.lifecycle.is_gone(archive.who, study(made[0]))
    archive.recovery.reindex()
    assert archive.lifecycle.is_gone(archive.who, instance(made[2]))
    assert purge(archive).run().blobs in (0, 4)
    assert shown(archive) == uids(made[4:])


def test_a_key_stays_while_one_blob_lives_under_it(archive: Archive) -> None:
    made = fill(archive)
    deletion = archive.lifecycle.delete(archive.who, series(made[0]))
    expire(archive)
    done = purge(archive).run()
    assert (done.blobs, done.keys) == (2, 0)
    assert {grave.key_id for grave in deletion.graves} <= set(archive.store.keys.ids())
    assert len(archive.retrieve.instances(archive.who, study(made[0]))) == 2
    archive.lifecycle.delete(archive.who, study(made[0]))
    expire(archive)
    assert purge(archive).run().keys == 1


def test_a_key_stays_while_one_blob_under_it_can_be_brought_back(archive: Archive) -> None:
    made = fill(archive)
    over = archive.lifecycle.delete(archive.who, series(made[0]))
    expire(archive)
    archive.lifecycle.delete(archive.who, series(made[2]))
    done = purge(archive).run()
    assert (done.deletions, done.blobs, done.keys) == (1, 2, 0)  # whose time is over is gone
    assert not {grave.blob_id for grave in over.graves} & set(archive.store.blob_ids())
    archive.lifecycle.undelete(archive.who, series(made[2]))
    assert shown(archive) == uids(made[2:])


def test_a_key_stays_while_a_blob_without_a_row_is_sealed_under_it(archive: Archive) -> None:
    made = fill(archive)
    blob = archive.retrieve.instances(archive.who, instance(made[1]))[0].blob_id
    with archive.database.transaction() as tx:  # as a restored database would not know it
        tx.execute("SELECT forget_instances(%s)", [[blob]])
    archive.lifecycle.delete(archive.who, study(made[0]))
    expire(archive)
    done = purge(archive).run()
    assert (done.blobs, done.keys, done.dying) == (3, 0, 1)
    archive.recovery.adopt(older_s=0)
    assert shown(archive) == uids([made[1], made[4]])
    assert len(archive.retrieve.instances(archive.who, study(made[1]))) == 1


def test_a_young_key_dies_later_than_its_blobs(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    expire(archive)
    done = archive.purge.run()
    assert (done.blobs, done.keys, done.dying) == (4, 0, 1)
    assert archive.purge.run().dying == 1
    done = purge(archive).run()
    assert (done.keys, done.dying) == (1, 0)
    assert purge(archive).run().keys == 0


def test_what_is_stored_again_does_not_use_the_dying_key(archive: Archive) -> None:
    made = fill(archive)
    deletion = archive.lifecycle.delete(archive.who, study(made[0]))
    archive.take(made[0].part10())
    expire(archive)
    assert purge(archive).run().keys == 1
    keys = {grave.key_id for grave in deletion.graves}
    assert archive.retrieve.instances(archive.who, study(made[0]))[0].key_id not in keys


def test_the_time_of_grace_is_the_settings(archive: Archive) -> None:
    made = fill(archive)
    deletion = archive.lifecycle.delete(archive.who, study(made[0]))
    days = archive.settings.deletion.grace_days
    assert deletion.due - deletion.at == dt.timedelta(days=days)
    (standing,) = archive.lifecycle.deletions(archive.who)
    assert (standing.blobs, standing.ref, standing.due) == (4, study(made[0]), deletion.due)


def test_a_uid_is_found_at_its_level(archive: Archive) -> None:
    made = fill(archive)
    one = made[0]
    for told, ref in (
        (one.study, study(one)),
        (one.series, series(one)),
        (one.instance, instance(one)),
    ):
        assert archive.lifecycle.places_of(archive.who, uid(told)) == [ref]
    archive.lifecycle.delete(archive.who, study(one))
    for told, ref in (
        (one.study, study(one)),
        (one.series, series(one)),
        (one.instance, instance(one)),
    ):
        assert archive.lifecycle.places_of(archive.who, uid(told)) == []
        assert archive.lifecycle.places_of(archive.who, uid(told), gone=True) == [ref]


def test_values_of_added_attributes_go_and_come_back_with_their_instances(archive: Archive) -> None:
    made = [
        factories.ct(1, 1, 1, values={"AdmissionID": "FIRST"}),
        factories.ct(1, 1, 2, values={"AdmissionID": "SECOND"}),
    ]
    archive.search_index.settled_s = 0.0
    archive.search_index.add(archive.who, read("AdmissionID"))
    for one in made:
        archive.take(one.part10())
    while archive.search_index.step().instances:
        pass

    def kept() -> tuple[str, list[str]]:
        with archive.database.reading() as conn:
            rows = conn.execute("SELECT terms::text FROM study_extra").fetchall()
        asked = from_parameters(Level.STUDY, [("AdmissionID", "FIRST")], most=10, added=attributes)
        found = list(archive.query.find(archive.who, asked.query).rows)
        return " ".join(sorted(text for (text,) in rows)), [str(row.study) for row in found]

    attributes = archive.search_index.attributes(archive.who)
    before = kept()
    assert before[1] == [made[0].study]
    archive.lifecycle.delete(archive.who, instance(made[0]))
    text, found = kept()
    assert ("FIRST" in text, "SECOND" in text, found) == (False, True, [])
    archive.lifecycle.undelete(archive.who, instance(made[0]))
    while archive.search_index.step().instances:
        pass
    assert kept() == before
