"""The import desk: everything is read, nothing is found before a person has said whose it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.factories import BROKEN, broken, ct
from tests.imports.conftest import PDF, disc, give, iso_of, mark, zip_of
from vna.access.principal import Action, Kind, Principal
from vna.backup.needed import needed_in
from vna.blobs.journal import Journal
from vna.blobs.layout import blob_name, key_name
from vna.blobs.store import BlobStore
from vna.db.pool import Database
from vna.dicom.refs import InstanceRef, Level, StudyRef, uid
from vna.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    NotPermitted,
    TooLarge,
    Unavailable,
)
from vna.imports import members, taking
from vna.imports.ending import Ending
from vna.imports.engine import ImportEngine
from vna.imports.keeping import Keeping
from vna.imports.taking import Taking
from vna.imports.values import Confirmation, Import, Result, State
from vna.index.register import clear
from vna.ingest import engine as ingest
from vna.ingest.outcome import Outcome, Stored
from vna.ingest.quarantine import Quarantine, described
from vna.ingest.receiving import Receiving
from vna.ingest.releases import RELEASE
from vna.query.keys import from_parameters

ONE = ct()


def said(archive: Archive, number: int, **differs: str) -> Confirmation:
    """What the desk says when everything agrees: the first person, all studies."""
    persons = archive.imports.detail(archive.who, number).persons
    return Confirmation(
        persons=frozenset([persons[0].key]),
        studies=frozenset(study.uid for study in persons[0].studies),
        **{"family_name": "doe", "birth_date": "1970-01-01", **differs},
    )


def begun(archive: Archive, *files: bytes) -> int:
    """Begin an import with files."""
    number = archive.imports.begin(archive.who, note="a disc from another hospital")
    for n, data in enumerate(files):
        give(archive, number, f"file-{n}", data)
    return number


def ready(archive: Archive, *files: bytes) -> int:
    """Begin an import and say that everything came."""
    number = begun(archive, *files)
    archive.imports.finish(archive.who, number)
    return number


def found(archive: Archive, study: str = ONE.study) -> int:
    """How many instances of a study a search finds."""
    asked = from_parameters(
        Level.IMAGE, [("StudyInstanceUID", study), ("limit", "100")], most=100
    ).query
    return sum(1 for _ in archive.query.find(archive.who, asked).rows)


def blobs(archive: Archive) -> int:
    return len(list(archive.store.blob_ids()))


# ---- bad input ---------------------------------------------------------------------------------


def test_bad_files_are_listed_with_their_reasons_and_the_rest_is_taken(archive: Archive) -> None:
    number = archive.imports.begin(archive.who)
    for n, name in enumerate(BROKEN, 2):
        give(archive, number, name, broken(name, instance=n))
    give(archive, number, "sound", ONE.part10())
    detail = archive.imports.detail(archive.who, number)
    listed = {trouble.name for trouble in detail.troubles}
    assert {"truncated", "garbage", "empty", "no-study", "bad-uid", "text", "html"} <= listed
    assert all(trouble.reason for trouble in detail.troubles)
    assert detail.about.images + len(listed) == len(BROKEN) + 1
    assert "sound" not in listed


def test_an_object_that_is_a_program_as_well_is_an_alert_at_the_desk_too(archive: Archive) -> None:
    """CVE-2019-11687: discs of strangers are where such objects would come from."""
    begun(archive, b"MZ".ljust(128, b"\x90") + ONE.part10()[128:])
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT instance, detail FROM audit WHERE kind = 'instance.program'"
        ).fetchall()
    assert rows == [(ONE.instance, {"preamble": "Windows"})]


def test_zeros_and_nothing_are_told_from_files_that_are_no_dicom(archive: Archive) -> None:
    number = begun(archive, bytes(5000), b"", b"MZ" + bytes(100), PDF)
    told = {
        t.name: (t.result, t.reason) for t in archive.imports.detail(archive.who, number).troubles
    }
    assert told["file-0"][0] is Result.BAD
    assert "zeros" in told["file-0"][1]
    assert told["file-1"] == (Result.BAD, "The file is empty.")
    assert told["file-2"][0] is Result.OTHER
    assert told["file-3"][0] is Result.DOCUMENT


def test_a_file_that_changed_on_its_way_is_asked_for_again(archive: Archive) -> None:
    number = begun(archive)
    with pytest.raises(Conflict, match="send it again"):
        give(archive, number, "a", ONE.part10(), digest=hashlib.sha256(b"other").digest())
    assert blobs(archive) == 0
    right = hashlib.sha256(ONE.part10()).digest()
    assert give(archive, number, "a", ONE.part10(), digest=right).result is Result.KEPT


def test_a_file_that_changed_on_a_long_way_does_not_stay(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took longer than `ingest.adopt_s`: recovery may have noted it before it was compared."""
    with open_archive(tmp_path, database, ingest={"adopt_s": 0.0}) as archive:
        number = begun(archive)
        usual = Quarantine.forget

        def slowly(quarantine: Quarantine, blob_id: bytes) -> None:
            assert archive.recovery.adopt(older_s=0.0).aside == 1
            usual(quarantine, blob_id)

        monkeypatch.setattr(Quarantine, "forget", slowly)
        with pytest.raises(Conflict, match="send it again"):
            give(archive, number, "one", ONE.part10(), digest=bytes(32))
        assert (archive.imports.one(archive.who, number).images, blobs(archive)) == (0, 0)


def test_a_container_with_damage_gives_what_is_sound(archive: Archive) -> None:
    packed = bytearray(zip_of(disc(4), method=zipfile.ZIP_STORED))
    packed[packed.index(ct(1, 1, 2).part10()) + 700] ^= 1
    number = begun(archive, bytes(packed))
    detail = archive.imports.detail(archive.who, number)
    assert (detail.about.images, detail.about.bad, detail.about.documents) == (3, 1, 1)
    assert detail.troubles[0].name == "IMG/IM0002"
    assert "damaged" in detail.troubles[0].reason


def test_an_image_that_is_cut_off_gives_what_is_there(archive: Archive) -> None:
    files = {f"IMG/IM{n:04}": ct(1, 1, n, rows=64, columns=64).part10() for n in range(1, 9)}
    whole = iso_of(files, joliet=False)
    cut = whole.index(files["IMG/IM0006"]) + 5000
    about = archive.imports.detail(archive.who, begun(archive, whole[:cut])).about
    assert about.images + about.bad == 8
    assert about.bad >= 1
    assert about.images >= 1


def test_a_container_in_a_container_is_not_opened(archive: Archive) -> None:
    number = begun(archive, zip_of({"inner.zip": zip_of(disc())}))
    trouble = archive.imports.detail(archive.who, number).troubles[0]
    assert (trouble.result, "bring it alone" in trouble.reason) == (Result.BAD, True)


def test_a_container_larger_than_the_limit_is_refused_while_it_comes(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(tmp_path, database, imports={"container_bytes": 1000}) as archive:
        number = archive.imports.begin(archive.who)
        with pytest.raises(TooLarge):
            give(archive, number, "big.zip", zip_of(disc(4), method=zipfile.ZIP_STORED))


def test_an_import_holds_no_more_files_than_allowed(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, imports={"files": 2}) as archive:
        number = begun(archive, ONE.part10(), ct(1, 1, 2).part10())
        with pytest.raises(TooLarge):
            give(archive, number, "third", ct(1, 1, 3).part10())


@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_files_that_come_at_once_pass_no_limit_together(
    tmp_path: Path, database: Database, kind: str
) -> None:
    """Each of them found room when it began; each sender is told when there is none."""
    one = ONE.part10()
    most = {"bytes": len(one) * 3 // 2} if kind == "bytes" else {"files": 1}
    with open_archive(tmp_path, database, imports=most) as archive:
        number = begun(archive)
        takings = [
            archive.imports.intake.take(
                archive.who, number, name=str(n), mark=mark(str(n)), digest=None
            )
            for n in range(3)
        ]
        for n, under_way in enumerate(takings):
            under_way.feed(ct(1, 1, n + 1).part10())
        assert takings[0].finish().result is Result.KEPT
        for under_way in takings[1:]:
            with pytest.raises(TooLarge, match="begin another"):
                under_way.finish()
        about = archive.imports.one(archive.who, number)
        assert (about.files, about.images, blobs(archive)) == (1, 1, 1)
        assert archive.imports.expect(archive.who, number, [mark("1")]) == [0]


def test_on_a_full_disk_nothing_is_begun(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, blobs={"free_bytes": 1 << 60}) as archive:
        number = archive.imports.begin(archive.who)
        with pytest.raises(Unavailable, match="disk space"):
            give(archive, number, "a", ONE.part10())


@pytest.mark.parametrize("what", ["disk", "import"])
def test_what_fills_up_while_a_file_comes_ends_it(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(taking, "_LOOK_BYTES", 4096)
    monkeypatch.setattr(ingest, "_SPACE_S", 0.0)
    large = ct(1, 1, 2, rows=64, columns=64).part10()
    most = {"bytes": len(large) + 1000}
    with open_archive(tmp_path, database, imports=most, blobs={"free_bytes": 1}) as archive:
        number = archive.imports.begin(archive.who)
        intake = archive.imports.intake
        begun = intake.take(archive.who, number, name="a", mark=None, digest=None)
        begun.feed(large[:4000])
        if what == "disk":
            monkeypatch.setattr(BlobStore, "free_bytes", lambda _: (0, 1 << 40))
            wrong: type[Exception] = Unavailable
        else:  # sent beside it, when there was room for either
            give(archive, number, "b", ct(1, 1, 3, rows=64, columns=64).part10())
            wrong = TooLarge
        try:
            with pytest.raises(wrong):
                begun.feed(large[4000:])
        finally:
            begun.abort()
        assert blobs(archive) == (what == "import")


def test_files_on_their_way_together_are_not_without_end(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone would fit; nothing of them is noted while they come, and all lie on the disk."""
    monkeypatch.setattr(taking, "_LOOK_BYTES", 1 << 20)
    part = b"PK\x03\x04" + bytes((3 << 20) - 4)
    with open_archive(tmp_path, database, imports={"bytes": 4 << 20}) as archive:
        number, intake = archive.imports.begin(archive.who), archive.imports.intake

        def begin(name: str) -> Taking:
            return intake.take(archive.who, number, name=name, mark=mark(name), digest=None)

        one, two, other = begin("one"), begin("two"), begin("other")
        one.feed(part)
        two.feed(part)
        with pytest.raises(TooLarge, match="begin another"):
            other.feed(part)
        for ended in (one, one, two, other):  # an end that is said twice counts once
            ended.abort()
        last = begin("last")
        last.feed(part)
        last.abort()


@pytest.mark.parametrize("what", ["disk", "import"])
def test_what_a_container_unfolds_to_is_looked_at_while_it_comes_out(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A small ZIP holds much: of one object several times what an import may hold was written."""
    monkeypatch.setattr(members, "PIECE", 4096)
    monkeypatch.setattr(taking, "_LOOK_BYTES", 4096)
    monkeypatch.setattr(ingest, "_SPACE_S", 0.0)
    large = ct(1, 1, 2, rows=512, columns=512, pixels=bytes(1 << 19)).part10()
    packed = zip_of({"IMG": large})
    most = {"bytes": len(large) - 1 if what == "import" else len(large)}
    assert len(packed) < len(large) // 2
    written: list[int] = []
    usual = Receiving.feed

    def feed(receiving: Receiving, data: Any) -> None:
        written.append(len(data))
        if what == "disk" and sum(written) > 100_000:
            monkeypatch.setattr(BlobStore, "free_bytes", lambda _: (0, 1 << 40))
        usual(receiving, data)

    monkeypatch.setattr(Receiving, "feed", feed)
    with open_archive(tmp_path, database, imports=most, blobs={"free_bytes": 1}) as archive:
        number = archive.imports.begin(archive.who)
        with pytest.raises(Unavailable if what == "disk" else TooLarge):
            give(archive, number, "disc.zip", packed)
        assert sum(written) <= (len(large) if what == "import" else 110_000)
        assert (blobs(archive), archive.imports.one(archive.who, number).files) == (0, 0)
        assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("is_packed", [False, True])
def test_files_of_which_nothing_is_kept_come_to_an_end_too(
    tmp_path: Path, database: Database, *, is_packed: bool
) -> None:
    """They are read, hashed and unpacked: without an end to them nobody else gets anything done."""
    garbage = b"no DICOM at all " * 1000
    most = {"bytes": 2 * len(garbage)}
    with open_archive(tmp_path, database, imports=most) as archive:
        number = archive.imports.begin(archive.who)
        for n in range(3):
            data = zip_of({"README": garbage}) if is_packed else garbage
            give(archive, number, f"{n}", data)
        with pytest.raises(TooLarge, match="begin another"):
            give(archive, number, "one more", garbage)


def test_a_file_of_all_that_an_import_may_hold_is_taken(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_LOOK_BYTES", 1)
    whole = ONE.part10()
    with open_archive(tmp_path, database, imports={"bytes": len(whole)}) as archive:
        number = archive.imports.begin(archive.who)
        assert give(archive, number, "a", whole).result is Result.KEPT


def test_who_may_not_import_may_nothing_of_it(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    clerk = Principal(kind=Kind.PERSON, name="x", actions=frozenset(Action) - {Action.IMPORT})
    imports = archive.imports
    for ask in (
        lambda: imports.begin(clerk),
        lambda: imports.detail(clerk, number),
        lambda: imports.listed(clerk),
        lambda: imports.confirm(clerk, number, said(archive, number)),
        lambda: imports.reject(clerk, number, "because I say so"),
    ):
        with pytest.raises(NotPermitted):
            ask()
    (about,) = imports.listed(archive.who)
    assert about.state is State.NEEDS_IDENTITY  # refused before anything was done, not after


def test_an_unknown_import_is_not_there(archive: Archive) -> None:
    with pytest.raises(NotFound):
        archive.imports.detail(archive.who, 99)
    with pytest.raises(NotFound):
        give(archive, 99, "a", ONE.part10())
    with pytest.raises(NotFound):
        archive.imports.reject(archive.who, 99, "there is no such thing")


@pytest.mark.parametrize("marks", [["x"], ["0" * 31], ["0" * 32, "../../etc/passwd"]])
def test_a_list_that_is_not_well_formed_is_refused(archive: Archive, marks: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        archive.imports.expect(archive.who, begun(archive), marks)


# ---- quarantine --------------------------------------------------------------------------------


def test_what_is_in_quarantine_nobody_finds_or_gets(archive: Archive) -> None:
    ready(archive, ONE.part10())
    assert blobs(archive) == 1
    assert found(archive) == 0
    with pytest.raises(NotFound):
        archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
    with pytest.raises(NotFound):
        archive.retrieve.metadata(archive.who, StudyRef(uid(ONE.study)))


def test_recovery_and_reindex_leave_quarantine_alone(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    assert archive.recovery.adopt(older_s=0).indexed == 0
    again = archive.recovery.reindex()
    assert (again.indexed, again.aside) == (0, 1)
    assert found(archive) == 0
    assert archive.imports.detail(archive.who, number).about.images == 1


def test_an_object_whose_row_nobody_can_be_sure_of_is_not_destroyed(archive: Archive) -> None:
    number = begun(archive)
    with archive.database.transaction() as tx:
        tx.execute("""
            CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER die AFTER INSERT ON import_file DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION die()""")
    with pytest.raises(Unavailable, match="not known"):
        give(archive, number, "one", ONE.part10())
    assert blobs(archive) == 1
    with archive.database.transaction() as tx:
        tx.execute("DROP FUNCTION die CASCADE")
    assert archive.recovery.adopt(older_s=0).aside == 1
    assert archive.imports.detail(archive.who, number).about.images == 1


def test_a_blob_without_a_row_comes_back_into_its_import(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ct(1, 1, 2).part10())
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM import_file WHERE name = 'file-1'")
    assert archive.recovery.adopt(older_s=0).aside == 1
    assert archive.imports.detail(archive.who, number).about.images == 2


@pytest.mark.parametrize("decided", [False, True])
def test_what_recovery_noted_before_its_row_was_written_keeps_its_blob(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, decided: bool
) -> None:
    """A file took longer than `ingest.adopt_s` to come, or the clock was set forward."""
    with open_archive(tmp_path, database, ingest={"adopt_s": 0.0}) as archive:
        number = begun(archive, ct(1, 1, 2).part10())

        def slowly(keeping: Keeping, *given: Any) -> Outcome:
            archive.recovery.adopt(older_s=0.0)
            if decided:
                archive.imports.finish(archive.who, number)
            return usual(keeping, *given)

        usual = Keeping._keep
        monkeypatch.setattr(Keeping, "_keep", slowly)
        with suppress(Conflict):  # it takes no more once it was said that everything came
            give(archive, number, "slow", ONE.part10())
        with archive.database.reading() as conn:
            rows = conn.execute("SELECT blob_id FROM import_file WHERE result = 'kept'").fetchall()
        assert {bytes(blob) for (blob,) in rows} == set(archive.store.blob_ids())
        assert len(rows) == 2


def test_a_backup_keeps_what_is_in_quarantine_and_lost_from_the_store(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    (blob,) = archive.store.blob_ids()
    names = [blob_name(blob), key_name(archive.store.key_of(blob))]
    archive.store.delete(blob)
    needed = needed_in(archive.database, archive.store._backend)
    assert needed(names) == set(names)
    archive.imports.reject(archive.who, number, "the disc of another patient")
    archive.imports.carry_out(number)
    assert needed(names) == set()


def test_a_lost_database_brings_imports_back_into_quarantine(archive: Archive) -> None:
    ready(archive, ONE.part10())
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM import_batch")
    archive.recovery.reindex()
    (back,) = archive.imports.listed(archive.who, waiting=True)
    assert (back.state, back.images, back.persons) == (State.NEEDS_IDENTITY, 1, 1)
    assert found(archive) == 0


def test_what_was_let_out_stays_out_after_a_reindex_of_a_lost_database(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ct(2).part10())
    only = Confirmation(
        persons=frozenset([archive.imports.detail(archive.who, number).persons[0].key]),
        studies=frozenset([ONE.study]),
        family_name="Doe",
        birth_date="19700101",
    )
    archive.imports.confirm(archive.who, number, only)
    archive.imports.carry_out(number)
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM import_batch")
    archive.recovery.reindex()
    assert (found(archive), found(archive, ct(2).study)) == (1, 0)
    assert archive.imports.listed(archive.who) == []


def test_a_release_nobody_carried_through_is_read_once(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    archive.imports.confirm(archive.who, number, said(archive, number))
    with archive.database.transaction() as tx:  # as a transaction that was undone leaves it
        tx.execute("DELETE FROM journal_entry WHERE op = %s", (RELEASE,))
    assert archive.imports.catch_up(older_s=3600.0) == 0
    assert archive.imports.catch_up(older_s=0.0) == 1
    assert archive.imports.catch_up(older_s=0.0) == 0
    assert archive.imports.carry_out(number)
    assert found(archive) == 1


def test_a_confirmation_that_is_brought_in_after_a_crash_stands_in_the_trail(
    archive: Archive,
) -> None:
    number = ready(archive, ONE.part10())
    put_back = copied(archive)
    archive.imports.confirm(archive.who, number, said(archive, number))
    put_back()
    assert archive.imports.catch_up(older_s=0.0) == 1
    with archive.database.reading() as conn:
        told = conn.execute(
            "SELECT study, principal FROM audit WHERE kind = 'import.confirmed'"
            " AND principal LIKE 'recovery%'"
        ).fetchall()
    assert told == [(ONE.study, f"recovery for {archive.who.name}")]


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_was_confirmed_after_the_copy_of_the_database_is_filed_again(
    archive: Archive, rebuild: bool
) -> None:
    number = ready(archive, ONE.part10(), ct(1, 1, 2).part10())
    put_back = copied(archive)
    archive.imports.confirm(archive.who, number, said(archive, number))
    archive.imports.carry_out(number)
    assert found(archive) == 2
    put_back()
    assert found(archive) == 0
    with archive.database.transaction() as tx:
        tx.execute("UPDATE import_batch SET ends_at = now()")  # the copy is old
    if rebuild:
        archive.recovery.reindex()
    assert archive.imports.catch_up(older_s=0.0) == 1
    archive.recovery.adopt(older_s=0.0)
    assert archive.imports.sweep() == 0
    archive.imports.carry_out(number)
    assert (archive.imports.one(archive.who, number).state, found(archive)) == (State.FILED, 2)
    assert blobs(archive) == 2


def copied(archive: Archive) -> Callable[[], None]:
    """Copy the imports; give what puts the database back to now."""
    tables = ("import_batch", "import_file")
    with archive.database.transaction() as tx:
        for table in tables:
            tx.execute(f"CREATE TABLE {table}_copy AS TABLE {table}")

    def put_back() -> None:
        with archive.database.transaction() as tx:
            clear(tx)
            tx.execute("DELETE FROM import_batch")
            for table in tables:
                tx.execute(
                    f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}_copy"  # noqa: S608
                )

    return put_back


def test_a_confirmation_whose_commit_was_lost_takes_effect_later(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE import_batch ADD CONSTRAINT away CHECK (state <> 'confirmed')")
    with pytest.raises(Unavailable, match="written down"):
        archive.imports.confirm(archive.who, number, said(archive, number))
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE import_batch DROP CONSTRAINT away")
    assert archive.imports.one(archive.who, number).state is State.NEEDS_IDENTITY
    assert archive.imports.catch_up(older_s=0.0) == 1
    assert archive.imports.one(archive.who, number).decided_by == archive.who.name
    archive.imports.carry_out(number)
    assert found(archive) == 1


def test_a_lost_confirmation_does_nothing_once_it_was_decided_otherwise(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    put_back = copied(archive)
    archive.imports.confirm(archive.who, number, said(archive, number))
    put_back()
    archive.imports.reject(archive.who, number, "the disc of another patient")
    assert archive.imports.catch_up(older_s=0.0) == 1
    archive.imports.carry_out(number)
    assert (archive.imports.one(archive.who, number).state, blobs(archive)) == (State.PURGED, 0)


ROE = ct(1, 2, patient_name="Roe^Richard", patient_id="P-0002")  # in the study of ONE


def only_doe(archive: Archive, number: int) -> Confirmation:
    """Of the persons in one study, the one whose disc it is."""
    persons = archive.imports.detail(archive.who, number).persons
    return Confirmation(
        persons=frozenset(one.key for one in persons if one.name == "Doe^Jane"),
        studies=frozenset([ONE.study]),
        family_name="Doe",
        birth_date="1970-01-01",
    )


def confirmed_in_vain(archive: Archive, number: int, what: Confirmation) -> None:
    """Confirm an import as somebody whose commit is lost: only the journal knows."""
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE import_batch ADD CONSTRAINT away CHECK (state <> 'confirmed')")
    with pytest.raises(Unavailable, match="written down"):
        archive.imports.confirm(archive.who, number, what)
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE import_batch DROP CONSTRAINT away")


def test_a_lost_confirmation_files_the_person_that_was_chosen_and_no_other(
    archive: Archive,
) -> None:
    number = ready(archive, ONE.part10(), ROE.part10())
    confirmed_in_vain(archive, number, only_doe(archive, number))
    assert archive.imports.catch_up(older_s=0.0) == 1
    archive.imports.carry_out(number)
    assert (found(archive), blobs(archive)) == (1, 1)
    (located,) = archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
    assert located.ref.instance == ONE.instance


def old_entry(archive: Archive, number: int) -> None:
    """Write down a release as older releases of this archive did, which none took effect of."""
    batch = archive.imports.one(archive.who, number).batch
    what = {"studies": [ONE.study]}
    Journal(archive.store).append(RELEASE, {"import": batch.hex}, what, "older")


def test_an_old_entry_of_one_person_takes_effect(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ct(2).part10())
    old_entry(archive, number)
    assert archive.imports.catch_up(older_s=0.0) == 1
    archive.imports.carry_out(number)
    assert (found(archive), found(archive, ct(2).study), blobs(archive)) == (1, 0, 1)


def test_an_old_entry_that_does_not_say_of_whom_leaves_the_import_to_the_desk(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    number = ready(archive, ONE.part10(), ROE.part10())
    old_entry(archive, number)
    archive.imports.catch_up(older_s=0.0)
    assert "left to the desk" in caplog.text
    assert archive.imports.catch_up(older_s=0.0) == 0
    archive.recovery.reindex()
    assert archive.imports.one(archive.who, number).state is State.NEEDS_IDENTITY
    assert (found(archive), blobs(archive)) == (0, 2)
    archive.imports.confirm(archive.who, number, only_doe(archive, number))
    archive.imports.carry_out(number)
    assert (found(archive), blobs(archive)) == (1, 1)


@pytest.mark.parametrize("is_old", [False, True])
def test_what_an_old_entry_let_out_stays_out_after_a_reindex_of_a_lost_database(
    archive: Archive, is_old: bool
) -> None:
    number = ready(archive, ONE.part10(), ct(2).part10())
    if is_old:
        old_entry(archive, number)
        archive.imports.catch_up(older_s=0.0)
    else:
        archive.imports.confirm(archive.who, number, only_doe(archive, number))
    with archive.database.transaction() as tx:  # before it was carried out
        tx.execute("DELETE FROM import_batch")
    archive.recovery.reindex()
    assert (found(archive), found(archive, ct(2).study)) == (1, 0)
    (back,) = archive.imports.listed(archive.who, waiting=True)
    assert (back.state, back.images) == (State.NEEDS_IDENTITY, 1)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_reindex_before_a_confirmation_is_carried_out_shows_the_chosen_person_alone(
    archive: Archive, is_lost: bool
) -> None:
    number = ready(archive, ONE.part10(), ROE.part10())
    archive.imports.confirm(archive.who, number, only_doe(archive, number))
    if is_lost:
        with archive.database.transaction() as tx:
            tx.execute("DELETE FROM import_batch")
    archive.recovery.reindex()
    assert found(archive) == 1
    (located,) = archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
    assert located.ref.instance == ONE.instance


@pytest.mark.parametrize("at_the_end", [False, True])
def test_an_object_of_another_person_without_a_row_is_not_filed(
    archive: Archive, at_the_end: bool
) -> None:
    """Nobody knew whether its row was written; its sender sent it again."""
    number = begun(archive)
    give(archive, number, "lost", ROE.part10())
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM import_file")
    give(archive, number, "again", ROE.part10())
    give(archive, number, "one", ONE.part10())
    archive.imports.finish(archive.who, number)
    archive.imports.confirm(archive.who, number, only_doe(archive, number))
    if at_the_end:
        archive.imports.carry_out(number)
    assert archive.recovery.adopt(older_s=0).indexed == 0
    archive.imports.carry_out(number)
    archive.recovery.adopt(older_s=0)
    assert (found(archive), blobs(archive)) == (1, 1)


def test_what_is_found_while_a_confirmation_is_carried_out_goes_as_it_says(
    archive: Archive,
) -> None:
    other = ct(2, patient_name="Roe^Richard", patient_id="P-0002")
    number = ready(archive, ONE.part10(), other.part10())
    only = only_doe(archive, number)
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM import_file WHERE name = 'file-1'")
    archive.imports.confirm(archive.who, number, only)
    assert archive.recovery.adopt(older_s=0).aside == 1
    archive.imports.carry_out(number)
    assert (found(archive), found(archive, other.study), blobs(archive)) == (1, 0, 1)


def test_of_two_confirmations_of_which_one_was_lost_the_last_one_counts(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ROE.part10())
    doe = only_doe(archive, number)
    persons = archive.imports.detail(archive.who, number).persons
    roe = dataclasses.replace(
        doe, persons=frozenset(one.key for one in persons) - doe.persons, family_name="Roe"
    )
    confirmed_in_vain(archive, number, roe)
    archive.imports.confirm(archive.who, number, doe)
    archive.imports.catch_up(older_s=0.0)
    archive.recovery.reindex()
    archive.imports.carry_out(number)
    (located,) = archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
    assert located.ref.instance == ONE.instance


def test_of_two_lost_confirmations_the_last_one_counts(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ROE.part10())
    doe = only_doe(archive, number)
    persons = archive.imports.detail(archive.who, number).persons
    roe = dataclasses.replace(
        doe, persons=frozenset(one.key for one in persons) - doe.persons, family_name="Roe"
    )
    confirmed_in_vain(archive, number, roe)
    confirmed_in_vain(archive, number, doe)
    archive.imports.catch_up(older_s=0.0)
    archive.imports.carry_out(number)
    (located,) = archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
    assert located.ref.instance == ONE.instance


def test_nothing_is_shown_of_what_was_rejected_after_a_lost_confirmation(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    confirmed_in_vain(archive, number, said(archive, number))
    archive.imports.reject(archive.who, number, "the disc of another patient")
    archive.imports.catch_up(older_s=0.0)
    archive.recovery.reindex()
    assert found(archive) == 0
    archive.imports.carry_out(number)
    assert blobs(archive) == 0


def test_what_is_too_long_to_be_kept_as_metadata_still_says_whose_it_is(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(tmp_path, database, limits={"metadata_bytes": 900}) as archive:
        number = ready(archive, ONE.part10(), ROE.part10())
        with archive.database.transaction() as tx:
            tx.execute("DELETE FROM import_file WHERE name = 'file-1'")
        assert archive.recovery.adopt(older_s=0).aside == 1
        assert archive.imports.one(archive.who, number).persons == 2
        archive.imports.confirm(archive.who, number, only_doe(archive, number))
        with archive.database.transaction() as tx:
            tx.execute("DELETE FROM import_batch")
        archive.recovery.reindex()
        (located,) = archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
        assert located.ref.instance == ONE.instance


@pytest.mark.parametrize(
    ("name", "born", "number", "told"),
    [
        ("Doe^Jane", "19700101", "P-0001", "b4ec270967c6a228"),
        ("Müller^Jürgen^^Dr.", "", "", "85b7a4d771000e64"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "19610203", "X", "110f4865cc65032b"),
    ],
)
def test_a_person_is_named_alike_for_ever(name: str, born: str, number: str, told: str) -> None:
    """The journal names persons so: another digest would leave what was let out in quarantine."""
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False))
    attributes = {
        "00100010": {"vr": "PN", "Value": [groups]},
        "00100020": {"vr": "LO", "Value": [number] if number else []},
        "00100030": {"vr": "DA", "Value": [born] if born else []},
    }
    assert described(attributes)["person"] == told


# ---- confirming --------------------------------------------------------------------------------


def test_what_is_confirmed_is_filed_by_the_ordinary_way_and_audited(archive: Archive) -> None:
    number = ready(archive, zip_of(disc(3)))
    assert archive.imports.confirm(archive.who, number, said(archive, number)).state is (
        State.CONFIRMED
    )
    assert archive.imports.carry_out(number)
    done = archive.imports.one(archive.who, number)
    assert (done.state, done.filed, found(archive)) == (State.FILED, 3, 3)
    ref = InstanceRef(uid(ONE.study), uid(ONE.series), uid(ONE.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    payload = archive.retrieve.forms.part10(located, archive.retrieve.forms.choose(located, None))
    assert b"".join(bytes(piece) for piece in payload.chunks).endswith(ONE.dataset())
    with archive.database.reading() as conn:
        kinds = {row[0] for row in conn.execute("SELECT DISTINCT kind FROM audit")}
    assert {"import.begun", "import.received", "import.confirmed", "import.filed"} <= kinds
    assert "instance.stored" in kinds


def test_patient_ids_of_other_places_are_not_ours(archive: Archive) -> None:
    archive.take(ct(5).part10())
    number = ready(archive, ONE.part10())
    archive.imports.confirm(archive.who, number, said(archive, number))
    archive.imports.carry_out(number)
    with archive.database.reading() as conn:
        issuers = conn.execute("SELECT count(DISTINCT patient_pk) FROM study").fetchone()
    assert issuers == (2,)


@pytest.mark.parametrize(
    "differs",
    [{"family_name": "Smith"}, {"birth_date": "1970-01-02"}],
)
def test_what_does_not_agree_is_refused_and_stays_in_quarantine(
    archive: Archive, differs: dict[str, str]
) -> None:
    number = ready(archive, ONE.part10())
    with pytest.raises(Conflict):
        archive.imports.confirm(archive.who, number, said(archive, number, **differs))
    archive.imports.carry_out(number)
    assert found(archive) == 0


@pytest.mark.parametrize("differs", [{"family_name": ""}, {"birth_date": ""}])
def test_what_was_not_compared_is_asked_for(archive: Archive, differs: dict[str, str]) -> None:
    number = ready(archive, ONE.part10())
    with pytest.raises(InvalidRequest):
        archive.imports.confirm(archive.who, number, said(archive, number, **differs))


def test_images_without_a_birth_date_need_a_reason(archive: Archive) -> None:
    number = ready(archive, ct(values={"PatientBirthDate": None}).part10())
    with pytest.raises(InvalidRequest, match="how you know"):
        archive.imports.confirm(archive.who, number, said(archive, number))
    known = said(archive, number, reason="the patient showed the letter that came with it")
    assert archive.imports.confirm(archive.who, number, known).state is State.CONFIRMED


def test_more_than_one_person_stops_it(archive: Archive) -> None:
    other = ct(2, patient_name="Roe^Richard", patient_id="P-0002")
    number = ready(archive, ONE.part10(), other.part10())
    detail = archive.imports.detail(archive.who, number)
    assert (detail.about.is_stopped, len(detail.persons)) == (True, 2)
    both = Confirmation(
        persons=frozenset(person.key for person in detail.persons),
        studies=frozenset([ONE.study, other.study]),
        family_name="Doe",
        birth_date="1970-01-01",
    )
    with pytest.raises(Conflict, match="More than one person"):
        archive.imports.confirm(archive.who, number, both)


def test_of_two_persons_one_is_filed_and_the_other_is_destroyed(archive: Archive) -> None:
    other = ct(2, patient_name="Roe^Richard", patient_id="P-0002")
    number = ready(archive, ONE.part10(), other.part10())
    doe = next(
        p for p in archive.imports.detail(archive.who, number).persons if p.name == "Doe^Jane"
    )
    chosen = Confirmation(
        persons=frozenset([doe.key]),
        studies=frozenset([ONE.study]),
        family_name="DOE",
        birth_date="1970-01-01",
    )
    archive.imports.confirm(archive.who, number, chosen)
    archive.imports.carry_out(number)
    assert (found(archive), found(archive, other.study), blobs(archive)) == (1, 0, 1)
    with archive.database.reading() as conn:
        row = conn.execute("SELECT count(*) FROM import_file WHERE patient_name LIKE 'Roe%'")
        assert row.fetchone() == (0,)
        told = conn.execute("SELECT study, detail FROM audit WHERE kind = 'import.filed'")
        assert told.fetchall() == [(ONE.study, {"import": number, "removed": 1, "instances": 1})]


def test_of_two_persons_in_one_study_only_the_chosen_one_is_filed_and_can_be_read(
    archive: Archive,
) -> None:
    other = ct(1, 2, patient_name="Roe^Richard", patient_id="P-0002")
    number = ready(archive, ONE.part10(), other.part10())
    persons = archive.imports.detail(archive.who, number).persons
    doe = next(one for one in persons if one.name == "Doe^Jane")
    chosen = Confirmation(
        persons=frozenset([doe.key]),
        studies=frozenset([ONE.study]),
        family_name="Doe",
        birth_date="1970-01-01",
    )
    archive.imports.confirm(archive.who, number, chosen)
    archive.imports.carry_out(number)
    assert (found(archive), blobs(archive)) == (1, 1)
    (located,) = archive.retrieve.instances(archive.who, StudyRef(uid(ONE.study)))
    assert located.ref.instance == ONE.instance
    sent = archive.retrieve.forms.part10(located, located.transfer_syntax)
    assert b"".join(map(bytes, sent.chunks)) == ONE.part10()


def test_a_study_of_a_person_that_was_not_chosen_is_refused(archive: Archive) -> None:
    other = ct(2, patient_name="Roe^Richard", patient_id="P-0002")
    number = ready(archive, ONE.part10(), other.part10())
    persons = archive.imports.detail(archive.who, number).persons
    wrong = Confirmation(
        persons=frozenset([persons[0].key]),
        studies=frozenset([persons[1].studies[0].uid]),
        family_name=persons[0].name.split("^")[0],
        birth_date="1970-01-01",
    )
    with pytest.raises(Conflict, match="another person"):
        archive.imports.confirm(archive.who, number, wrong)


def test_one_person_in_two_spellings_is_filed_with_a_reason(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ct(2, patient_name="Doe^Jane Maria").part10())
    persons = archive.imports.detail(archive.who, number).persons
    both = Confirmation(
        persons=frozenset(person.key for person in persons),
        studies=frozenset([ONE.study, ct(2).study]),
        family_name="Doe",
        birth_date="1970-01-01",
        reason="her passport shows both names",
    )
    archive.imports.confirm(archive.who, number, both)
    archive.imports.carry_out(number)
    assert (found(archive), found(archive, ct(2).study)) == (1, 1)


def test_deciding_twice_is_refused(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    words = said(archive, number)
    archive.imports.confirm(archive.who, number, words)
    with pytest.raises(Conflict):
        archive.imports.confirm(archive.who, number, words)
    with pytest.raises(Conflict):
        archive.imports.reject(archive.who, number, "on second thoughts")
    with pytest.raises(Conflict, match="no more files"):
        give(archive, number, "late", ct(1, 1, 9).part10())


def test_carrying_out_may_be_cut_off_and_done_again(archive: Archive) -> None:
    number = ready(archive, zip_of(disc(3)))
    archive.imports.confirm(archive.who, number, said(archive, number))
    assert not archive.imports.carry_out(number, must_leave=lambda: True)
    assert archive.imports.carry_out(number)
    assert archive.imports.carry_out(number)
    assert found(archive) == 3


def test_what_the_archive_has_already_is_not_kept_twice(archive: Archive) -> None:
    assert isinstance(archive.take(ONE.part10()), Stored)
    number = ready(archive, ONE.part10())
    assert archive.imports.detail(archive.who, number).persons[0].studies[0].is_known
    archive.imports.confirm(archive.who, number, said(archive, number))
    archive.imports.carry_out(number)
    assert (found(archive), blobs(archive)) == (1, 1)


def test_of_what_was_not_chosen_nothing_personal_stays(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ct(2).part10())
    wanted = dataclasses.replace(said(archive, number), studies=frozenset([uid(ONE.study)]))
    archive.imports.confirm(archive.who, number, wanted)
    archive.imports.carry_out(number)
    with archive.database.reading() as conn:
        left = conn.execute(
            "SELECT blob_id, name, person, patient_name, patient_id, birth_date, sex, "
            "study_description, series_description FROM import_file WHERE result = 'removed'"
        ).fetchall()
    assert left == [(None, "", *[None] * 7)]


def test_two_imports_decided_together_file_each_its_own(archive: Archive) -> None:
    first, second = ready(archive, ONE.part10()), ready(archive, ct(2).part10())
    for number, study in ((first, ONE.study), (second, ct(2).study)):
        (person,) = archive.imports.detail(archive.who, number).persons
        assert [one.uid for one in person.studies] == [study]
        archive.imports.confirm(archive.who, number, said(archive, number))
    archive.imports.carry_out(first)
    assert (found(archive), found(archive, ct(2).study)) == (1, 0)
    archive.imports.carry_out(second)
    assert (found(archive), found(archive, ct(2).study)) == (1, 1)


def test_other_content_under_a_known_uid_becomes_a_version(archive: Archive) -> None:
    archive.take(ONE.part10())
    number = ready(archive, ct(values={"StudyDescription": "another"}).part10())
    archive.imports.confirm(archive.who, number, said(archive, number))
    archive.imports.carry_out(number)
    assert (found(archive), blobs(archive)) == (1, 2)


# ---- rejecting ---------------------------------------------------------------------------------


def test_what_is_rejected_is_destroyed_with_its_keys(archive: Archive) -> None:
    number = ready(archive, ONE.part10(), ct(1, 1, 2).part10())
    keys = set(archive.store.keys.ids())
    archive.imports.reject(archive.who, number, "the disc of another patient")
    assert archive.imports.carry_out(number)
    assert (blobs(archive), set(archive.store.keys.ids()) & keys) == (0, set())
    gone = archive.imports.detail(archive.who, number)
    assert (gone.about.state, gone.about.removed, gone.persons) == (State.PURGED, 2, [])


def test_rejecting_needs_a_reason(archive: Archive) -> None:
    with pytest.raises(InvalidRequest):
        archive.imports.reject(archive.who, ready(archive, ONE.part10()), " no ")


def test_nothing_of_a_rejected_import_comes_back(archive: Archive) -> None:
    number = ready(archive, ONE.part10())
    archive.imports.reject(archive.who, number, "the disc of another patient")
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM import_file")  # as a crash between blob and row leaves it
    archive.recovery.adopt(older_s=0)
    assert (blobs(archive), found(archive)) == (0, 0)


def test_what_nobody_decides_on_goes_by_itself(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, imports={"keep_days": 0.0}) as archive:
        number = ready(archive, ONE.part10())
        assert archive.imports.sweep() == 1
        archive.imports.carry_out(number)
        assert archive.imports.one(archive.who, number).state is State.PURGED


@pytest.mark.parametrize("what", ["confirmed", "put off"])
def test_what_is_decided_at_the_last_moment_does_not_go_by_itself(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whoever ends what is late has looked for it a moment ago."""
    with open_archive(tmp_path, database, imports={"keep_days": 0.0}) as archive:
        number = ready(archive, ONE.part10())
        late = ready(archive, ct(2).part10())
        usual = ImportEngine._expire

        def expire(engine: ImportEngine, one: int, tx: Any) -> bool:
            if one == number and what == "confirmed":
                engine.confirm(archive.who, number, said(archive, number))
            elif one == number:
                tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
                with archive.database.transaction() as other:
                    engine.keep_until(other, number, tomorrow)
            return usual(engine, one, tx)

        monkeypatch.setattr(ImportEngine, "_expire", expire)
        assert archive.imports.sweep() == 1
        state = archive.imports.one(archive.who, number).state
        assert state is (State.CONFIRMED if what == "confirmed" else State.NEEDS_IDENTITY)
        assert archive.imports.one(archive.who, late).state is State.REJECTED


@pytest.mark.parametrize("decided", ["filed", "rejected"])
def test_of_two_workers_at_one_import_the_slower_one_says_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, decided: str
) -> None:
    """Its lease ran out while it worked, and another one has done all of it."""
    number = ready(archive, ONE.part10())
    if decided == "filed":
        archive.imports.confirm(archive.who, number, said(archive, number))
    else:
        archive.imports.reject(archive.who, number, "the disc of another patient")
    usual = Ending._remove

    def remove(ending: Ending, one: int, must_leave: Callable[[], bool]) -> bool:
        monkeypatch.setattr(Ending, "_remove", usual)
        done = usual(ending, one, must_leave)
        assert archive.imports.carry_out(number)
        return done

    monkeypatch.setattr(Ending, "_remove", remove)
    assert archive.imports.carry_out(number)
    about = archive.imports.one(archive.who, number)
    assert (about.filed, about.removed) == ((1, 0) if decided == "filed" else (0, 1))
    with archive.database.reading() as conn:
        kind = "import.filed" if decided == "filed" else "import.purged"
        told = conn.execute("SELECT detail FROM audit WHERE kind = %s", (kind,)).fetchall()
    assert [row[0]["removed"] for row in told] == [about.removed]


# ---- what was found ----------------------------------------------------------------------------


def test_a_disc_with_a_report_and_no_images_says_so(archive: Archive) -> None:
    report = ct(sop_class="1.2.840.10008.5.1.4.1.1.104.1", modality="DOC", pixel_element=b"")
    about: Import = archive.imports.detail(archive.who, begun(archive, report.part10(), PDF)).about
    assert (about.images, about.reports, about.documents) == (0, 1, 1)


def test_the_same_file_twice_counts_once(archive: Archive) -> None:
    number = begun(archive, ONE.part10(), ONE.part10())
    about = archive.imports.one(archive.who, number)
    assert (about.images, about.twice, blobs(archive)) == (1, 1, 1)


def test_a_sender_is_told_what_is_missing(archive: Archive) -> None:
    number = begun(archive, ONE.part10())
    marks = [mark("file-0"), mark("file-1")]
    assert archive.imports.expect(archive.who, number, marks) == [1]
    known = archive.imports.intake.known(number, marks[0])
    assert known is not None
    assert known.result is Result.KEPT
    assert archive.imports.one(archive.who, number).expected == 2


def test_an_import_in_which_nothing_was_found_is_not_finished(archive: Archive) -> None:
    with pytest.raises(Conflict, match="nothing to confirm"):
        archive.imports.finish(archive.who, begun(archive, PDF))


def test_no_plaintext_of_a_container_touches_the_disk(archive: Archive, tmp_path: Path) -> None:
    canary = ct(patient_name="Canary^Bird", rows=512, columns=512)
    number = archive.imports.begin(archive.who)
    taking = archive.imports.intake.take(archive.who, number, name="a", mark=None, digest=None)
    packed = zip_of({f"{n}": canary.part10() for n in range(6)}, method=zipfile.ZIP_STORED)
    taking.feed(packed)
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(b"Canary" not in path.read_bytes() for path in held)
    taking.finish()
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(b"Canary" not in path.read_bytes() for path in held)
