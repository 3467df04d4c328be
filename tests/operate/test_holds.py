"""Holds: nothing of a held study is deleted, nor destroyed once deleted, and holds are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.archive import Archive
from tests.factories import Instance
from tests.operate.test_labels import waits
from tests.operate.test_lifecycle import expire, fill, instance, purge, series, shown, study, uids
from vna.access.principal import EVERYTHING, Action, Kind, Principal
from vna.blobs.journal import Journal
from vna.dicom.refs import UID, Ref, StudyRef
from vna.errors import Conflict, Gone, InvalidRequest, NotFound, NotPermitted, VNAError

WHY = "an inquiry"


def hold(archive: Archive, ref: Ref, until: dt.datetime | None = None) -> int:
    return archive.holds.put(archive.who, ref.study, reason=WHY, until=until)


def made_study(made: list[Instance]) -> UID:
    return study(made[0]).study


def ahead(**by: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(**by)


@pytest.mark.parametrize("of", [study, series, instance])
def test_nothing_of_a_held_study_is_deleted(archive: Archive, of: Any) -> None:
    made = fill(archive)
    assert hold(archive, study(made[0])) == 0
    with pytest.raises(Conflict, match="held"):
        archive.lifecycle.delete(archive.who, of(made[0]))
    assert shown(archive) == uids(made)
    assert not archive.lifecycle.is_gone(archive.who, of(made[0]))
    archive.lifecycle.delete(archive.who, study(made[4]))
    assert archive.holds.take(archive.who, made_study(made), reason=WHY) == 0
    archive.lifecycle.delete(archive.who, of(made[0]))
    assert shown(archive) < uids(made[:4])


def test_what_was_deleted_before_is_not_destroyed_and_can_come_back(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    archive.lifecycle.delete(archive.who, study(made[4]))
    assert hold(archive, study(made[0])) == 4
    expire(archive)
    assert purge(archive).run().blobs == 1  # of the other study
    assert [one.ref for one in archive.lifecycle.deletions(archive.who)] == [study(made[0])]
    assert archive.lifecycle.places_of(archive.who, made_study(made), gone=True)
    assert archive.lifecycle.undelete(archive.who, study(made[0])).blobs == 4
    assert shown(archive) == uids(made[:4])


def test_what_is_let_go_ends_when_its_time_is_over(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, study(made[0]))
    hold(archive, study(made[0]))
    expire(archive)
    assert purge(archive).run().blobs == 0
    assert archive.holds.take(archive.who, made_study(made), reason=WHY) == 4
    assert purge(archive).run().blobs == 4
    with pytest.raises(Gone):
        archive.lifecycle.undelete(archive.who, study(made[0]))


def test_a_hold_ends_by_itself(archive: Archive) -> None:
    made = fill(archive)
    hold(archive, study(made[0]), ahead(days=1))
    with pytest.raises(Conflict):
        archive.lifecycle.delete(archive.who, study(made[0]))
    with archive.database.transaction() as tx:
        tx.execute("UPDATE study_hold SET until = now() - interval '1 s'")
    archive.lifecycle.delete(archive.who, study(made[0]))
    expire(archive)
    assert purge(archive).run().blobs == 4


def test_a_study_is_held_before_it_comes_and_anew(archive: Archive) -> None:
    hold(archive, StudyRef(UID("2.25.4711")))
    again = ahead(days=3)
    archive.holds.put(archive.who, UID("2.25.4711"), reason="a  longer\none", until=again)
    (found,) = archive.holds.of(archive.who, UID("2.25.4711"))
    assert (found.reason, found.until, found.by) == ("a longer one", again, archive.who.name)
    assert archive.holds.of(archive.who) == [found]
    assert archive.holds.of(archive.who, UID("2.25.4712")) == []


def test_holds_outlive_the_database(archive: Archive) -> None:
    made = fill(archive)
    archive.lifecycle.delete(archive.who, series(made[0]))
    hold(archive, study(made[0]), dt.datetime(2999, 1, 1, tzinfo=dt.UTC))
    hold(archive, study(made[4]))
    archive.holds.take(archive.who, study(made[4]).study, reason=WHY)
    before = archive.holds.of(archive.who)
    with archive.database.transaction() as tx:
        tx.execute("TRUNCATE study_hold, journal_entry")
    archive.recovery.reindex()
    assert archive.holds.of(archive.who) == before
    expire(archive)
    assert purge(archive).run().blobs == 0
    with pytest.raises(Conflict):
        archive.lifecycle.delete(archive.who, study(made[0]))


@contextmanager
def a_database_that_takes_no_hold(archive: Archive) -> Iterator[None]:
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE study_hold ADD CONSTRAINT away CHECK (false) NOT VALID")
    yield
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE study_hold DROP CONSTRAINT away")


def test_a_hold_that_was_written_down_holds_though_a_crash_kept_it_from_the_index(
    archive: Archive,
) -> None:
    made = fill(archive)
    with a_database_that_takes_no_hold(archive), pytest.raises(VNAError):
        hold(archive, study(made[0]))
    assert archive.holds.catch_up(older_s=3600.0) == 0  # it may be under way
    assert archive.holds.catch_up(older_s=0.0) == 1
    with pytest.raises(Conflict):
        archive.lifecycle.delete(archive.who, study(made[0]))
    assert archive.holds.catch_up(older_s=0.0) == 0
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT kind, principal FROM audit WHERE kind LIKE 'hold%'").fetchall()
    assert rows == [("hold.set", f"recovery for {archive.who.name}")]


def test_of_a_hold_and_a_deletion_at_once_one_comes_first(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion has looked, and writes down what it deletes: who holds it now waits for that."""
    made = fill(archive)
    usual, held = Journal.append, []

    def append(journal: Journal, *given: Any) -> bytes:
        monkeypatch.setattr(Journal, "append", usual)
        held.append(pool.submit(hold, archive, study(made[0])))
        while not held[0].done() and not waits(archive):
            pass
        assert not held[0].done()
        return usual(journal, *given)

    monkeypatch.setattr(Journal, "append", append)
    with ThreadPoolExecutor(1) as pool:
        archive.lifecycle.delete(archive.who, study(made[0]))
        held[0].result()
    expire(archive)
    assert purge(archive).run().blobs == 0
    assert archive.lifecycle.undelete(archive.who, study(made[0])).blobs == 4


def test_who_may_not_hold_is_refused_and_who_may_delete_is_not_who_lets_go(
    archive: Archive,
) -> None:
    made = fill(archive)
    hold(archive, study(made[0]))
    deleter = Principal(
        kind=Kind.PERSON, name="d", actions=frozenset({Action.DELETE}), scope=EVERYTHING
    )
    ref = made_study(made)
    for act in (
        lambda: archive.holds.put(deleter, ref, reason=WHY),
        lambda: archive.holds.take(deleter, ref, reason=WHY),
        lambda: archive.holds.of(deleter),
    ):
        with pytest.raises(NotPermitted):
            act()
    with pytest.raises(Conflict):
        archive.lifecycle.delete(deleter, study(made[0]))


def test_a_hold_that_says_nothing_is_refused(archive: Archive) -> None:
    ref = UID("1.2.3")
    for reason in (" ", "x" * 201):
        with pytest.raises(InvalidRequest):
            archive.holds.put(archive.who, ref, reason=reason)
    with pytest.raises(InvalidRequest):
        archive.holds.put(archive.who, ref, reason=WHY, until=ahead(days=-1))
    with pytest.raises(NotFound):
        archive.holds.take(archive.who, ref, reason=WHY)
    archive.holds.put(archive.who, ref, reason="x" * 200)
    with pytest.raises(InvalidRequest):
        archive.holds.take(archive.who, ref, reason="")
