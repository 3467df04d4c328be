"""Blob and row of an object: whatever fails, no row is there before its blob, nor without one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from tests.blobs.faults import FAULTS, FaultyFiles, Killed
from vna.blobs.files import Files
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import Unavailable, VNAError
from vna.ingest.outcome import Cause, Refused, Stored

STUDY = StudyRef(uid(factories.ct().study))


class Watched(Files):
    """Real files; before each thing that makes a blob durable, `look` is called with its name."""

    def __init__(self, look: Callable[[str], None]) -> None:
        self._look = look

    def sync_data(self, fd: int) -> None:
        self._look("sync_data")
        super().sync_data(fd)

    def link(self, source: str, target: str) -> None:
        self._look("link")
        super().link(source, target)

    def sync_folder(self, fd: int) -> None:
        self._look("sync_folder")
        super().sync_folder(fd)


def rows(database: Database) -> int:
    """How many instances anybody else sees."""
    with database.reading() as conn:
        (count,) = conn.execute("SELECT count(*) FROM instance").fetchone() or (0,)
    return int(count)


def require_agreement(archive: Archive) -> set[str]:
    """Every visible instance has its blob, whole; its UIDs."""
    if not rows(archive.database):
        return set()
    visible = archive.retrieve.instances(archive.who, STUDY)
    for one in visible:
        b"".join(archive.retrieve.forms.dataset(one, one.transfer_syntax).chunks)
    return {one.ref.instance for one in visible}


@pytest.mark.parametrize("known", [False, True], ids=["a new study", "a known series"])
def test_nobody_sees_a_row_before_its_blob_is_durable(
    tmp_path: Path, database: Database, known: bool
) -> None:
    seen: list[tuple[str, int]] = []
    files = Watched(lambda step: seen.append((step, rows(database))))
    with open_archive(tmp_path, database, files=files) as archive:
        if known:
            archive.take(factories.ct(1, 1, 1).part10())
            archive.take(factories.ct(1, 1, 2).part10())
        before = rows(database)
        seen.clear()
        assert isinstance(archive.take(factories.ct(1, 1, 3).part10()), Stored)
        steps = [step for step, _ in seen]
        assert steps.index("sync_data") < steps.index("link") < len(steps) - 1
        assert steps[-1] == "sync_folder"
        assert {count for _, count in seen} == {before}
        assert rows(database) == before + 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_leaves_no_row_without_its_blob(
    tmp_path: Path, database: Database, fault: str
) -> None:
    stored: set[str] = set()
    with open_archive(tmp_path, database) as archive:
        for number in (1, 2):  # from here on the study and the series are known
            archive.take(factories.ct(1, 1, number).part10())
            stored.add(factories.ct(1, 1, number).instance)
    for at in range(1, 60):
        made = factories.ct(1, 1, 2 + at)
        files = FaultyFiles()
        outcome: object = None
        with suppress(Killed), open_archive(tmp_path, database, files=files) as archive:
            archive.store.keys.for_study(STUDY.study)
            files.fault, files.at = fault, files.count + at
            try:
                outcome = archive.take(made.part10())
            except VNAError as exc:  # before the first byte
                outcome = exc
            files.fault = "none"
        files.bury()
        if isinstance(outcome, Stored):
            stored.add(made.instance)
        elif isinstance(outcome, Refused):
            assert outcome.cause is Cause.OUT_OF_RESOURCES
        else:
            assert outcome is None or isinstance(outcome, Unavailable)
        with open_archive(tmp_path, database) as archive:
            visible = require_agreement(archive)
            assert stored <= visible
            if outcome is not None:
                assert visible == stored
            archive.recovery.adopt(older_s=0)
            stored = require_agreement(archive)  # what a killed process left behind is found
            archive.store.sweep_parts(older_s=0)
        if not files.struck:
            assert isinstance(outcome, Stored)
            assert at > 8
            return
    pytest.fail("the operations never came to an end")


def test_many_at_once_are_durable_before_they_are_rows(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database) as archive:
        archive.take(factories.ct(1, 1, 1).part10())
        outcomes: list[object] = []

        def send(first: int) -> None:
            for number in range(first, first + 6):
                outcomes.append(archive.take(factories.ct(1, 1, number).part10()))

        threads = [threading.Thread(target=send, args=(n * 6 + 2,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(isinstance(one, Stored) for one in outcomes)
        assert len(require_agreement(archive)) == 31


def test_a_database_that_is_away_leaves_no_blob(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(tmp_path, database) as archive:
        archive.take(factories.ct(1, 1, 1).part10())
        away = Database(database.dsn + " port=1", schema=database.schema)
        monkeypatch.setattr(archive.ingest._committer, "_database", away)
        outcome = archive.take(factories.ct(1, 1, 2).part10())
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.OUT_OF_RESOURCES
        assert len(list(archive.store.blob_ids())) == 1
        away.close()
