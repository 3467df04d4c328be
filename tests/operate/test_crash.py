"""Killed at any step: what was deleted is gone or there, whole, and stays so after a rebuild."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from tests.blobs.faults import FaultyFiles, Killed
from tests.index.samples import dump
from tests.operate.test_lifecycle import expire, purge, shown, study, tables, uids
from vna.db.pool import Database
from vna.errors import Gone, NotFound, Unavailable
from vna.operate import tombstones

KILLS = ("killed before", "killed after")


def fill(archive: Archive) -> list[factories.Instance]:
    """A study of three and one of one."""
    made = [factories.ct(1, 1, 1), factories.ct(1, 1, 2), factories.ct(1, 2, 1), factories.ct(2)]
    for one in made:
        archive.take(one.part10())
    return made


class Removing(FaultyFiles):
    """Counts, and fails at, only what takes something away: reading may be repeated at will."""

    def step(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if name not in ("unlink", "sync_folder") and not self.is_dead:
            return self._track(name, call(self, *args), args)
        return super().step(name, call, args)


@contextlib.contextmanager
def dying(
    folder: Path, database: Database, files: FaultyFiles, fault: str, at: int
) -> Iterator[Archive]:
    """An archive of a process that is killed at its operation number `at` after arming."""
    with contextlib.suppress(Killed), open_archive(folder, database, files=files) as archive:
        files.fault, files.at = fault, at
        files.arm()
        yield archive
    files.bury()


def restarted(folder: Path, database: Database, look: Callable[[Archive], None]) -> None:
    """Come back as `vna serve` does after a crash, look, rebuild the index, and look again."""
    with open_archive(folder, database) as archive:
        archive.lifecycle.catch_up(older_s=0)
        archive.recovery.adopt(older_s=0)
        look(archive)
        before = tables(archive)
        archive.recovery.reindex()
        look(archive)
        assert tables(archive) == before


@pytest.mark.parametrize("fault", KILLS)
def test_a_deletion_killed_at_any_file_operation_is_whole(
    tmp_path: Path, database: Database, fault: str
) -> None:
    with open_archive(tmp_path, database) as archive:
        made = fill(archive)
    at, is_over = 0, False
    while not is_over:
        at += 1
        answered = False
        files = FaultyFiles()
        with dying(tmp_path, database, files, fault, at) as archive:
            archive.lifecycle.delete(archive.who, study(made[0]))
            answered = True
        is_over = not files.struck

        def look(archive: Archive, answered: bool = answered) -> None:
            left = shown(archive)
            assert left in (uids(made), uids(made[3:]))
            assert not (answered and left == uids(made))

        restarted(tmp_path, database, look)
        with open_archive(tmp_path, database) as archive, contextlib.suppress(NotFound):
            archive.lifecycle.undelete(archive.who, study(made[0]))
            assert shown(archive) == uids(made)
    assert at > 5


def test_a_deletion_of_many_parts_killed_between_two_has_no_effect(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstones, "_GRAVES", 1)
    with open_archive(tmp_path, database) as archive:
        made = fill(archive)
        journal = tmp_path / "blobs" / "j"
    at, seen = 0, set()
    while True:
        at += 1
        before = len(list(journal.glob("*/*.vnb")))
        files = FaultyFiles()
        with dying(tmp_path, database, files, "killed after", at) as archive:
            archive.lifecycle.delete(archive.who, study(made[0]))
        parts = len(list(journal.glob("*/*.vnb"))) - before
        if not files.struck:
            break
        seen.add(parts)
        expected = uids(made[3:]) if parts == 3 else uids(made)

        def look(archive: Archive, expected: set[str] = expected) -> None:
            assert shown(archive) == expected

        restarted(tmp_path, database, look)
        if parts == 3:
            with open_archive(tmp_path, database) as archive:
                archive.lifecycle.undelete(archive.who, study(made[0]))
    assert seen == {0, 1, 2, 3}


@pytest.fixture
def refusing(database: Database) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """A database that refuses to insert into a table, as one whose disk is full does."""

    @contextlib.contextmanager
    def refuse(table: str) -> Iterator[None]:
        with database.transaction() as tx:
            tx.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$"
            )
            tx.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {table} "  # type: ignore[call-overload]
                "FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        yield
        with database.transaction() as tx:
            tx.execute("DROP FUNCTION refuse CASCADE")

    return refuse


def test_a_deletion_the_index_cannot_take_takes_effect_later(
    archive: Archive, refusing: Callable[[str], contextlib.AbstractContextManager[None]]
) -> None:
    made = fill(archive)
    with refusing("deletion"):
        with pytest.raises(Unavailable, match="written down"):
            archive.lifecycle.delete(archive.who, study(made[0]))
        assert shown(archive) == uids(made)
        with pytest.raises(Unavailable):
            archive.lifecycle.catch_up(older_s=0)
    assert archive.lifecycle.catch_up(older_s=3600) == 0
    assert archive.lifecycle.catch_up(older_s=0) == 1
    assert shown(archive) == uids(made[3:])
    assert archive.lifecycle.catch_up(older_s=0) == 0


def test_a_deletion_the_index_never_took_is_done_by_a_rebuild(
    archive: Archive, refusing: Callable[[str], contextlib.AbstractContextManager[None]]
) -> None:
    made = fill(archive)
    with refusing("deletion"), pytest.raises(Unavailable):
        archive.lifecycle.delete(archive.who, study(made[0]))
    archive.recovery.reindex()
    assert shown(archive) == uids(made[3:])
    assert archive.lifecycle.catch_up(older_s=0) == 0


def test_an_undoing_the_index_cannot_take_takes_effect_later(
    archive: Archive, refusing: Callable[[str], contextlib.AbstractContextManager[None]]
) -> None:
    made = fill(archive)
    before = dump(archive.database)
    archive.lifecycle.delete(archive.who, study(made[0]))
    with refusing("instance"):
        with pytest.raises(Unavailable, match="written down"):
            archive.lifecycle.undelete(archive.who, study(made[0]))
        assert shown(archive) == uids(made[3:])
        assert archive.recovery.adopt(older_s=0).indexed == 0
    assert archive.lifecycle.catch_up(older_s=0) == 1
    assert shown(archive) == uids(made)
    after = dump(archive.database)
    assert after["instance"] == before["instance"]
    assert after["study"] == before["study"]


def test_an_undoing_of_many_pieces_stopped_between_two_goes_on(
    archive: Archive,
    refusing: Callable[[str], contextlib.AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vna.operate.lifecycle._BATCH", 1)
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    with refusing("journal_entry"), pytest.raises(Unavailable):
        archive.lifecycle.undelete(archive.who, study(made[0]))
    assert shown(archive) == uids([made[0], made[1], made[3]])
    archive.lifecycle.catch_up(older_s=0)
    assert shown(archive) == uids(made)


@pytest.mark.parametrize("fault", [*KILLS, "eio"])
def test_a_purge_stopped_at_any_file_operation_goes_on(
    tmp_path: Path, database: Database, fault: str
) -> None:
    at, struck = 0, True
    while struck:
        at += 1
        with open_archive(tmp_path, database) as archive:
            made = fill(archive)
            deletion = archive.lifecycle.delete(archive.who, study(made[0]))
            expire(archive)
        files = Removing()
        with (
            contextlib.suppress(Unavailable),
            dying(tmp_path, database, files, fault, at) as dead,
        ):
            purge(dead).run()
        struck = files.struck
        with open_archive(tmp_path, database) as archive:
            with pytest.raises((Gone, NotFound)):
                archive.lifecycle.undelete(archive.who, study(made[0]))
            archive.recovery.adopt(older_s=0)
            assert shown(archive) == uids(made[3:])
            purge(archive).run()
            left = set(archive.store.blob_ids())
            assert left.isdisjoint({grave.blob_id for grave in deletion.graves})
            assert {grave.key_id for grave in deletion.graves}.isdisjoint(archive.store.keys.ids())
            for one in archive.retrieve.instances(archive.who, study(made[3])):
                archive.store.reader(one.blob_id).verify()
    assert at > 3
