"""Search on attributes that an administrator made searchable.

Which terms a study or series shows is what its first current instance says, as with the attributes
always kept; the search looks there itself, so that nothing has to be kept true when that changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, LiteralString

from psycopg import sql

from vna.db.pool import Connection
from vna.dicom.matching import (
    AnyOf,
    Empty,
    Item,
    MatchingKey,
    MomentRange,
    Query,
    Single,
    UidList,
)
from vna.dicom.refs import Level
from vna.index.arrays import Longs
from vna.index.assemble import fetch
from vna.index.clauses import Clause, all_of, on_terms

NEAR_MOST = 10_000
"""Rows that are worth listing: with more, walking in the order of the search soon meets some."""

_SELECTIVE = frozenset(("0020000D", "0020000E", "00080018", "00100020", "00080050"))
_TERMS = sql.SQL("x.terms")
# OFFSET 0 keeps a condition one that is asked row by row: as a join the planner would find all that
# match first, since it believes that next to nothing does
_EXTRA: dict[Level, LiteralString] = {
    Level.STUDY: "SELECT FROM study_extra x"
    " JOIN study_state fs ON fs.study_pk = x.study_pk"
    " JOIN instance f ON f.blob_id = fs.first_blob"
    " JOIN instance_extra y ON y.instance_pk = f.instance_pk AND y.study_hash = x.hash"
    " WHERE x.study_pk = s.study_pk AND {} OFFSET 0",
    Level.SERIES: "SELECT FROM series_extra x"
    " JOIN series_state fs ON fs.series_pk = x.series_pk"
    " JOIN instance f ON f.blob_id = fs.first_blob"
    " JOIN instance_extra y ON y.instance_pk = f.instance_pk AND y.series_hash = x.hash"
    " WHERE x.series_pk = e.series_pk AND {} OFFSET 0",
    Level.IMAGE: "SELECT FROM instance_extra x WHERE x.instance_pk = i.instance_pk AND {} OFFSET 0",
}
_TABLE: dict[Level, tuple[LiteralString, LiteralString, LiteralString]] = {
    Level.STUDY: ("study_pk", "study_extra", "s.study_pk"),
    Level.SERIES: ("series_pk", "series_extra", "e.series_pk"),
    Level.IMAGE: ("instance_pk", "instance_extra", "i.instance_pk"),
}


def clauses_of_added(query: Query) -> list[Clause]:
    """Compose the conditions on added attributes, those of one level together."""
    found: list[Clause] = []
    for level, keys in _by_level(query).items():
        there = [key for key in keys if not isinstance(key.condition, Empty)]
        if there:
            found.append(_exists("EXISTS ({})", level, _holding(there, query.site_zone)))
        for key in keys:
            if isinstance(key.condition, Empty):
                held = Clause(sql.SQL("x.terms ? %s"), (key.tag,))
                found.append(_exists("NOT EXISTS ({})", level, held))
    return found


def narrowed(conn: Connection, query: Query) -> list[Clause]:
    """Ask first which rows can match at all, and list them if they are few.

    The planner knows little of what stands inside JSON: with a value that one study in a million
    has it would walk through all of them in the order of the search.
    """
    found: list[Clause] = []
    if any(_is_selective(key) for key in query.keys):
        return found
    for level, keys in _by_level(query).items():
        listable = [key for key in keys if not isinstance(key.condition, Empty)]
        listable = [key for key in listable if not _looks_at_study(key)]
        if not listable:
            continue
        column, table, target = map(sql.SQL, _TABLE[level])
        held = _holding(listable, query.site_zone)
        # its own query block, planned for all of its rows: so an index on the terms is used
        text = sql.SQL(
            "WITH held AS MATERIALIZED (SELECT {0} FROM {1} x WHERE {2})"
            " SELECT {0} FROM held LIMIT %s"
        ).format(column, table, held.text)
        rows = fetch(conn, text, (*held.values, NEAR_MOST + 1))
        if len(rows) <= NEAR_MOST:
            listed = Longs(key for (key,) in rows)
            found.append(Clause(sql.SQL("{} = ANY (%s)").format(target), (listed,)))
    return found


def _is_selective(key: MatchingKey) -> bool:
    """Whether a key leaves so few rows that each may be looked at."""
    return not key.added and key.tag in _SELECTIVE and isinstance(key.condition, Single | UidList)


def _by_level(query: Query) -> dict[Level, list[MatchingKey]]:
    found: dict[Level, list[MatchingKey]] = {}
    for key in query.keys:
        if key.added is not None:
            level = Level.STUDY if key.added is Level.PATIENT else key.added
            found.setdefault(level, []).append(key)
    return found


def _holding(keys: Iterable[MatchingKey], zone: str) -> Clause:
    return all_of(on_terms(key, _TERMS, zone) for key in keys)


def _exists(template: LiteralString, level: Level, held: Clause) -> Clause:
    inner = sql.SQL(_EXTRA[level]).format(held.text)
    return Clause(sql.SQL(template).format(inner), held.values)


def _looks_at_study(key: MatchingKey) -> bool:
    """Whether the condition needs the zone of the study, which stands elsewhere."""
    asked: Any = key.condition
    if isinstance(asked, MomentRange):
        ends = (asked.first, asked.last)
        return bool(key.time_tag) and any(
            end is not None and end.tzinfo is not None for end in ends
        )
    if isinstance(asked, Item):
        return any(_looks_at_study(inner) for inner in asked.keys)
    if isinstance(asked, AnyOf):
        return any(_looks_at_study(MatchingKey(key.tag, one)) for one in asked.conditions)
    return False
