"""Labels: what they withhold from whom, in every search and retrieval, and that they are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.archive import Archive
from tests.factories import ct
from vna.access import labels as access_labels
from vna.access.policy import require_copies
from vna.access.principal import EVERYTHING, Action, Kind, Label, Principal, Scope
from vna.blobs.journal import Journal
from vna.dicom.matching import Query
from vna.dicom.refs import UID, InstanceRef, Level, Ref, SeriesRef, StudyRef, uid
from vna.errors import InvalidRequest, NotFound, NotPermitted, VNAError
from vna.ingest.outcome import Source, Stored
from vna.operate.commitment import Claim
from vna.query.keys import from_parameters

OPEN, SECRET = ct(1, 1, 1), ct(2, 1, 1)
STUDY = uid(SECRET.study)
WHY = "a colleague of ours"
LOOKING = frozenset({Action.QUERY, Action.RETRIEVE, Action.STORE, Action.COMMIT, Action.DELETE})


def reader(*clearances: Label, scope: Scope = EVERYTHING) -> Principal:
    return Principal(
        kind=Kind.PERSON,
        name="reader",
        actions=LOOKING,
        scope=scope,
        clearances=frozenset(clearances),
    )


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed by this test is seen by its next line."""
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)


@pytest.fixture
def two(archive: Archive) -> Archive:
    for one in (OPEN, SECRET):
        archive.take(one.part10())
    return archive


def query(level: Level) -> Query:
    return from_parameters(level, [("limit", "50")], most=50).query


def seen(archive: Archive, who: Principal, level: Level = Level.STUDY) -> set[str | None]:
    rows = archive.query.find(archive.people.labels.narrowed(who), query(level)).rows
    return {row.study for row in rows}


def put(archive: Archive, label: Label, **more: dt.datetime) -> None:
    archive.labels.put(archive.who, STUDY, label, reason=WHY, **more)


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_a_labelled_study_is_found_by_who_is_cleared_and_nobody_else(
    two: Archive, level: Level
) -> None:
    put(two, Label.SENSITIVE)
    assert seen(two, reader(), level) == {OPEN.study}
    assert seen(two, reader(Label.DISPUTED, Label.EMBARGOED), level) == {OPEN.study}
    assert seen(two, reader(Label.SENSITIVE), level) == {OPEN.study, SECRET.study}


def test_a_patient_with_no_other_study_is_not_found_either(two: Archive) -> None:
    put(two, Label.SENSITIVE)
    patients = list(two.query.find(two.people.labels.narrowed(reader()), query(Level.PATIENT)).rows)
    assert len(patients) == 1


@pytest.mark.parametrize(
    "ref",
    [
        StudyRef(STUDY),
        SeriesRef(STUDY, uid(SECRET.series)),
        InstanceRef(STUDY, uid(SECRET.series), uid(SECRET.instance)),
    ],
    ids=["study", "series", "instance"],
)
def test_what_is_withheld_looks_like_what_is_not_there(two: Archive, ref: Ref) -> None:
    put(two, Label.DISPUTED)
    who = two.people.labels.narrowed(reader())
    with pytest.raises(NotFound) as withheld:
        two.retrieve.instances(who, ref)
    with pytest.raises(NotFound) as absent:
        two.retrieve.instances(who, StudyRef(UID("9.9")))
    assert str(withheld.value) == str(absent.value)
    assert two.retrieve.instances(two.people.labels.narrowed(reader(Label.DISPUTED)), ref)
    assert not two.lifecycle.is_gone(who, ref)


def test_a_label_cuts_what_was_granted_too(two: Archive) -> None:
    granted = Scope(studies=frozenset({STUDY}), series=frozenset({SeriesRef(STUDY, UID("1.5"))}))
    put(two, Label.SENSITIVE)
    assert seen(two, reader(scope=granted)) == set()
    assert seen(two, reader(Label.SENSITIVE, scope=granted)) == {SECRET.study}


def test_what_belongs_to_a_labelled_study_still_comes_in_and_is_committed(two: Archive) -> None:
    put(two, Label.SENSITIVE)
    modality = two.people.labels.narrowed(reader())
    more = ct(2, 1, 2)
    receiving = two.ingest.receive(modality, Source(proto="stow"))
    receiving.feed(more.part10())
    assert isinstance(receiving.finish(), Stored)
    claim = Claim(instance=uid(more.instance), sop_class=uid(more.sop_class))
    assert [type(v).__name__ for v in two.commitment.check(modality, [claim])] == ["Committed"]
    with pytest.raises(NotFound):
        two.lifecycle.delete(modality, StudyRef(STUDY))


def test_an_embargo_ends_by_itself(two: Archive) -> None:
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    put(two, Label.EMBARGOED, until=end)
    assert seen(two, reader()) == {OPEN.study}
    with two.database.transaction() as tx:
        tx.execute("UPDATE study_label SET until = now() - interval '1 second'")
    assert seen(two, reader()) == {OPEN.study, SECRET.study}


def test_an_embargo_that_ends_while_nothing_is_changed_is_noticed(
    two: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = two.people.labels
    put(two, Label.EMBARGOED, until=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.3))
    assert known.withheld(frozenset()) == {STUDY}
    with two.database.reading() as conn:
        conn.execute("SELECT pg_sleep(0.35)")
    assert known.withheld(frozenset()) == frozenset()


def test_a_label_that_is_taken_away_withholds_nothing(two: Archive) -> None:
    put(two, Label.SENSITIVE)
    assert seen(two, reader()) == {OPEN.study}
    two.labels.take(two.who, STUDY, Label.SENSITIVE)
    assert seen(two, reader()) == {OPEN.study, SECRET.study}
    with pytest.raises(NotFound):
        two.labels.take(two.who, STUDY, Label.SENSITIVE)


def test_labels_outlive_the_database(two: Archive) -> None:
    put(two, Label.SENSITIVE)
    put(two, Label.DISPUTED)
    put(two, Label.EMBARGOED, until=dt.datetime(2999, 1, 1, tzinfo=dt.UTC))
    two.labels.take(two.who, STUDY, Label.DISPUTED)
    before = two.labels.of(two.who)
    with two.database.transaction() as tx:
        tx.execute("TRUNCATE study_label, journal_entry")
    assert two.labels.of(two.who) == []
    two.recovery.reindex()
    kept = [(one.study, one.label, one.until, one.reason, one.by) for one in two.labels.of(two.who)]
    assert sorted(kept, key=str) == sorted(
        ((one.study, one.label, one.until, one.reason, one.by) for one in before), key=str
    )
    assert seen(two, reader()) == {OPEN.study}


@contextmanager
def a_database_that_takes_no_label(archive: Archive) -> Iterator[None]:
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE study_label ADD CONSTRAINT away CHECK (false) NOT VALID")
    yield
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE study_label DROP CONSTRAINT away")


def test_a_label_that_was_written_down_withholds_though_a_crash_kept_it_from_the_index(
    two: Archive,
) -> None:
    with a_database_that_takes_no_label(two), pytest.raises(VNAError):
        put(two, Label.SENSITIVE)
    assert SECRET.study in seen(two, reader())
    assert two.labels.catch_up(older_s=3600.0) == 0  # it may be under way
    assert two.labels.catch_up(older_s=0.0) == 1
    assert seen(two, reader()) == {OPEN.study}
    assert [one.by for one in two.labels.of(two.who)] == [two.who.name]
    assert two.labels.catch_up(older_s=0.0) == 0


def test_what_was_said_of_a_label_later_counts(two: Archive) -> None:
    with a_database_that_takes_no_label(two), pytest.raises(VNAError):
        put(two, Label.SENSITIVE)
    put(two, Label.SENSITIVE)
    two.labels.take(two.who, STUDY, Label.SENSITIVE)
    assert two.labels.catch_up(older_s=0.0) == 1
    assert two.labels.of(two.who) == []
    assert two.labels.catch_up(older_s=0.0) == 0


def test_of_two_who_change_a_label_at_once_the_rebuilt_index_believes_the_same(
    two: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has written down that it is set, and another one takes it away before it is in effect."""
    put(two, Label.SENSITIVE)
    taking: list[Future[None]] = []

    def append(journal: Journal, *given: Any) -> bytes:
        entry = usual(journal, *given)
        monkeypatch.setattr(Journal, "append", usual)
        taking.append(pool.submit(two.labels.take, two.who, STUDY, Label.SENSITIVE))
        while not taking[0].done() and not waits(two):
            pass
        return entry

    usual = Journal.append
    monkeypatch.setattr(Journal, "append", append)
    with ThreadPoolExecutor(1) as pool:
        put(two, Label.SENSITIVE)
        taking[0].result()
    before = two.labels.of(two.who, STUDY)
    two.recovery.reindex()
    assert two.labels.of(two.who, STUDY) == before


def waits(archive: Archive) -> bool:
    """Whether some transaction of this archive waits for another's lock."""
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database())"
        ).fetchone()
    return bool(row and row[0])


def test_labels_are_written_down_and_asked_for(two: Archive) -> None:
    put(two, Label.SENSITIVE)
    with two.database.reading() as conn:
        rows = conn.execute("SELECT kind, study FROM audit WHERE kind LIKE 'label%'").fetchall()
    assert rows == [("label.set", SECRET.study)]
    for act in (
        lambda: two.labels.put(reader(), STUDY, Label.SENSITIVE, reason=WHY),
        lambda: two.labels.take(reader(), STUDY, Label.SENSITIVE),
        lambda: two.labels.of(reader()),
    ):
        with pytest.raises(NotPermitted):
            act()


@pytest.mark.parametrize(
    ("label", "reason", "until"),
    [
        (Label.SENSITIVE, "", None),
        (Label.SENSITIVE, "x" * 201, None),
        (Label.EMBARGOED, WHY, None),
        (Label.SENSITIVE, WHY, dt.datetime(2999, 1, 1, tzinfo=dt.UTC)),
        (Label.EMBARGOED, WHY, dt.datetime(2001, 1, 1, tzinfo=dt.UTC)),
    ],
)
def test_a_label_that_says_nothing_is_refused(
    archive: Archive, label: Label, reason: str, until: dt.datetime | None
) -> None:
    with pytest.raises(InvalidRequest):
        archive.labels.put(archive.who, STUDY, label, reason=reason, until=until)
    assert archive.labels.of(archive.who) == []


def test_what_is_lent_is_seen_and_not_copied_or_deleted(two: Archive) -> None:
    put(two, Label.SENSITIVE)
    plain = two.people.labels.narrowed(reader())
    lent = replace(plain, scope=replace(plain.scope, lent=frozenset({STUDY})))
    rows = two.query.find(lent, query(Level.STUDY)).rows
    assert {row.study for row in rows} == {OPEN.study, SECRET.study}
    assert two.retrieve.instances(lent, StudyRef(STUDY))
    assert list(two.retrieve.metadata(lent, StudyRef(STUDY)))
    with pytest.raises(NotFound):
        two.lifecycle.delete(lent, StudyRef(STUDY))
    with pytest.raises(NotPermitted):
        two.retrieve.package(lent, StudyRef(STUDY), directory=False)
    require_copies(lent, StudyRef(uid(OPEN.study)))


def many(count: int) -> Iterable[UID]:
    return (UID(f"1.2.3.{n}") for n in range(count))


def test_thousands_of_labels_are_withheld_at_once(two: Archive) -> None:
    with two.database.transaction() as tx:
        tx.execute(
            "INSERT INTO study_label (study_uid, label, reason, set_by)"
            " SELECT u, 'sensitive', 'why', 'test' FROM unnest(%s::text[]) AS u",
            ([*many(5000), STUDY],),
        )
    assert len(two.people.labels.withheld(frozenset())) == 5001
    assert seen(two, reader()) == {OPEN.study}
