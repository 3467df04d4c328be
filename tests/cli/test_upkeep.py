"""What comes back every hour: complete blobs without a row are indexed again."""

from __future__ import annotations

import datetime as dt
import errno
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from uuid import UUID

import pytest

from tests.archive import Archive, open_archive
from tests.factories import ct
from vna.access.trail import Trail, newest
from vna.archive import Archive as Opened
from vna.cli import children, desks
from vna.cli.children import adopt_orphans, catch_up, recover
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.engines import Engines
from vna.errors import Corrupt
from vna.index.register import clear
from vna.operate.scrubbing import Scrub
from vna.operate.sealing import Sealer

WAIT_S = 20.0
ID_OF_2020 = (1_583_300_000_000).to_bytes(6) + bytes.fromhex("70008000000000000001")


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    """An archive that holds one blob and has lost its row."""
    (tmp_path / "run").mkdir()
    with open_archive(tmp_path, database, ingest={"adopt_s": 3600.0}) as archive:
        archive.take(ct().part10())
        with database.transaction() as tx:
            clear(tx)
        yield archive


def rows(archive: Archive) -> int:
    with archive.database.reading() as conn:
        row = conn.execute("SELECT count(*) FROM instance").fetchone()
    return int(row[0]) if row else -1


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_at_the_start_everything_older_is_adopted(archive: Archive) -> None:
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    assert rows(archive) == 1


def test_what_is_younger_than_the_start_is_left_to_who_writes_it(archive: Archive) -> None:
    adopt_orphans(
        archive.recovery, archive.settings, archive.database, now() - dt.timedelta(minutes=5)
    )
    assert rows(archive) == 0


def test_later_what_may_be_on_its_way_is_left_alone(archive: Archive) -> None:
    adopt_orphans(archive.recovery, archive.settings, archive.database, None)
    assert rows(archive) == 0


def test_a_mark_a_full_disk_does_not_take_ends_nothing(archive: Archive, tmp_path: Path) -> None:
    """What comes after it in the same turn makes room: purging."""
    (tmp_path / "run").rmdir()
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    assert rows(archive) == 1


def test_days_looked_at_are_not_looked_at_again(archive: Archive) -> None:
    mark = archive.settings.data / "run" / "adopted"
    place = newest(archive.database)
    assert place is not None
    later = now() + dt.timedelta(days=3)
    mark.write_text(f"{later.isoformat()} {place.audit_id} {place.at.isoformat()}")
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    assert rows(archive) == 0
    assert dt.datetime.fromisoformat(mark.read_text().split()[0]) <= now()
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    assert rows(archive) == 1


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_database_put_back_is_looked_at_from_the_first_day(
    archive: Archive, goes_on: bool
) -> None:
    """By its own means, to before what days that were looked at brought (operations.md, Backup)."""
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    mark = archive.settings.data / "run" / "adopted"
    later = (now() + dt.timedelta(days=3)).isoformat()
    mark.write_text(" ".join([later, *mark.read_text().split()[1:]]))
    with archive.database.transaction() as tx:
        clear(tx)
        tx.execute("ALTER TABLE audit DISABLE TRIGGER audit_no_change")
        tx.execute("GRANT UPDATE, DELETE ON audit TO CURRENT_USER")
        if goes_on:  # ids are given again
            tx.execute("UPDATE audit SET at = at + interval '1 second'")
        else:
            tx.execute("DELETE FROM audit")
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    assert rows(archive) == 1


@pytest.mark.parametrize("text", ["yesterday", "", "2026-11-23T00:00:00+00:00 12"])
def test_an_unreadable_mark_means_looking_at_everything(archive: Archive, text: str) -> None:
    (archive.settings.data / "run" / "adopted").write_text(text)
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    assert rows(archive) == 1


def test_nothing_deleted_is_adopted_by_an_index_that_was_lost(archive: Archive) -> None:
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    archive.lifecycle.delete(archive.who, StudyRef(uid(ct().study)))
    with archive.database.transaction() as tx:
        clear(tx)
    recover(opened(archive), now())
    assert rows(archive) == 0
    archive.lifecycle.undelete(archive.who, StudyRef(uid(ct().study)))
    assert rows(archive) == 1


def test_a_damaged_journal_keeps_everything_as_it_is(archive: Archive) -> None:
    adopt_orphans(archive.recovery, archive.settings, archive.database, now())
    archive.lifecycle.delete(archive.who, StudyRef(uid(ct().study)))
    (entry,) = archive.settings.data.glob("blobs/j/*/*.vnb")
    data = bytearray(entry.read_bytes())
    data[300] ^= 1
    entry.chmod(0o600)
    entry.write_bytes(data)
    with pytest.raises(Corrupt):
        archive.recovery.reindex()
    assert archive.lifecycle.is_gone(archive.who, StudyRef(uid(ct().study)))
    with archive.database.transaction() as tx:
        clear(tx)
    with pytest.raises(Corrupt, match=entry.stem.replace("-", "")):
        recover(opened(archive), now())
    assert rows(archive) == 0


def test_days_of_the_journal_that_were_brought_in_are_not_walked_each_minute(
    archive: Archive,
) -> None:
    """It only ever grows: seven engines each listed all of it, and asked the index for all."""
    serving = opened(archive)
    recover(serving, now())
    archive.lifecycle.delete(archive.who, StudyRef(uid(ct().study)))
    (today,) = archive.settings.data.glob("blobs/j/*")
    long_ago = today.with_name("2020-03-04")
    long_ago.mkdir()
    shutil.copy(next(today.iterdir()), long_ago / f"{UUID(bytes=ID_OF_2020)}.vnb")

    catch_up(serving, 60.0)  # it would stumble over what is no entry
    recover(serving, None)
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE audit DISABLE TRIGGER audit_no_change")
        tx.execute("GRANT DELETE ON audit TO CURRENT_USER")
        tx.execute("DELETE FROM audit")
    for bring_in in (lambda: catch_up(serving, 60.0), lambda: recover(serving, None)):
        with pytest.raises(Corrupt, match=ID_OF_2020.hex()):
            bring_in()  # the database was put back: all of it counts


def opened(archive: Archive) -> Opened:
    """The same archive as a process of `vna serve` holds it."""
    return Opened(
        settings=archive.settings,
        store=archive.store,
        database=archive.database,
        audit=archive.audit,
        engines=Engines(
            ingest=archive.ingest,
            query=archive.query,
            retrieve=archive.retrieve,
            render=archive.render,
            discs=archive.discs,
            remotes=archive.remotes,
            peers=archive.peers,
            routes=archive.routes,
            pushes=archive.pushes,
            commitment=archive.commitment,
            transactions=archive.transactions,
            lifecycle=archive.lifecycle,
            corrections=archive.corrections,
            identities=archive.identities,
            changes=archive.changes,
            labels=archive.labels,
            holds=archive.holds,
            people=archive.people,
            trail=Trail(archive.database, archive.audit),
            messages=archive.messages,
            imports=archive.imports,
            sharing=archive.sharing,
            patient_accounts=archive.patient_accounts,
            carers=archive.carers,
            settings=archive.settings,
            check=lambda: None,
        ),
        recovery=archive.recovery,
        purge=archive.purge,
        search_index=archive.search_index,
        sealer=Sealer(archive.database, archive.store.checkpoints),
        scrub=Scrub(
            store=archive.store,
            database=archive.database,
            audit=archive.audit,
            settings=archive.settings,
        ),
        watch=archive.watch,
    )


class Turns(threading.Event):
    """Told to stop after so many turns, and waits for nothing between them."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left <= 0:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    ("does", "event"),
    [
        (children._commit, "commitment failed"),
        (children._send, "sharing by consent failed"),
        (lambda archive, stop: archive.sealer.run(stop), "audit not sealed"),
        (lambda archive, stop: archive.scrub.run(stop), "blobs not read again"),
    ],
)
def test_an_outage_is_told_once_however_long_it_lasts(
    archive: Archive,
    caplog: pytest.LogCaptureFixture,
    does: Callable[[Opened, threading.Event], None],
    event: str,
) -> None:
    """A line every few seconds for hours hid all else that was in the log."""
    with archive.database.transaction() as tx:
        tx.execute("ALTER SCHEMA vna RENAME TO away")
    does(opened(archive), Turns(20))
    with archive.database.transaction() as tx:
        tx.execute("ALTER SCHEMA away RENAME TO vna")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("ERROR", event)]


def test_a_fault_of_ours_ends_nothing_that_is_done_beside(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread was gone, and the process went on: nothing was sealed until a restart."""
    monkeypatch.setattr(children, "_RETRY_S", 0.0)
    stop, tries = threading.Event(), 0

    def seals(stop: threading.Event) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ZeroDivisionError
        stop.set()

    thread = children._beside("sealer", seals, stop)
    thread.join(30)
    assert not thread.is_alive()
    assert tries == 3
    (told,) = caplog.records  # once, though it failed twice
    assert (told.levelname, told.getMessage()) == ("ERROR", "the sealer failed")
    assert vars(told)["why"].endswith("ZeroDivisionError")


def test_without_who_does_what_is_urgent_the_process_for_jobs_is_begun_anew(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on with all else, and nobody got a code by mail any more."""

    class Working:
        def __init__(self, *_: object, node: str) -> None:
            self._is_urgent = node.endswith("urgent")
            self._stop = threading.Event()

        def run(self) -> None:
            if self._is_urgent:
                raise OSError(errno.EMFILE, "no descriptor is left")
            self._stop.wait()

        def stop(self) -> None:
            self._stop.set()

    monkeypatch.setattr(children, "opened", lambda *_: nullcontext(opened(archive)))
    monkeypatch.setattr(children, "handlers", lambda *_: {})
    monkeypatch.setattr(children, "JobWorker", Working)
    monkeypatch.setattr(children, "when_told", lambda _: None)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    place = children.Place(settings=archive.settings, dsn="")
    done = threading.Thread(target=children.do_jobs, args=(place,), daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()


def test_without_who_keeps_desks_the_upkeep_is_begun_anew(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on, and no guest was served any more."""

    def fails(control: socket.socket, *_: object, **__: object) -> None:
        control.close()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(desks, "keep", fails)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    ours, theirs = socket.socketpair()
    stop = threading.Event()
    place = children.Place(settings=archive.settings, dsn="")
    with ours:
        children._at_desks(opened(archive), place, theirs.detach(), stop).join(WAIT_S)
    assert stop.is_set()
