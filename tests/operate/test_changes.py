"""The feed tells every change once, in one order, however transactions overlap."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import factories
from tests.archive import Archive
from vna.access.audit import Event
from vna.access.principal import Action, Scope
from vna.db.pool import Connection
from vna.dicom.refs import InstanceRef, SeriesRef, StudyRef, uid
from vna.errors import Gone, NotPermitted
from vna.index import feed
from vna.ingest.engine import IngestEngine
from vna.ingest.outcome import Stored
from vna.operate.changes import Page


def read(archive: Archive, after: int = 0, limit: int = 1000, feed_id: str | None = None) -> Page:
    return archive.changes.read(archive.who, after=after, limit=limit, feed_id=feed_id)


def told(archive: Archive, after: int = 0) -> list[tuple[str, str]]:
    """Action and the UID of what it happened to."""
    return [
        (change.action, str(list(dataclasses.astuple(change.ref))[-1]))
        for change in read(archive, after).changes
    ]


def note(archive: Archive, tx: Connection, number: int) -> None:
    """What an ingest does, as far as the feed is concerned: a change, then its audit row."""
    tx.execute("INSERT INTO modality VALUES (%s)", [f"M{number}"])
    made = factories.ct(number)
    about = {"study": made.study, "series": made.series, "instance": made.instance}
    archive.audit.write(tx, archive.who, [Event(kind="instance.stored", outcome="stored", **about)])


def test_each_sort_of_change_is_told(archive: Archive) -> None:
    first = factories.ct()
    archive.take(first.part10())
    archive.take(first.part10())
    archive.take(dataclasses.replace(first, patient_name="Other^Name").part10())
    elsewhere = dataclasses.replace(first, study=factories.uid(9), series=factories.uid(9, 1))
    archive.take(elsewhere.part10())
    ref = InstanceRef(uid(first.study), uid(first.series), uid(first.instance))
    archive.lifecycle.delete(archive.who, ref)
    archive.lifecycle.undelete(archive.who, StudyRef(ref.study))
    archive.lifecycle.delete(archive.who, SeriesRef(ref.study, ref.series))
    assert told(archive) == [
        ("stored", first.instance),
        ("version", first.instance),
        ("version", first.instance),
        ("deleted", first.instance),
        ("updated", first.instance),
        ("undeleted", first.study),
        ("version", first.instance),
        ("deleted", first.series),
        ("updated", first.instance),
    ]


def test_other_content_that_is_shown_now_is_an_update(archive: Archive) -> None:
    settings = dataclasses.replace(
        archive.settings,
        versions=dataclasses.replace(archive.settings.versions, policy="newest"),
    )
    changed = IngestEngine(
        store=archive.store,
        database=archive.database,
        audit=archive.audit,
        settings=settings,
        pixels=archive.ingest._pixels,
        router=archive.ingest._router,
    )
    archive = dataclasses.replace(archive, ingest=changed)
    first = factories.ct()
    archive.take(first.part10())
    archive.take(dataclasses.replace(first, patient_name="Other^Name").part10())
    assert [action for action, _ in told(archive)] == ["stored", "updated"]


def test_a_recovered_instance_is_told_as_stored(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    with archive.database.transaction() as tx:
        blobs = list(archive.store.blob_ids())
        tx.execute("SELECT forget_instances(%s)", [blobs])
    archive.recovery.adopt(older_s=0)
    assert told(archive) == [("stored", made.instance), ("stored", made.instance)]


def test_a_reader_goes_on_where_it_was(archive: Archive) -> None:
    for number in range(1, 8):
        archive.take(factories.ct(number).part10())
    first = read(archive, limit=3)
    assert [change.sequence for change in first.changes] == [1, 2, 3]
    assert (first.following, first.last, first.has_more) == (3, 7, True)
    second = read(archive, first.following, 3, first.feed)
    third = read(archive, second.following, 3, first.feed)
    assert [change.sequence for change in third.changes] == [7]
    assert not third.has_more
    empty = read(archive, third.following, 3, first.feed)
    assert (empty.changes, empty.following) == ((), 7)


def test_nothing_but_the_place_is_asked_for_with_no_limit(archive: Archive) -> None:
    archive.take(factories.ct().part10())
    page = read(archive, limit=0)
    assert (page.changes, page.following, page.last) == ((), 0, 1)


def test_what_commits_late_comes_later_and_is_not_missed(archive: Archive) -> None:
    seen: list[int] = []
    with archive.database.transaction() as early:
        note(archive, early, 1)
        for number in (2, 3):
            with archive.database.transaction() as tx:
                note(archive, tx, number)
            seen += [change.sequence for change in read(archive, len(seen)).changes]
        for _ in range(5):  # looking again and again settles nothing that is open
            assert read(archive, len(seen)).changes == ()
        with archive.database.reading() as conn:
            settled = conn.execute("SELECT settled_id FROM feed").fetchone()
        assert settled == (0,)
    page = read(archive, len(seen))
    assert [change.ref.study for change in page.changes] == [factories.uid(1)]
    for _ in range(3):
        assert read(archive, 3).changes == ()


def test_a_change_that_is_open_while_an_older_one_ends_is_not_passed_over(archive: Archive) -> None:
    """The end of a snapshot is no horizon: what is open may have a higher number."""
    with contextlib.ExitStack() as later, contextlib.ExitStack() as first:
        older = first.enter_context(archive.database.transaction())
        younger = later.enter_context(archive.database.transaction())
        older.execute("INSERT INTO modality VALUES ('A')")  # draws its number
        note(archive, younger, 2)  # draws the next one, and the id of an audit row
        with archive.database.transaction() as tx:
            assert feed.order(tx, most=10) == 0
        first.close()
        for _ in range(3):
            with archive.database.transaction() as tx:
                assert feed.order(tx, most=10) == 0
        later.close()
    assert [change.ref.study for change in read(archive).changes] == [factories.uid(2)]


def test_rows_are_not_looked_at_again_once_all_before_them_are_there(archive: Archive) -> None:
    for number in range(1, 5):
        with archive.database.transaction() as tx:
            note(archive, tx, number)
        read(archive)
    with archive.database.reading() as conn:
        settled, last = conn.execute(
            "SELECT settled_id, (SELECT max(id) FROM audit) FROM feed"
        ).fetchone() or (0, 0)
    assert settled >= last - 1


def test_a_transaction_that_is_undone_leaves_no_gap(archive: Archive) -> None:
    with archive.database.transaction() as tx:
        note(archive, tx, 1)
        tx.rollback()
    archive.take(factories.ct(2).part10())
    assert [change.sequence for change in read(archive).changes] == [1]


def test_a_restored_cluster_that_counts_transactions_anew_is_followed(archive: Archive) -> None:
    archive.take(factories.ct(1).part10())
    read(archive)
    with archive.database.transaction() as tx:
        tx.execute("UPDATE feed SET pending_xid = '9000000000000', pending_id = 5, settled_id = 0")
    for number in range(2, 6):
        archive.take(factories.ct(number).part10())
        assert len(read(archive).changes) == number
    with archive.database.reading() as conn:
        xid = conn.execute("SELECT pending_xid::text::bigint FROM feed").fetchone() or (0,)
    assert xid[0] < 9000000000000


def test_more_than_is_ordered_at_once_is_told_all_the_same(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vna.operate.changes._ORDERED", 3)
    for number in range(1, 11):
        with archive.database.transaction() as tx:
            note(archive, tx, number)
    monkeypatch.setattr("vna.operate.changes._ORDER_S", 0.0)
    seen: list[int] = []
    while len(seen) < 10:
        page = read(archive, len(seen))
        assert page.changes
        assert page.has_more == (page.changes[-1].sequence < 10)
        seen += [change.sequence for change in page.changes]
    assert seen == list(range(1, 11))


def test_the_upkeep_keeps_up_once_the_feed_is_in_use(archive: Archive) -> None:
    def ordered() -> int:
        with archive.database.reading() as conn:
            return feed.state(conn)[1]

    archive.take(factories.ct(1).part10())
    archive.changes.keep_up()
    assert ordered() == 0
    read(archive)
    archive.take(factories.ct(2).part10())
    archive.changes.keep_up()
    assert ordered() == 2


def test_followers_of_many_writers_miss_nothing_and_agree(archive: Archive) -> None:
    stop = threading.Event()
    stored: list[str] = []

    def write(number: int) -> None:
        for count in range(20):
            made = factories.ct(number, 1, count + 1)
            assert isinstance(archive.take(made.part10()), Stored)
            stored.append(made.instance)

    def follow(seen: list[str]) -> None:
        after = 0
        is_over = False
        while not is_over:
            is_over = stop.is_set()
            page = read(archive, after, 7)
            while page.changes:
                seen += [
                    str(c.ref.instance) for c in page.changes if isinstance(c.ref, InstanceRef)
                ]
                page = read(archive, page.following, 7)
            after = page.following

    followers: list[list[str]] = [[], []]
    with ThreadPoolExecutor(6) as pool:  # what goes wrong in a thread is told, not taken for a gap
        readers = [pool.submit(follow, seen) for seen in followers]
        try:
            for writer in [pool.submit(write, n) for n in range(1, 5)]:
                writer.result()
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert followers[0] == followers[1]
    assert sorted(followers[0]) == sorted(stored)


def test_an_index_that_was_rebuilt_has_a_new_feed(archive: Archive) -> None:
    archive.take(factories.ct(1).part10())
    before = read(archive)
    archive.recovery.reindex()
    with pytest.raises(Gone):
        read(archive, before.following, feed_id=before.feed)
    with pytest.raises(Gone):
        read(archive, before.following)
    archive.take(factories.ct(2).part10())
    page = read(archive)
    assert page.feed != before.feed
    assert [change.ref.study for change in page.changes] == [factories.uid(2)]


def test_a_place_behind_the_end_is_not_one_of_this_feed(archive: Archive) -> None:
    with pytest.raises(Gone):
        read(archive, 5)


def test_a_scope_sees_its_own_changes_and_the_place_goes_on(archive: Archive) -> None:
    for number in range(1, 4):
        archive.take(factories.ct(number).part10())
    scope = Scope(studies=frozenset([uid(factories.uid(2))]))
    who = dataclasses.replace(archive.who, scope=scope)
    page = archive.changes.read(who, after=0, limit=2, feed_id=None)
    assert [change.sequence for change in page.changes] == [2]
    assert page.following == 2
    page = archive.changes.read(who, after=2, limit=2, feed_id=None)
    assert (page.changes, page.following) == ((), 3)
    nobody = dataclasses.replace(who, actions=frozenset([Action.STORE]))
    with pytest.raises(NotPermitted):
        archive.changes.read(nobody, after=0, limit=1, feed_id=None)


def test_every_kind_of_the_feed_is_a_kind_of_change() -> None:
    assert set(feed.ACTIONS.values()) == {"stored", "version", "updated", "deleted", "undeleted"}
    assert feed.SHARE_ACTS.isdisjoint(feed.ACTIONS)
