"""Search against the plain evaluation of PS3.4 C.2.2.2, in full, in pages and under scopes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import TestPostgres
from tests.index.catalogues import catalogue, entities, expected, question
from tests.index.samples import registration, store
from vna.db.pool import Database
from vna.dicom.matching import (
    Condition,
    DateRange,
    MatchingKey,
    Query,
    Single,
    Wildcard,
)
from vna.dicom.refs import Level, SeriesRef, Within, uid
from vna.index.pages import Bookmarks, snapshot_of
from vna.index.register import Registration, clear
from vna.index.search import Cursor, Row, count, names_one, search, unsupported

SEEDS = st.integers(0, 2**32)
# a seed makes the catalogue: hypothesis cannot make a smaller one of it
OPTIONS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
}


@pytest.fixture
def other(postgres: TestPostgres) -> Iterator[Database]:
    """A second archive."""
    dsn = postgres.clone()
    database = Database(dsn, schema="vna")
    yield database
    database.close()
    postgres.drop(dsn)


def fill(database: Database, items: Sequence[Registration]) -> None:
    with database.transaction() as tx:
        clear(tx)
    store(database, items)


def find(database: Database, query: Query, within: Within | None = None) -> list[Row]:
    with database.reading() as conn:
        return search(conn, query, within=within, limit=1000)


def uids(row: Row) -> tuple[str, ...]:
    return tuple(uid for uid in (row.study, row.series, row.instance) if uid is not None)


@settings(max_examples=12, **OPTIONS)
@given(seed=SEEDS)
def test_search_finds_what_the_standard_says(database: Database, seed: int) -> None:
    rng = Random(seed)
    items = catalogue(rng)
    fill(database, items)

    for query in [question(rng) for _ in range(20)]:
        found = find(database, query)
        if query.level is Level.PATIENT:
            names = {e.uids: e.attributes for e in entities(items, query.level)}
            wanted = [names[u] for u in expected(items, query)]
            assert sorted(map(repr, _sorted(found))) == sorted(map(repr, map(_tidy, wanted)))
        else:
            assert [uids(row) for row in found] == expected(items, query), query
        with database.reading() as conn:
            assert count(conn, query, within=None, most=1000) == len(found)


def _tidy(attributes: dict[str, object]) -> list[tuple[str, object]]:
    return sorted(attributes.items(), key=lambda pair: pair[0])


def _sorted(rows: Sequence[Row]) -> list[list[tuple[str, object]]]:
    return [_tidy(row.attributes) for row in rows]


@settings(max_examples=8, **OPTIONS)
@given(seed=SEEDS)
def test_answers_hold_the_attributes_of_the_first_instances(database: Database, seed: int) -> None:
    items = catalogue(Random(seed), mixed=True)
    fill(database, items)

    for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
        answers = {uids(row): _tidy(row.attributes) for row in find(database, Query(level=level))}
        assert answers == {e.uids: _tidy(e.attributes) for e in entities(items, level)}


def scope(rng: Random, items: Sequence[Registration]) -> Within:
    refs = [item.ref for item in items]
    series = [SeriesRef(ref.study, ref.series) for ref in refs]
    return Within(
        studies=frozenset(ref.study for ref in rng.choices(refs, k=rng.randint(0, 2))),
        series=frozenset(rng.choices(series, k=rng.randint(0, 2))),
        instances=frozenset(rng.choices(refs, k=rng.randint(0, 2))),
    )


@settings(max_examples=8, **OPTIONS)
@given(seed=SEEDS)
def test_a_scope_answers_as_an_archive_that_holds_nothing_else(
    database: Database, other: Database, seed: int
) -> None:
    rng = Random(seed)
    items = catalogue(rng, mixed=True)
    within = scope(rng, items)
    seen = [
        item
        for item in items
        if item.ref.study in within.studies
        or SeriesRef(item.ref.study, item.ref.series) in within.series
        or item.ref in within.instances
    ]
    fill(database, items)
    fill(other, seen)

    for query in [question(rng) for _ in range(10)]:
        inside, alone = find(database, query, within), find(other, query)
        if query.level is Level.PATIENT:
            assert sorted(map(repr, _sorted(inside))) == sorted(map(repr, _sorted(alone)))
        else:
            assert [uids(row) for row in inside] == [uids(row) for row in alone]
            assert _sorted(inside) == _sorted(alone)
        with database.reading() as conn:
            assert count(conn, query, within=within, most=1000) == len(alone)


@settings(max_examples=12, **OPTIONS)
@given(seed=SEEDS, size=st.integers(1, 4))
def test_pages_put_together_are_the_whole(database: Database, seed: int, size: int) -> None:
    rng = Random(seed)
    fill(database, catalogue(rng))

    for query in [question(rng) for _ in range(8)]:
        whole = find(database, query)
        bookmarks = Bookmarks()
        with database.reading() as conn:
            by_key: list[Row] = []
            while page := search(
                conn,
                query,
                within=None,
                limit=size,
                after=by_key[-1].cursor if by_key else None,
            ):
                by_key += page
            by_offset: list[Row] = []
            snapshot, after, offset = snapshot_of(conn), None, 0
            while page := search(conn, query, within=None, limit=size, after=after, offset=offset):
                by_offset += page
                read = len(by_offset)
                bookmarks.remember(query, None, read, page[-1].cursor, snapshot)
                after, offset = bookmarks.nearest(query, None, read, snapshot)
                assert offset == 0
            plain = search(conn, query, within=None, limit=size, offset=2)
        assert by_key == whole
        assert by_offset == whole
        assert plain == whole[2 : 2 + size]


def test_an_empty_scope_sees_nothing(database: Database) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1")])

    assert find(database, Query(level=Level.STUDY), Within()) == []
    with database.reading() as conn:
        assert count(conn, Query(level=Level.STUDY), within=Within(), most=9) == 0


def test_keys_that_are_not_indexed_are_named_and_ignored(database: Database) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1")])
    keys = (MatchingKey("00104000", Wildcard("x*")), MatchingKey("00080060", Single("CT")))
    query = Query(level=Level.STUDY, keys=keys)

    assert unsupported(query) == ("00104000", "00080060")
    assert len(find(database, query)) == 1


def test_a_count_ends_behind_its_limit(database: Database) -> None:
    store(database, [registration(n, "1.1", "1.2", f"1.3.{n}") for n in range(1, 8)])

    with database.reading() as conn:
        assert count(conn, Query(level=Level.IMAGE), within=None, most=3) == 4


def test_a_bookmark_is_forgotten_after_five_minutes() -> None:
    now = [0.0]
    marks = Bookmarks(clock=lambda: now[0])
    query = Query(level=Level.STUDY, keys=(MatchingKey("00080020", DateRange(None, dt.date.max)),))
    row = Row(None, None, None, {}, cursor := _cursor())
    marks.remember(query, None, 100, row.cursor, "7:7:")

    assert marks.nearest(query, None, 100, "7:7:") == (cursor, 0)
    assert marks.nearest(query, None, 100, "7:8:") == (None, 100)
    assert marks.nearest(query, None, 50, "7:7:") == (None, 50)
    assert marks.nearest(query, Within(), 100, "7:7:") == (None, 100)
    now[0] = 301.0
    assert marks.nearest(query, None, 100, "7:7:") == (None, 100)


def test_a_snapshot_changes_with_what_is_committed_and_only_then(database: Database) -> None:
    with database.reading() as conn:
        before = snapshot_of(conn)
        assert snapshot_of(conn) == before
        store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1")])
        assert snapshot_of(conn) != before


def _cursor() -> Cursor:
    return Cursor((dt.date(2024, 1, 1), 7))


@pytest.mark.parametrize(
    ("tag", "condition", "is_one"),
    [
        ("0020000D", Single("1.2.3"), True),
        ("00080018", Single("1.2.3"), True),
        ("00080050", Single("A1"), True),
        ("00080060", Single("CT"), False),
        ("00080050", Wildcard("A*"), False),
    ],
)
def test_a_search_that_names_one_thing_is_told_from_others(
    tag: str, condition: Condition, is_one: bool
) -> None:
    query = Query(level=Level.IMAGE, keys=(MatchingKey(tag, condition),))
    assert names_one(query, None) is is_one
    assert not names_one(
        query, Within(studies=frozenset((uid("1.2.3"),)))
    )  # planned for its values
