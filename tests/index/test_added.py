"""Search on added attributes against the plain evaluation of PS3.4 C.2.2.2, under scopes too."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from tests.conftest import TestPostgres
from tests.index.catalogues import (
    DATES,
    NAME_PATTERNS,
    NAMES,
    NUMBERS,
    TEXT_PATTERNS,
    TEXTS,
    TIMES,
    ZONES,
    catalogue,
)
from tests.index.samples import elements as as_json
from tests.index.test_search import OPTIONS, SEEDS, fill, find, scope, uids
from vna.db.pool import Database
from vna.dicom.evaluate import key_matches
from vna.dicom.matching import (
    AllOf,
    Condition,
    DateRange,
    Empty,
    Item,
    MatchingKey,
    MomentRange,
    Name,
    Number,
    Query,
    Single,
    TimeRange,
    Wildcard,
)
from vna.dicom.modules import is_at_or_above
from vna.dicom.moments import read_offset
from vna.dicom.refs import Level, Within
from vna.dicom.searchable import read
from vna.index import added
from vna.index.extras import extra
from vna.index.register import Registration
from vna.index.search import count

Elements = dict[str, Any]

ADDED = [
    read("00081080"),  # STUDY, LO
    read("00081048"),  # STUDY, PN
    read("0008103F.00080100", level=Level.STUDY),  # SQ > SH
    read("00080021"),  # SERIES, DA
    read("00080031"),  # SERIES, TM
    read("00081070"),  # SERIES, PN
    read('00111001:"ACME"', vr="LO", level=Level.SERIES),
    read("00180060"),  # IMAGE, DS
    read("0008002A"),  # IMAGE, DT
    read("00081140"),  # IMAGE, all of a sequence
]
MOMENTS = ["2024", "20240101103015", "20240102103000+0200", "202402031030-0500", "never", []]


def said(rng: Random) -> Elements:
    """What an instance says of the added attributes, in the words of DICOM JSON."""
    block = rng.choice(["10", "FE"])
    values: dict[str, Any] = {
        "00081080": rng.choice(TEXTS),
        "00081048": rng.choice(NAMES),
        "0008103F": [{"00080100": rng.choice(TEXTS)} for _ in range(rng.randint(0, 2))],
        "00080021": rng.choice(DATES),
        "00080031": rng.choice(TIMES),
        "00081070": rng.choice(NAMES),
        "00180060": rng.choice(NUMBERS),
        "0008002A": rng.choice(MOMENTS),
        "00081140": [
            {"00081155": "1.2", "00200013": rng.choice(NUMBERS)} for _ in range(rng.randint(0, 2))
        ],
    }
    found: Elements = as_json({t: v for t, v in values.items() if rng.random() < 0.8})
    if rng.random() < 0.7:
        found[f"001100{block}"] = {"vr": "LO", "Value": ["ACME"]}
        found[f"0011{block}01"] = {"vr": "LO", "Value": [rng.choice(["A", "AB", "B"])]}
    return found


def named(attributes: Elements) -> Elements:
    """The same with private attributes by their names, as the oracle is asked for them."""
    creators = {t: e["Value"][0] for t, e in attributes.items() if t.startswith("001100")}
    found = {t: e for t, e in attributes.items() if not t.startswith("0011")}
    for tag, creator in creators.items():
        element = attributes.get(f"0011{tag[6:]}01")
        if element is not None:
            found[f"00110001:{creator}"] = element
    return found


def condition(rng: Random, vr: str) -> Condition:
    """A condition of an attribute of this VR."""
    zone = rng.choice(ZONES)
    first, last = dt.datetime(2024, 1, 1, 10, tzinfo=zone), dt.datetime(2024, 2, 3, tzinfo=zone)
    days, times = (first.date(), last.date()), (dt.time(10), dt.time(23, 59, 59, 999999))
    choices: dict[str, list[Condition]] = {
        "LO": [Single("A"), Single("AB"), Wildcard(rng.choice(TEXT_PATTERNS)), AllOf(("A",))],
        "PN": [Name(rng.choice(NAME_PATTERNS), rng.random() < 0.4), Name("smith", fuzzy=True)],
        "DA": [DateRange(days[0], None), DateRange(*days), DateRange(None, days[0])],
        "TM": [TimeRange(times[0], None), TimeRange(times[0], times[0]), TimeRange(*times)],
        "DS": [Number(1.0), Number(10.0), Number(-3.0)],
        "DT": [MomentRange(first, last), MomentRange(first, None), MomentRange(None, last)],
    }
    return rng.choice([*choices[vr], Empty()])


def key(rng: Random, level: Level) -> MatchingKey:
    """A key on one of the added attributes of a level."""
    number = MatchingKey("00200013", rng.choice([Number(1.0), Number(2.0)]))
    nested = {
        Level.STUDY: ("0008103F", MatchingKey("00080100", condition(rng, "LO"))),
        Level.IMAGE: ("00081140", number),
    }
    moment = condition(rng, "DT")
    choices = {
        Level.STUDY: [("00081080", "LO"), ("00081048", "PN")],
        Level.SERIES: [("00080021", "DA"), ("00080031", "TM"), ("00081070", "PN")],
        Level.IMAGE: [("00180060", "DS"), ("0008002A", "DT")],
    }[level]
    keys = [MatchingKey(tag, condition(rng, vr), added=level) for tag, vr in choices]
    if level in nested:
        tag, inner = nested[level]
        keys.append(MatchingKey(tag, Item((inner,)), added=level))
    if level is Level.SERIES:
        keys.append(MatchingKey("00110001:ACME", condition(rng, "LO"), added=level))
        if isinstance(moment, MomentRange):
            keys.append(MatchingKey("00080021", moment, "00080031", added=level))
    return rng.choice(keys)


def question(rng: Random) -> Query:
    level = rng.choice([Level.STUDY, Level.SERIES, Level.IMAGE])
    levels = [one for one in (Level.STUDY, Level.SERIES, Level.IMAGE) if is_at_or_above(one, level)]
    keys = {one.tag: one for one in (key(rng, rng.choice(levels)) for _ in range(3))}
    return Query(level=level, keys=tuple(keys.values())[: rng.randint(1, 3)])


def said_by_all(rng: Random, items: Sequence[Registration]) -> dict[bytes, Elements]:
    """Half of the instances repeat what the one before said, so that some of a study agree."""
    found: dict[bytes, Elements] = {}
    last = said(rng)
    for item in items:
        last = said(rng) if rng.random() < 0.5 else last
        found[item.blob_id] = {**last}
        if zone := item.attributes.get("00080201"):
            found[item.blob_id]["00080201"] = zone
    return found


def with_extra(items: Sequence[Registration], more: dict[bytes, Elements]) -> list[Registration]:
    return [
        dataclasses.replace(item, extra=extra(more[item.blob_id], ADDED, zone=dt.UTC))
        for item in items
    ]


def expected(
    items: Sequence[Registration], more: dict[bytes, Elements], query: Query
) -> set[tuple[str, ...]]:
    """Say which entities match: each level by what its first instance says."""
    found = set()
    for item in items:
        study = [i for i in items if i.ref.study == item.ref.study]
        series = [i for i in study if i.ref.series == item.ref.series]
        by_level = {Level.STUDY: study, Level.SERIES: series, Level.IMAGE: [item]}
        # the zone of dates and times is that which the study shows
        zone = zone_of(first(study).attributes)
        if all(
            one.added is not None
            and key_matches(
                one,
                named(more[first(by_level[one.added]).blob_id]),
                zone=zone_for(one, first(by_level[one.added]).attributes, zone),
            )
            for one in query.keys
        ):
            names = (item.ref.study, item.ref.series, item.ref.instance)
            found.add(
                tuple(
                    map(
                        str,
                        names[: [Level.STUDY, Level.SERIES, Level.IMAGE].index(query.level) + 1],
                    )
                )
            )
    return found


def zone_for(one: MatchingKey, attributes: Elements, of_study: dt.tzinfo) -> dt.tzinfo:
    """A DT is in the zone of its own data set; a date and a time in that of the study."""
    return of_study if one.time_tag else zone_of(attributes)


def zone_of(attributes: Elements) -> dt.tzinfo:
    values = attributes.get("00080201", {}).get("Value")
    return (read_offset(values[0]) if values else None) or dt.UTC


def first(items: Sequence[Registration]) -> Registration:
    return min(items, key=lambda i: (i.created_us, i.blob_id))


@pytest.fixture
def other(postgres: TestPostgres) -> Iterator[Database]:
    """A second archive."""
    dsn = postgres.clone()
    database = Database(dsn, schema="vna")
    yield database
    database.close()
    postgres.drop(dsn)


@settings(max_examples=12, **OPTIONS)
@given(seed=SEEDS)
def test_search_finds_what_the_standard_says_of_added_attributes(
    database: Database, seed: int
) -> None:
    rng = Random(seed)
    items = catalogue(rng, mixed=True)
    more = said_by_all(rng, items)
    fill(database, with_extra(items, more))

    for query in [question(rng) for _ in range(25)]:
        found = find(database, query)
        assert {uids(row) for row in found} == expected(items, more, query), query
        assert len(found) == len({uids(row) for row in found})
        with database.reading() as conn:
            assert count(conn, query, within=None, most=1000) == len(found)


@settings(max_examples=6, **OPTIONS)
@given(seed=SEEDS)
def test_a_scope_answers_as_an_archive_that_holds_nothing_else(
    database: Database, other: Database, seed: int
) -> None:
    rng = Random(seed)
    items = catalogue(rng, mixed=True)
    more = said_by_all(rng, items)
    within = scope(rng, items)
    fill(database, with_extra(items, more))
    seen = [item for item in items if is_in(item, within)]
    fill(other, with_extra(seen, more))

    for query in [question(rng) for _ in range(12)]:
        narrow = {uids(row) for row in find(database, query, within)}
        assert narrow == {uids(row) for row in find(other, query)}, query


def is_in(item: Registration, within: Within) -> bool:
    ref = item.ref
    return (
        ref.study in within.studies
        or any((s.study, s.series) == (ref.study, ref.series) for s in within.series)
        or ref in within.instances
    )


def test_many_matches_are_walked_in_order_instead_of_listed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(7)
    items = catalogue(rng)
    more = {item.blob_id: as_json({"00081080": "A"}) for item in items}
    fill(database, with_extra(items, more))
    query = Query(
        level=Level.IMAGE, keys=(MatchingKey("00081080", Single("A"), added=Level.STUDY),)
    )
    listed = [uids(row) for row in find(database, query)]
    monkeypatch.setattr(added, "NEAR_MOST", 0)

    assert [uids(row) for row in find(database, query)] == listed
    assert len(listed) == len(items)
