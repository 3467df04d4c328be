"""Rows from what the query of a page fetched; what stands above them is fetched once a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from vna.db.pool import Connection
from vna.dicom.refs import Level
from vna.index import rows
from vna.index.arrays import Longs
from vna.index.clauses import Clause
from vna.index.rows import Attributes, Cursor, Row

_OF_STUDIES = sql.SQL(
    "SELECT s.study_pk, s.study_uid, s.answer, t.series, t.instances, t.modalities, t.sop_classes"
    " FROM study s JOIN study_state t USING (study_pk) WHERE s.study_pk = ANY (%s)"
)
_OF_SERIES = sql.SQL(
    "SELECT e.series_pk, e.series_uid, e.answer, r.instances"
    " FROM series e JOIN series_state r USING (series_pk) WHERE e.series_pk = ANY (%s)"
)


def assemble(
    conn: Connection, level: Level, before: Clause, found: Sequence[tuple[Any, ...]]
) -> list[Row]:
    """Make rows of a level; `before` is the sight in which the levels above are read, too."""
    match level:
        case Level.PATIENT:
            return _patients(found)
        case Level.STUDY:
            return _studies(found)
        case Level.SERIES:
            return _series(conn, before, found)
    return _instances(conn, before, found)


def fetch(conn: Connection, text: sql.Composable, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a composed query and fetch all of it."""
    cursor = conn.cursor(binary=True)
    cursor.execute(text.as_bytes(conn), values, prepare=True)
    return cursor.fetchall()


def _patients(found: Sequence[tuple[Any, ...]]) -> list[Row]:
    return [
        Row(None, None, None, rows.patient(answer, *counts), Cursor((key,)))
        for key, answer, counts in found
    ]


def _studies(found: Sequence[tuple[Any, ...]]) -> list[Row]:
    page: list[Row] = []
    for date, key, uid, answer, series, instances, modalities, sop_classes in found:
        attributes = rows.study(uid, answer, (series, instances), modalities, sop_classes)
        page.append(Row(uid, None, None, attributes, Cursor((date, key))))
    return page


def _series(conn: Connection, before: Clause, found: Sequence[tuple[Any, ...]]) -> list[Row]:
    studies = _studies_above(conn, before, {row[1] for row in found})
    page: list[Row] = []
    for row in found:
        if row[1] in studies:  # else it was deleted between the two queries
            study_uid, above = studies[row[1]]
            uid, answer, instances = row[4:]
            attributes = above | rows.series(uid, answer, instances)
            page.append(Row(study_uid, uid, None, attributes, Cursor(row[:4])))
    return page


def _instances(conn: Connection, before: Clause, found: Sequence[tuple[Any, ...]]) -> list[Row]:
    studies = _studies_above(conn, before, {row[1] for row in found})
    serieses = _series_above(conn, before, {row[3] for row in found})
    above = {
        keys: (studies[keys[0]], serieses[keys[1]], studies[keys[0]][1] | serieses[keys[1]][1])
        for keys in {(row[1], row[3]) for row in found}
        if keys[0] in studies and keys[1] in serieses
    }
    page: list[Row] = []
    for row in found:
        if (row[1], row[3]) in above:  # else it was deleted between the queries
            (study_uid, _), (series_uid, _), upper = above[row[1], row[3]]
            uid, answer, sop_class, syntax = row[6:]
            attributes = upper | rows.instance(uid, answer, sop_class, syntax)
            page.append(Row(study_uid, series_uid, uid, attributes, Cursor(row[:6])))
    return page


def _studies_above(
    conn: Connection, before: Clause, keys: set[int]
) -> dict[int, tuple[str, Attributes]]:
    if not keys:
        return {}
    text = sql.SQL("{}{}").format(before.text, _OF_STUDIES)
    found = fetch(conn, text, (*before.values, Longs(keys)))
    return {
        key: (uid, rows.study(uid, answer, (series, instances), modalities, sop_classes))
        for key, uid, answer, series, instances, modalities, sop_classes in found
    }


def _series_above(
    conn: Connection, before: Clause, keys: set[int]
) -> dict[int, tuple[str, Attributes]]:
    if not keys:
        return {}
    text = sql.SQL("{}{}").format(before.text, _OF_SERIES)
    found = fetch(conn, text, (*before.values, Longs(keys)))
    return {key: (uid, rows.series(uid, answer, number)) for key, uid, answer, number in found}
