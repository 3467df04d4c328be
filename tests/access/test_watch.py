"""Who opens unusually many studies is told of: people alone, once a day, without a name by mail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from vna.access.audit import Event
from vna.access.principal import Kind, Principal, developer
from vna.db.pool import Database

MOST = 3
CAROL = replace(developer("carol"), kind=Kind.PERSON)


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    access = {"studies_an_hour": MOST, "privacy_mail": "privacy@example.org"}
    with open_archive(tmp_path, database, access=access) as found:
        yield found


def opened(archive: Archive, who: Principal, count: int, kind: str = "read", of: int = 1) -> None:
    """Write down that somebody opened studies, each twice."""
    events = [
        Event(kind=kind, outcome="done", study=f"1.{of}.{number}")
        for number in range(count)
        for _ in range(2)
    ]
    with archive.database.transaction() as tx:
        archive.audit.write(tx, who, events)


def told(archive: Archive) -> list[tuple[str, int]]:
    with archive.database.reading() as conn:
        return conn.execute(
            "SELECT detail ->> 'principal', (detail -> 'studies')::int FROM audit"
            " WHERE kind = 'opened.many' ORDER BY id"
        ).fetchall()


def mails(archive: Archive) -> int:
    with archive.database.reading() as conn:
        row = conn.execute("SELECT count(*) FROM message WHERE template = 'many'").fetchone()
    return int(row[0]) if row else -1


def test_one_more_than_the_limit_is_told_once(archive: Archive) -> None:
    watch = archive.watch
    opened(archive, CAROL, MOST)
    assert watch.look() == 0
    opened(archive, CAROL, MOST + 1)
    assert watch.look() == 1
    assert told(archive) == [("carol", MOST + 1)]
    opened(archive, CAROL, MOST + 1, of=2)
    assert watch.look() == 0
    assert (len(told(archive)), mails(archive)) == (1, 1)


def test_a_day_later_it_is_told_again(archive: Archive) -> None:
    opened(archive, CAROL, MOST + 1)
    archive.watch.look()
    archive.watch.sweep()
    assert archive.watch.look() == 0
    with archive.database.transaction() as tx:
        tx.execute("UPDATE watched SET told_at = told_at - interval '25 hours'")
    assert archive.watch.look() == 1
    with archive.database.transaction() as tx:
        tx.execute("UPDATE watched SET told_at = told_at - interval '25 hours'")
    archive.watch.sweep()
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM watched").fetchone() == (0,)


@pytest.mark.parametrize("kind", ["sent", "export", "share.made"])
def test_what_is_given_on_counts_too(archive: Archive, kind: str) -> None:
    opened(archive, CAROL, MOST + 1, kind)
    assert archive.watch.look() == 1


def test_an_emergency_counts_for_whose_it_is(archive: Archive) -> None:
    opened(archive, CAROL, 2)
    opened(archive, replace(CAROL, name="carol#for-7"), 2, of=2)
    assert archive.watch.look() == 1
    assert told(archive) == [("carol", 4)]


@pytest.mark.parametrize("kind", [Kind.AE, Kind.SERVICE, Kind.SYSTEM, Kind.SHARE])
def test_programs_and_modalities_open_as_many_as_they_like(archive: Archive, kind: Kind) -> None:
    opened(archive, replace(CAROL, kind=kind), MOST + 1)
    opened(archive, CAROL, MOST + 1, "query")
    assert archive.watch.look() == 0


def test_what_two_people_open_is_not_added_up(archive: Archive) -> None:
    for name in ("carol", "dave"):
        opened(archive, replace(CAROL, name=name), MOST)
    assert archive.watch.look() == 0


def test_two_processes_tell_of_it_once(archive: Archive) -> None:
    opened(archive, CAROL, MOST + 1)
    start = threading.Barrier(4)
    counts: list[int] = []

    def look() -> None:
        start.wait(10)
        counts.append(archive.watch.look())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert sorted(counts) == [0, 0, 0, 1]
    assert (len(told(archive)), mails(archive)) == (1, 1)


def test_the_mail_does_not_say_who_it_was(archive: Archive) -> None:
    opened(archive, CAROL, MOST + 1)
    archive.watch.look()
    with archive.database.reading() as conn:
        (row,) = conn.execute("SELECT row_to_json(message)::text FROM message").fetchall()
    assert "carol" not in row[0]


def test_nobody_is_told_where_nobody_asked(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, access={"studies_an_hour": 0}) as archive:
        opened(archive, CAROL, 50)
        assert archive.watch.look() == 0
    with open_archive(tmp_path, database, access={"studies_an_hour": MOST}) as archive:
        assert archive.watch.look() == 1
        assert mails(archive) == 0
