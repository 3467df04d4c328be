"""Corrections: what a study shows and whose it is, in search and on the way out."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.archive import Archive, open_archive
from tests.factories import BIG_ENDIAN, EXPLICIT, IMPLICIT, Instance, ct
from tests.index.samples import dump
from vna.access.audit import Audit
from vna.access.principal import Action, Kind, Principal, Scope, system
from vna.db.pool import Database
from vna.dicom.matching import Query
from vna.dicom.matchkeys import Options, keys_of
from vna.dicom.refs import InstanceRef, Level, StudyRef, uid
from vna.errors import Conflict, Corrupt, InvalidRequest, NotFound, NotPermitted, Unavailable
from vna.index.select import Selection
from vna.ingest.routing import Router

STUDY = uid(ct(1).study)
WHY = "Wrong worklist entry"


def correct(archive: Archive, study: str = STUDY, **changes: str) -> bytes:
    return archive.corrections.correct(archive.who, uid(study), changes, reason=WHY).id


def found(
    archive: Archive, who: Principal | None = None, level: Level = Level.STUDY, **keys: str
) -> list[dict[str, Any]]:
    """Search; every key is a Patient ID, an Accession Number or a name."""
    tags = {"id": ("00100020", "LO"), "accession": ("00080050", "SH"), "name": ("00100010", "PN")}
    tree = {tags[name][0]: (tags[name][1], text) for name, text in keys.items()}
    asked = frozenset([("00100020",)])
    query = Query(level=level, keys=keys_of(tree, Options()), returns=asked, everything=True)
    return [one.attributes for one in archive.query.find(who or archive.who, query).rows]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["00100020"].get("Value", [""])[0] for row in rows]


def given_out(archive: Archive, study: str = STUDY) -> list[Dataset]:
    """The instances of a study as files."""
    out = []
    for one in archive.retrieve.instances(archive.who, StudyRef(uid(study))):
        payload = archive.retrieve.forms.part10(one, archive.retrieve.forms.choose(one, ("*",)))
        out.append(dcmread(io.BytesIO(b"".join(payload.chunks))))
    return out


def metadata(archive: Archive, study: str = STUDY) -> dict[str, Any]:
    return next(iter(archive.retrieve.metadata(archive.who, StudyRef(uid(study))))).members()


def stored(archive: Archive) -> list[bytes]:
    return [
        b"".join(archive.store.reader(blob).chunks()) for blob in sorted(archive.store.blob_ids())
    ]


def test_search_and_what_goes_out_follow_and_stored_bytes_stay(archive: Archive) -> None:
    archive.take(ct(1).part10())
    before = stored(archive)
    correct(archive, PatientID="P-77", PatientName="Right^Name", AccessionNumber="A-2")
    assert ids(found(archive, id="P-77")) == ["P-77"]
    assert ids(found(archive, accession="A-2", name="right*")) == ["P-77"]
    assert found(archive, id="P-0001") == found(archive, name="Doe*") == []
    (row,) = found(archive, id="P-77")
    assert row["00100010"]["Value"] == [{"Alphabetic": "Right^Name"}]
    assert row["00100040"]["Value"] == ["F"]
    assert ids(found(archive, level=Level.PATIENT)) == ["P-77"]
    assert ids(found(archive, level=Level.IMAGE, id="P-77")) == ["P-77"]
    (ds,) = given_out(archive)
    assert (ds.PatientID, str(ds.PatientName), ds.AccessionNumber) == ("P-77", "Right^Name", "A-2")
    assert len(ds.OriginalAttributesSequence) == 1
    members = metadata(archive)
    assert members["00100020"]["Value"] == ["P-77"]
    (told,) = members["04000561"]["Value"][0]["04000550"]["Value"]
    assert told == {"00080050": {"vr": "SH", "Value": ["A-0001"]}}  # and nobody else's identity
    assert stored(archive) == before


def test_undone_it_is_as_if_nothing_had_been(archive: Archive) -> None:
    archive.take(ct(1).part10())
    first, before = metadata(archive), found(archive)
    one = correct(archive, PatientID="P-77", StudyDescription="Knee")
    two = correct(archive, PatientName="Right^Name", StudyDescription="")
    assert "Value" not in metadata(archive)["00081030"]
    archive.corrections.undo(archive.who, two, reason="Wrong")
    assert metadata(archive)["00081030"]["Value"] == ["Knee"]
    archive.corrections.undo(archive.who, one, reason="Wrong too")
    assert (metadata(archive), found(archive)) == (first, before)
    with archive.database.reading() as conn:
        left = conn.execute(
            "SELECT (SELECT count(*) FROM patient), (SELECT count(*) FROM study_received),"
            " (SELECT count(*) FROM study_overlay)"
        ).fetchone()
    assert left == (1, 0, 0)
    history = archive.corrections.history(archive.who, STUDY)
    assert [(one.reason, one.undone and one.undone.reason) for one in history] == [
        (WHY, "Wrong too"),
        (WHY, "Wrong"),
    ]
    with pytest.raises(Conflict):
        archive.corrections.undo(archive.who, one, reason="Again")


def test_a_study_that_is_not_there_is_not_taken_for_a_patient_who_is_not(
    archive: Archive,
) -> None:
    """Whoever mistyped the study was asked for the name of the patient."""
    with pytest.raises(NotFound) as caught:
        archive.corrections.move(archive.who, uid("1.2.3"), patient_id="P-9", reason=WHY)
    assert str(caught.value) == str(NotFound())


def test_a_study_moves_to_another_patient_with_their_name(archive: Archive) -> None:
    archive.take(ct(1).part10())
    archive.take(ct(2, patient_id="P-2", patient_name="Other^Person").part10())
    archive.corrections.move(archive.who, STUDY, patient_id="P-2", reason=WHY)
    assert len(found(archive, id="P-2")) == 2
    assert len(found(archive, level=Level.PATIENT)) == 1
    assert metadata(archive)["00100010"]["Value"] == [{"Alphabetic": "Other^Person"}]
    with pytest.raises(NotFound, match="name"):
        archive.corrections.move(archive.who, STUDY, patient_id="P-3", reason=WHY)
    more = {"PatientName": "New^Person"}
    archive.corrections.move(archive.who, STUDY, patient_id="P-3", more=more, reason=WHY)
    assert ids(found(archive, name="New*")) == ["P-3"]
    assert metadata(archive)["00100030"] == {"vr": "DA"}  # not the one of the patient before


def test_a_blank_patient_id_gets_one_and_can_lose_it_again(archive: Archive) -> None:
    archive.take(ct(1, patient_id="").part10())
    one = correct(archive, PatientID="P-77")
    assert ids(found(archive, id="P-77")) == ["P-77"]
    correct(archive, PatientID="")
    assert ids(found(archive)) == [""]
    assert "00100021" not in found(archive)[0] or "Value" not in found(archive)[0]["00100021"]
    archive.corrections.undo(archive.who, one, reason=WHY)
    assert ids(found(archive)) == [""]


def test_what_comes_in_later_is_shown_corrected(archive: Archive) -> None:
    archive.take(ct(1, 1, 1).part10())
    correct(archive, PatientID="P-77")
    archive.take(ct(1, 1, 2).part10())
    archive.take(ct(1, 2, 1, patient_id="P-9", patient_name="Third^Name").part10())
    assert [ds.PatientID for ds in given_out(archive)] == ["P-77"] * 3
    assert ids(found(archive, level=Level.IMAGE)) == ["P-77"] * 3
    names = [str(ds.PatientName) for ds in given_out(archive)]
    assert sorted(names) == ["Doe^Jane", "Doe^Jane", "Third^Name"]


def test_it_holds_whichever_instance_the_study_is_shown_by(archive: Archive) -> None:
    archive.take(ct(1, 1, 1).part10())
    archive.take(ct(1, 2, 1, patient_id="P-9", patient_name="Third^Name").part10())
    one = correct(archive, PatientID="P-77")
    first = InstanceRef(STUDY, uid(ct(1).series), uid(ct(1).instance))
    archive.lifecycle.delete(archive.who, first)
    (row,) = found(archive)
    assert (ids([row]), row["00100010"]["Value"]) == (["P-77"], [{"Alphabetic": "Third^Name"}])
    archive.corrections.undo(archive.who, one, reason=WHY)
    assert ids(found(archive)) == ["P-9"]
    archive.lifecycle.undelete(archive.who, first)
    assert ids(found(archive)) == ["P-0001"]


def test_who_sees_a_part_of_a_study_sees_it_corrected(archive: Archive) -> None:
    archive.take(ct(1, 1, 1).part10())
    archive.take(ct(1, 2, 1, patient_id="P-9").part10())
    correct(archive, PatientID="P-77")
    guest = part_of(archive, ct(1, 2, 1))
    assert ids(found(archive, guest)) == ["P-77"]
    assert found(archive, guest, id="P-9") == []


def test_a_study_corrected_while_more_of_it_comes_in_is_shown_corrected(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.take(ct(1, 1, 1).part10())
    act = partial(correct, archive, PatientID="P-77")
    with meanwhile(archive, monkeypatch, Router, "queue", act):
        archive.take(ct(1, 2, 1, patient_id="P-9").part10())
    assert ids(found(archive, part_of(archive, ct(1, 2, 1)))) == ["P-77"]


def test_a_correction_undone_while_the_study_comes_back_stays_undone(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.take(ct(1).part10())
    one = correct(archive, PatientID="P-77")
    archive.lifecycle.delete(archive.who, StudyRef(STUDY))
    back = partial(archive.lifecycle.undelete, archive.who, StudyRef(STUDY))
    with meanwhile(archive, monkeypatch, Audit, "write", back):
        archive.corrections.undo(archive.who, one, reason=WHY)
    assert ids(found(archive)) == ["P-0001"]


@contextmanager
def meanwhile(
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    act: Callable[[], object],
) -> Iterator[None]:
    """Begin an act in the middle of a transaction; that goes on when the act has to wait for it."""
    with ThreadPoolExecutor(1) as pool:
        begun: list[Future[object]] = []
        usual = getattr(owner, name)

        def held(*given: Any, **more: Any) -> Any:
            monkeypatch.setattr(owner, name, usual)
            begun.append(pool.submit(act))
            while not begun[0].done() and not waits(archive):
                pass
            return usual(*given, **more)

        monkeypatch.setattr(owner, name, held)
        yield
        begun[0].result()


def waits(archive: Archive) -> bool:
    """Whether some transaction of this archive waits for another's lock."""
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database())"
        ).fetchone()
    return bool(row and row[0])


def part_of(archive: Archive, one: Instance) -> Principal:
    """Who sees this instance of the study and nothing else."""
    ref = InstanceRef(uid(one.study), uid(one.series), uid(one.instance))
    return dataclasses.replace(archive.who, scope=Scope(instances=frozenset([ref])))


def test_a_deleted_study_comes_back_corrected_and_a_purged_one_leaves_nothing(
    archive: Archive,
) -> None:
    archive.take(ct(1).part10())
    correct(archive, PatientName="Right^Name")
    archive.lifecycle.delete(archive.who, StudyRef(STUDY))
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM study_received").fetchone() == (0,)
    archive.lifecycle.undelete(archive.who, StudyRef(STUDY))
    assert len(found(archive, name="Right*")) == 1
    archive.lifecycle.delete(archive.who, StudyRef(STUDY))
    with archive.database.transaction() as tx:
        tx.execute("UPDATE deletion SET due_at = now()")
    archive.purge.run()
    with archive.database.reading() as conn:
        left = conn.execute(
            "SELECT (SELECT count(*) FROM correction), (SELECT count(*) FROM study_overlay)"
        ).fetchone()
    assert left == (0, 0)


def test_what_came_in_again_stays_corrected_when_what_was_deleted_is_purged(
    archive: Archive,
) -> None:
    archive.take(ct(1).part10())
    correct(archive, PatientName="Right^Name")
    archive.lifecycle.delete(archive.who, StudyRef(STUDY))
    archive.take(ct(1, 1, 2).part10())
    with archive.database.transaction() as tx:
        tx.execute("UPDATE deletion SET due_at = now()")
    assert archive.purge.run().deletions == 1
    assert len(found(archive, name="Right*")) == 1
    assert len(archive.corrections.history(archive.who, STUDY)) == 1


def test_the_purge_of_a_study_forgets_nothing_of_another(archive: Archive) -> None:
    for number in (1, 2):
        archive.take(ct(number).part10())
        correct(archive, ct(number).study, PatientName=f"Right^Name{number}")
    archive.lifecycle.delete(archive.who, StudyRef(STUDY))
    with archive.database.transaction() as tx:
        tx.execute("UPDATE deletion SET due_at = now()")
    assert archive.purge.run().deletions == 1
    other = uid(ct(2).study)
    assert len(archive.corrections.history(archive.who, other)) == 1
    archive.take(ct(2, 1, 2).part10())  # what comes in later is shown as it was corrected
    assert len(found(archive, name="Right^Name2")) == 1
    assert {str(one.PatientName) for one in given_out(archive, other)} == {"Right^Name2"}


def test_a_rebuilt_index_is_corrected_as_before(archive: Archive) -> None:
    archive.take(ct(1, 1, 1).part10())
    archive.take(ct(1, 1, 2, patient_name="Third^Name").part10())
    archive.take(ct(2).part10())
    one = correct(archive, PatientID="P-77")
    correct(archive, PatientName="Right^Name", PatientBirthDate="19800101")
    correct(archive, ct(2).study, AccessionNumber="A-2")
    archive.corrections.undo(archive.who, one, reason=WHY)
    before = _everything(archive)
    archive.recovery.reindex()
    assert _everything(archive) == before


def _everything(archive: Archive) -> list[Any]:
    with archive.database.reading() as conn:
        rows = [
            conn.execute(statement).fetchall()
            for statement in (
                "SELECT study_uid, patient_id, patient_name, birth_date, accession, answer::jsonb"
                " FROM study ORDER BY 1",
                "SELECT issuer, patient_id FROM patient ORDER BY 1, 2",
                "SELECT * FROM correction ORDER BY 1",
                "SELECT * FROM study_received ORDER BY 1, 2",
                "SELECT * FROM study_overlay ORDER BY 1",
                "SELECT entry_id, op FROM journal_entry ORDER BY 1",
            )
        ]
    return [*rows, metadata(archive), metadata(archive, ct(2).study)]


def test_what_a_crash_kept_from_the_index_is_brought_in(archive: Archive) -> None:
    archive.take(ct(1).part10())
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE correction ADD CONSTRAINT away CHECK (false) NOT VALID")
    with pytest.raises(Unavailable, match="written down"):
        correct(archive, PatientID="P-77")
    assert ids(found(archive)) == ["P-0001"]
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE correction DROP CONSTRAINT away")
    assert archive.corrections.catch_up(older_s=0.0) == 1
    assert ids(found(archive)) == ["P-77"]
    assert archive.corrections.catch_up(older_s=0.0) == 0


def test_an_undoing_that_is_read_first_holds(archive: Archive) -> None:
    archive.take(ct(1).part10())
    archive.take(ct(2).part10())
    one = correct(archive, PatientID="P-77")
    correct(archive, ct(2).study, PatientID="P-78")
    archive.corrections.undo(archive.who, one, reason=WHY)
    with archive.database.transaction() as tx:
        tx.execute("TRUNCATE correction, undone_correction, study_overlay")
        tx.execute("DELETE FROM journal_entry WHERE op = 'uncorrect'")
    archive.corrections.catch_up(older_s=0.0)
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM journal_entry WHERE op = 'correct'")
    archive.corrections.catch_up(older_s=0.0)
    assert sorted(ids(found(archive))) == ["P-0001", "P-78"]
    (history,) = archive.corrections.history(archive.who, STUDY)
    assert history.undone is not None
    (other,) = archive.corrections.history(archive.who, uid(ct(2).study))
    assert other.undone is None


def test_whoever_keeps_an_answer_asks_again(archive: Archive) -> None:
    archive.take(ct(1).part10())
    ref = StudyRef(STUDY)
    instance = InstanceRef(STUDY, uid(ct(1).series), uid(ct(1).instance))
    before = [archive.retrieve.revision(archive.who, one) for one in (ref, instance)]
    (located,) = archive.retrieve.instances(archive.who, ref)
    payload = archive.retrieve.forms.part10(located, located.transfer_syntax)
    one = correct(archive, PatientID="P-77")
    after = [archive.retrieve.revision(archive.who, one) for one in (ref, instance)]
    assert all(a != b for a, b in zip(before, after, strict=True))
    (located,) = archive.retrieve.instances(archive.who, ref)
    corrected = archive.retrieve.forms.part10(located, located.transfer_syntax)
    assert corrected.revision != payload.revision
    archive.corrections.undo(archive.who, one, reason=WHY)
    (located,) = archive.retrieve.instances(archive.who, ref)
    again = archive.retrieve.forms.part10(located, located.transfer_syntax)
    assert again.revision == payload.revision
    assert again.length == payload.length


def test_a_zip_and_a_big_endian_object_are_corrected_too(archive: Archive) -> None:
    archive.take(ct(1, 1, 1).part10())
    archive.take(ct(1, 1, 2, transfer_syntax=BIG_ENDIAN).part10())
    correct(archive, PatientID="P-77")
    content = archive.retrieve.package(archive.who, StudyRef(STUDY), directory=True).content
    data = b"".join(bytes(piece) for piece in content.walk(0, content.length))
    assert len(data) == content.length
    middle = b"".join(bytes(piece) for piece in content.walk(500, 1500))
    assert middle == data[500:1500]
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        names = [name for name in file.namelist() if name != "DICOMDIR"]
        read = [dcmread(io.BytesIO(file.read(name))) for name in names]
        directory = dcmread(io.BytesIO(file.read("DICOMDIR")))
    assert [ds.PatientID for ds in read] == ["P-77", "P-77"]
    assert {ds.file_meta.TransferSyntaxUID for ds in read} == {EXPLICIT}
    assert directory.DirectoryRecordSequence[0].PatientID == "P-77"
    assert read[0].PixelData == _little(archive, ct(1, 1, 1))


def _little(archive: Archive, made: Instance) -> bytes:
    return bytes(dcmread(io.BytesIO(made.part10())).PixelData)


def test_a_remote_ae_is_sent_what_was_corrected(archive: Archive) -> None:
    archive.take(ct(1).part10())
    correct(archive, PatientID="P-77")
    asked = Selection(level=Level.STUDY, studies=frozenset([STUDY]))
    (one,) = archive.retrieve.retrieval(archive.who, asked, what="move").instances()
    for syntax in one.forms.offered:
        data = b"".join(bytes(chunk) for chunk in one.load(syntax).chunks)
        ds = dcmread(io.BytesIO(data), force=True) if syntax == IMPLICIT else None
        assert ds is None or ds.PatientID == "P-77"
        assert (b"P-77" in data, len(data) % 2) == (True, 0)


def test_a_setting_lets_everything_out_as_it_came(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, corrections={"outgoing": "received"}) as archive:
        archive.take(ct(1).part10())
        correct(archive, PatientID="P-77")
        assert ids(found(archive)) == ["P-77"]
        assert [ds.PatientID for ds in given_out(archive)] == ["P-0001"]
        assert metadata(archive)["00100020"]["Value"] == ["P-0001"]


def test_a_correction_is_in_the_trail_without_its_values(archive: Archive) -> None:
    archive.take(ct(1).part10())
    one = correct(archive, PatientName="Canary^Zk3xhQ", PatientID="Zk3xhQ")
    archive.corrections.undo(archive.who, one, reason="Zk3xhQ is another")
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, study, principal, detail::text FROM audit"
            " WHERE kind LIKE 'study.%' ORDER BY id"
        ).fetchall()
    assert [row[:3] for row in rows] == [
        ("study.corrected", STUDY, "test"),
        ("study.uncorrected", STUDY, "test"),
    ]
    assert '"PatientName"' in rows[0][3]
    assert "Zk3xhQ" not in str(rows)
    page = archive.changes.read(archive.who, after=0, limit=10, feed_id=None)
    assert [change.action for change in page.changes] == ["stored", "updated", "updated"]


def test_it_needs_the_right_and_the_study_and_a_reason(archive: Archive) -> None:
    archive.take(ct(1).part10())
    one = correct(archive, PatientID="P-77")
    reader = Principal(kind=Kind.PERSON, name="r", actions=frozenset([Action.QUERY]))
    elsewhere = dataclasses.replace(system("x"), scope=Scope(studies=frozenset([uid(ct(2).study)])))
    for who, refusal in ((reader, NotPermitted), (elsewhere, NotFound)):
        with pytest.raises(refusal):
            archive.corrections.correct(who, STUDY, {"PatientID": "1"}, reason=WHY)
        with pytest.raises(refusal):
            archive.corrections.undo(who, one, reason=WHY)
        with pytest.raises(refusal):
            archive.corrections.history(who, STUDY)
    assert archive.corrections.corrected(elsewhere) == []
    with pytest.raises(NotFound):
        correct(archive, ct(3).study, PatientID="1")
    for reason in ("", "  ", "x" * 501, "two\nlines"):
        with pytest.raises(InvalidRequest):
            archive.corrections.correct(archive.who, STUDY, {"PatientID": "1"}, reason=reason)


def test_a_journal_entry_that_says_nothing_stops_reindex(archive: Archive) -> None:
    archive.take(ct(1).part10())
    before = dump(archive.database)
    archive.corrections._journal.append("correct", {"study": STUDY}, {"changes": {}}, "test")
    with pytest.raises(Corrupt):
        archive.recovery.reindex()
    assert dump(archive.database) == before
