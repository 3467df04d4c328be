"""Blobs are read again: what is lost, changed or locked is found and told, once."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from vna.blobs.files import Files
from vna.blobs.layout import blob_name, key_name
from vna.blobs.store import BlobStore
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import Unavailable
from vna.operate import damage_alerts, scrubbing
from vna.operate.damage_alerts import EVERY_S, NAMED, Alerts, News
from vna.operate.scrubbing import DAMAGED, MISSING, UNOPENED, Scrub, damaged, progress

YOUNG = -60.0  # so that what was written a moment ago is old enough


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was damaged may be looked at again right away."""
    monkeypatch.setattr(scrubbing, "_LOOK_S", 0.0)
    monkeypatch.setattr(scrubbing, "_AGAIN_S", 0.0)


def scrub_of(archive: Archive, rest_s: float = YOUNG) -> Scrub:
    return Scrub(
        store=archive.store,
        database=archive.database,
        audit=archive.audit,
        settings=archive.settings,
        rest_s=rest_s,
    )


def filled(archive: Archive, count: int = 3) -> dict[str, Path]:
    """Store instances; the file of each by its SOP Instance UID."""
    for number in range(1, count + 1):
        archive.take(factories.ct(1, 1, number).part10())
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT sop_instance_uid, blob_id FROM instance").fetchall()
    folder = archive.settings.data / "blobs"
    return {name: folder / blob_name(bytes(blob)) for name, blob in rows}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def known(archive: Archive) -> dict[str, str]:
    with archive.database.reading() as conn:
        return {one.instance: one.why for one in damaged(conn, 100)}


def told(archive: Archive) -> list[tuple[str, str]]:
    """What stands in the trail: each alert with the instance it is of."""
    with archive.database.reading() as conn:
        return conn.execute(
            "SELECT kind, instance FROM audit WHERE kind LIKE 'blob.%' ORDER BY 1, 2"
        ).fetchall()


def walked(scrub: Scrub, archive: Archive) -> int:
    """Walk to the end; count the blobs that were looked at."""
    for _ in range(100):
        scrub.turn()
        with archive.database.reading() as conn:
            walk = progress(conn)
        assert walk is not None
        if walk.ended_at is not None:
            return walk.checked
    raise AssertionError("the walk does not end")


def test_a_sound_archive_is_walked_to_its_end_and_nothing_is_told(archive: Archive) -> None:
    filled(archive, 40)
    assert walked(scrub_of(archive), archive) == 40
    assert known(archive) == {}
    assert told(archive) == []


def test_what_is_lost_changed_or_locked_is_found_and_told_once(archive: Archive) -> None:
    files = filled(archive)
    archive.take(factories.ct(2, 1, 1).part10())  # its key is lost
    other = factories.ct(2, 1, 1).instance
    lost, changed, whole = sorted(files)
    files[lost].unlink()
    flip(files[changed])
    lose_key(archive, factories.ct(2, 1, 1).study)
    # a process that has not opened that key before
    with BlobStore.open(archive.settings.data / "blobs", archive.store.keyring) as store:
        scrub = scrub_of(dataclasses.replace(archive, store=store))
        require_found(archive, scrub, {lost: MISSING, changed: DAMAGED, other: UNOPENED})
    assert whole not in known(archive)


def require_found(archive: Archive, scrub: Scrub, found: dict[str, str]) -> None:
    assert walked(scrub, archive) == 4
    assert known(archive) == found
    alerts = sorted((f"blob.{why}", name) for name, why in found.items())
    assert told(archive) == alerts
    scrub.look_again()
    assert (known(archive), told(archive)) == (found, alerts)


def counted(archive: Archive) -> list[tuple[str, int]]:
    """What the trail says in numbers."""
    with archive.database.reading() as conn:
        return conn.execute(
            "SELECT kind, (detail->>'more')::int FROM audit WHERE detail ? 'more' ORDER BY id"
        ).fetchall()


def test_many_of_one_sort_are_told_in_few_rows(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost folder of a million blobs was a million rows of the trail, and lines of the log."""
    monkeypatch.setattr(damage_alerts, "NAMED", 5)
    files = filled(archive, 40)
    lost, changed = sorted(files)[:30], sorted(files)[30:33]
    copies = {path: path.read_bytes() for path in files.values()}
    for name in lost:
        files[name].unlink()
    for name in changed:
        flip(files[name])
    scrub = scrub_of(archive)
    walked(scrub, archive)
    assert known(archive) == dict.fromkeys(lost, MISSING) | dict.fromkeys(changed, DAMAGED)
    assert [kind for kind, instance in told(archive) if instance] == (
        ["blob.damaged"] * 3 + ["blob.missing"] * 5
    )
    assert counted(archive) == [("blob.missing", 25)]
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 3 + 5 + 1
    for path, copy in copies.items():
        path.unlink(missing_ok=True)
        path.write_bytes(copy)
    stop = threading.Event()
    stop.set()
    scrub.look_again()
    assert known(archive) == {}
    scrub.run(stop)  # told to stop, it says what it has not said yet
    assert counted(archive) == [("blob.missing", 25), ("blob.mended", 28)]


def test_a_number_waits_for_an_hour_at_most() -> None:
    now = 0.0
    alerts = Alerts(clock=lambda: now)
    news = [News(MISSING, bytes(16), "1", "2", str(number)) for number in range(NAMED + 2)]
    assert len(alerts.named(news)) == NAMED
    alerts.took(news)
    assert alerts.others() == {}
    now = EVERY_S
    assert alerts.others() == {MISSING: 2}
    alerts.told({MISSING: 2})
    assert alerts.others(now=True) == {}
    assert alerts.named(news) == []
    alerts.begin()  # another walk names its first again
    assert len(alerts.named(news)) == NAMED


def lose_key(archive: Archive, study: str) -> None:
    """Remove the key of a study."""
    key_path(archive, study).unlink()


def key_path(archive: Archive, study: str) -> Path:
    """Name the file of a study's key."""
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT DISTINCT key_id FROM instance JOIN series USING (series_pk)"
            " JOIN study USING (study_pk) WHERE study_uid = %s",
            [study],
        ).fetchone()
    assert row is not None
    return archive.settings.data / "blobs" / key_name(bytes(row[0]))


def test_what_was_put_back_is_forgotten_and_that_is_told_too(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    files = filled(archive)
    name, path = next(iter(files.items()))
    copy = path.read_bytes()
    flip(path)
    scrub = scrub_of(archive)
    walked(scrub, archive)
    assert known(archive) == {name: DAMAGED}
    path.unlink()
    scrub.look_again()
    assert known(archive) == {name: MISSING}
    path.write_bytes(copy)
    caplog.clear()
    with caplog.at_level("INFO", "vna.operate.damage_alerts"):
        scrub.look_again()
    assert [record.levelname for record in caplog.records] == ["INFO"]  # good news is no error
    assert known(archive) == {}
    assert told(archive) == [("blob.damaged", name), ("blob.mended", name)]


def test_what_was_put_back_is_found_as_fast_as_it_is_read(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred a minute, a lost folder of a million that was put back was damaged for a week."""
    monkeypatch.setattr(scrubbing, "_LOOK_S", 60.0)
    monkeypatch.setattr(scrubbing, "_AGAIN_MOST", 2)
    files = filled(archive, 6)
    copies = {path: path.read_bytes() for path in files.values()}
    for path in copies:
        path.unlink()
    scrub = scrub_of(archive)
    walked(scrub, archive)
    assert len(known(archive)) == 6
    for path, copy in copies.items():
        path.write_bytes(copy)
    spent = sum(scrub.look_again() for _ in range(3))
    assert known(archive) == {}
    assert 0 < spent < 30  # three minutes
    assert scrub.look_again() == 60.0


def test_what_was_put_back_is_read_no_faster_than_the_setting_says(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(tmp_path, database, scrub={"bytes_s": 1000}) as archive:
        path = next(iter(filled(archive).values()))
        copy = path.read_bytes()
        path.unlink()
        scrub = scrub_of(archive)
        walked(scrub, archive)
        path.write_bytes(copy)
        assert scrub.look_again() >= len(copy) / 1000 * 0.5


def test_what_was_deleted_keeps_nothing_damaged_that_was_put_back(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody notes it as looked at: it came first each time, and nothing after it was looked at."""
    monkeypatch.setattr(scrubbing, "_AGAIN_MOST", 2)
    first = set(filled(archive, 3))
    archive.take(factories.ct(2, 1, 1).part10())
    files = filled(archive, 3)
    (kept,) = files.keys() - first
    copy = files[kept].read_bytes()
    for path in files.values():
        path.unlink()
    scrub = scrub_of(archive)
    walked(scrub, archive)
    archive.lifecycle.delete(archive.who, StudyRef(uid(factories.ct().study)))
    with archive.database.transaction() as tx:  # they were found first
        tx.execute(
            "UPDATE damage SET looked_at = looked_at - interval '1 h' "
            "WHERE blob_id NOT IN (SELECT blob_id FROM instance)"
        )
    files[kept].write_bytes(copy)
    scrub.look_again()
    scrub.look_again()
    assert known(archive) == {}


def test_what_was_deleted_meanwhile_is_missed_by_nobody(archive: Archive) -> None:
    files = filled(archive)
    name, path = next(iter(files.items()))
    path.unlink()
    scrub = scrub_of(archive)
    walked(scrub, archive)
    assert known(archive) == {name: MISSING}
    archive.lifecycle.delete(archive.who, StudyRef(uid(factories.ct().study)))
    assert known(archive) == {}
    scrub.look_again()
    with archive.database.reading() as conn:
        assert scrubbing.count(conn) == 0


def test_a_walk_goes_on_where_it_was_stopped(archive: Archive) -> None:
    filled(archive, 40)
    scrub_of(archive).turn()
    with archive.database.reading() as conn:
        first = progress(conn)
    assert first is not None
    assert 0 < first.checked < 40
    assert walked(scrub_of(archive), archive) == 40


def test_two_that_walk_at_once_do_it_once(archive: Archive) -> None:
    filled(archive, 40)
    scrubs = [scrub_of(archive) for _ in range(2)]
    start = threading.Barrier(2)

    def walk(scrub: Scrub) -> None:
        start.wait(10)
        walked(scrub, archive)

    threads = [threading.Thread(target=walk, args=(one,)) for one in scrubs]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    with archive.database.reading() as conn:
        found = progress(conn)
    assert found is not None
    assert found.checked == 40


def test_another_walk_begins_when_it_is_time(archive: Archive) -> None:
    files = filled(archive)
    scrub = scrub_of(archive)
    walked(scrub, archive)
    flip(next(iter(files.values())))
    scrub.turn()
    assert known(archive) == {}
    with archive.database.transaction() as tx:
        tx.execute("UPDATE scrub SET begun_at = begun_at - interval '31 days'")
    with archive.database.reading() as conn:
        before = progress(conn)
    assert walked(scrub, archive) == 3
    with archive.database.reading() as conn:
        after = progress(conn)
    assert before is not None
    assert after is not None
    assert after.whole_at == before.ended_at
    assert len(known(archive)) == 1


def test_what_was_just_written_is_left_alone(archive: Archive) -> None:
    filled(archive)
    assert walked(scrub_of(archive, scrubbing.REST_S), archive) == 0


def test_nothing_is_noted_while_the_store_cannot_be_asked(archive: Archive) -> None:
    """A disk that is not mounted has lost nothing."""
    filled(archive)
    blobs = archive.settings.data / "blobs"
    away = blobs.with_name("elsewhere")
    blobs.rename(away)
    scrub = scrub_of(archive)
    with pytest.raises(Unavailable):
        scrub.turn()
    away.rename(blobs)
    assert known(archive) == {}
    assert walked(scrub, archive) == 3


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EACCES, errno.EPERM, errno.ELOOP]
)
def test_a_file_that_cannot_be_read_stops_no_walk(
    tmp_path: Path, database: Database, code: int
) -> None:
    """A bad block or folder, and a copy that root put back or that is a link."""
    files = OneBad()
    with open_archive(tmp_path, database, files=files) as archive:
        name, path = next(iter(filled(archive).items()))
        files.bad, files.errno = str(path), code
        assert walked(scrub_of(archive), archive) == 3
        assert known(archive) == {name: DAMAGED}
        files.errno = errno.EMFILE
        with pytest.raises(Unavailable):  # that is nothing of this blob
            scrub_of(archive).look_again()


def test_a_key_that_cannot_be_read_stops_no_walk(tmp_path: Path, database: Database) -> None:
    files = OneBad()
    with open_archive(tmp_path, database) as archive:
        names = filled(archive)
        files.bad = str(key_path(archive, factories.ct().study))
        folder, keyring = archive.settings.data / "blobs", archive.store.keyring
        with BlobStore.open(folder, keyring, files=files) as store:  # has not opened that key
            assert walked(scrub_of(dataclasses.replace(archive, store=store)), archive) == 3
        assert known(archive) == dict.fromkeys(names, UNOPENED)


def test_nothing_is_noted_while_the_whole_disk_cannot_be_read(
    tmp_path: Path, database: Database
) -> None:
    """A file server that is away gives EIO of every file (nfs(5), soft)."""
    files = OneBad()
    with open_archive(tmp_path, database, files=files) as archive:
        filled(archive)
        files.bad = str(archive.settings.data)
        with pytest.raises(Unavailable):
            scrub_of(archive).turn()
        assert known(archive) == {}
        files.bad = ""
        assert walked(scrub_of(archive), archive) == 3


class OneBad(Files):
    """A disk on which one file, or everything below one folder, cannot be read."""

    bad = ""
    errno = errno.EIO

    def open(self, path: str) -> int:
        if self.bad and (path == self.bad or path.startswith(f"{self.bad}/")):
            raise OSError(self.errno, os.strerror(self.errno))
        return super().open(path)


def test_no_more_is_read_than_the_setting_says(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, scrub={"bytes_s": 1000}) as archive:
        size = sum(path.stat().st_size for path in filled(archive).values())
        begun = time.monotonic()
        rest_s = scrub_of(archive).turn()
        assert rest_s + time.monotonic() - begun >= size / 1000 * 0.5
        assert rest_s <= size / 1000


@pytest.mark.parametrize(
    ("settings", "url", "is_wanted"),
    [
        ({}, "", True),
        ({"days": 0.0}, "", False),
        ({}, "s3://bucket", False),
        ({"object_stores": True}, "s3://bucket", True),
    ],
)
def test_where_bytes_cost_money_it_is_asked_for(
    tmp_path: Path, database: Database, settings: dict[str, Any], url: str, is_wanted: bool
) -> None:
    with open_archive(tmp_path, database, scrub=settings, blobs={"url": url}) as archive:
        assert scrub_of(archive).is_wanted is is_wanted


def test_what_is_not_wanted_ends_at_once(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, scrub={"days": 0.0}) as archive:
        scrub_of(archive).run(threading.Event())


def test_it_runs_until_it_is_told_to_stop(archive: Archive) -> None:
    filled(archive, 5)
    stop = threading.Event()
    thread = threading.Thread(target=scrub_of(archive).run, args=(stop,))
    thread.start()
    try:
        for _ in range(1000):
            with archive.database.reading() as conn:
                walk = progress(conn)
            if walk is not None and walk.ended_at is not None:
                break
            stop.wait(0.01)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert walk is not None
    assert walk.checked == 5
