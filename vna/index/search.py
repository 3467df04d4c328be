"""Find patients, studies, series and instances: composed SQL over whitelisted columns.

The order is that of the archive everywhere: Study Date descending, Series Number, Instance Number,
each with its key, so that a page begins exactly behind the one before it, at any depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from vna.db.pool import Connection
from vna.dicom.matching import Query, Single
from vna.dicom.refs import Level, Within
from vna.index.added import clauses_of_added, narrowed
from vna.index.assemble import assemble, fetch
from vna.index.clauses import Clause, all_of, any_of, clauses_of, unsupported
from vna.index.columns import BY_LEVEL
from vna.index.rows import Cursor, Row
from vna.index.sight import sight

__all__ = ["Cursor", "Row", "Within", "count", "names_one", "search", "unsupported"]

_TABLES: dict[Level, LiteralString] = {
    Level.PATIENT: "study s JOIN study_state t USING (study_pk)",
    Level.STUDY: "study s JOIN study_state t USING (study_pk)",
    Level.SERIES: "study s JOIN series e USING (study_pk) JOIN series_state r USING (series_pk)",
    Level.IMAGE: "study s JOIN series e USING (study_pk) JOIN instance i USING (series_pk)",
}
IN_SIGHT: dict[Level, LiteralString] = {
    # an identity is shown by its latest study, and found by what that one says
    Level.PATIENT: "t.instances > 0 AND NOT EXISTS ("
    "SELECT FROM study o JOIN study_state ot USING (study_pk)"
    " WHERE o.patient_pk = s.patient_pk AND ot.instances > 0"
    " AND (o.study_date, o.study_uid) > (s.study_date, s.study_uid))",
    Level.STUDY: "t.instances > 0",
    Level.SERIES: "r.instances > 0",
    Level.IMAGE: "i.current",
}
_DATE: LiteralString = "NULLIF(s.study_date, '-infinity')"
_SERIES_NUMBER: LiteralString = "COALESCE(e.series_number, 9223372036854775807)"
_NUMBER: LiteralString = "COALESCE(i.instance_number, 9223372036854775807)"
_COLUMNS: dict[Level, LiteralString] = {
    Level.PATIENT: "s.patient_pk, s.answer, (SELECT ARRAY[count(*), sum(ot.series),"
    " sum(ot.instances)] FROM study o JOIN study_state ot USING (study_pk)"
    " WHERE o.patient_pk = s.patient_pk AND ot.instances > 0)",
    Level.STUDY: f"{_DATE}, s.study_pk, s.study_uid, s.answer, t.series, t.instances,"
    " t.modalities, t.sop_classes",
    Level.SERIES: f"{_DATE}, s.study_pk, {_SERIES_NUMBER}, e.series_pk, e.series_uid, e.answer,"
    " r.instances",
    Level.IMAGE: f"{_DATE}, s.study_pk, {_SERIES_NUMBER}, e.series_pk, {_NUMBER}, i.instance_pk,"
    " i.sop_instance_uid, i.answer, i.sop_class_uid, i.transfer_syntax_uid",
}
_POINTERS = frozenset(("0020000D", "00080018", "00080050"))
"""Study and SOP Instance UID, Accession Number: what has one of a value, or few."""
_DEPTH = {Level.STUDY: 1, Level.SERIES: 2, Level.IMAGE: 3}
_STEPS: tuple[tuple[LiteralString, LiteralString, LiteralString], ...] = (
    (
        "(s.study_date, s.study_pk)",
        "< (COALESCE(%s::date, '-infinity'), %s)",
        "<= (COALESCE(%s::date, '-infinity'), %s)",
    ),
    (f"({_SERIES_NUMBER}, e.series_pk)", "> (%s, %s)", ">= (%s, %s)"),
    (f"({_NUMBER}, i.instance_pk)", "> (%s, %s)", ">= (%s, %s)"),
)


def search(
    conn: Connection,
    query: Query,
    *,
    within: Within | None,
    limit: int,
    after: Cursor | None = None,
    offset: int = 0,
) -> list[Row]:
    """Find one page: at most `limit` rows, `offset` rows behind the row `after`, or the first.

    Keys that `unsupported` names are ignored.
    """
    if limit <= 0 or (within is not None and within == Within()):
        return []
    near = narrowed(conn, query)
    asked = statement(query, within=within, limit=limit, after=after, offset=offset, near=near)
    found = fetch(conn, asked.text, asked.values)
    return assemble(conn, query.level, sight(within), found)


def statement(
    query: Query,
    *,
    within: Within | None,
    limit: int,
    after: Cursor | None,
    offset: int,
    near: Sequence[Clause] = (),
) -> Clause:
    """Compose the query of one page; `near` is known of all its rows (`narrowed`)."""
    before, where = sight(within), _where(query, after, near)
    text = sql.SQL("{}SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT %s OFFSET %s").format(
        before.text,
        sql.SQL(_COLUMNS[query.level]),
        sql.SQL(_tables(query)),
        where.text,
        sql.SQL(_order(query)),
    )
    return Clause(text, (*before.values, *where.values, limit, offset))


def names_one(query: Query, within: Within | None) -> bool:
    """Tell whether a search is pinned to a study or an instance: its plan needs no values."""
    singles = {key.tag for key in query.keys if not key.added and isinstance(key.condition, Single)}
    return within is None and not _POINTERS.isdisjoint(singles)


def count(conn: Connection, query: Query, *, within: Within | None, most: int) -> int:
    """Count matches, no further than `most` + 1."""
    if within is not None and within == Within():
        return 0
    before, where = sight(within), _where(query, None, narrowed(conn, query))
    text = sql.SQL("{}SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT %s) AS found").format(
        before.text, sql.SQL(_tables(query)), where.text
    )
    ((number,),) = fetch(conn, text, (*before.values, *where.values, most + 1))
    return int(number)


def _where(query: Query, after: Cursor | None, near: Sequence[Clause]) -> Clause:
    clauses = [Clause(sql.SQL(IN_SIGHT[query.level])), *clauses_of(query)]
    clauses += [*near, *clauses_of_added(query)]
    if after is not None:
        clauses.append(_behind(query, after))
    return all_of(clauses)


def _tables(query: Query) -> LiteralString:
    """Join what the level needs and the keys ask for: each table costs planning time."""
    tables = _TABLES[query.level]
    columns, _ = BY_LEVEL[query.level]
    asked = [columns[key.tag].sql for key in query.keys if key.tag in columns and not key.added]
    if "study_state" not in tables and any(column.startswith("t.") for column in asked):
        tables += " JOIN study_state t USING (study_pk)"
    if "series_state" not in tables and any(column.startswith("r.") for column in asked):
        tables += " JOIN series_state r USING (series_pk)"
    return tables


def _named(query: Query) -> int:
    """Tell how many of the levels above are pinned to one entity, from the top: 0, 1 or 2."""
    singles = {key.tag for key in query.keys if not key.added and isinstance(key.condition, Single)}
    if "0020000D" not in singles:
        return 0
    return 2 if "0020000E" in singles else 1


def _order(query: Query) -> LiteralString:
    """Order by what the keys leave open: the rest is the same for all rows."""
    steps: tuple[LiteralString, ...] = (
        "s.study_date DESC, s.study_pk DESC",
        f"{_SERIES_NUMBER}, e.series_pk",
        f"{_NUMBER}, i.instance_pk",
    )
    if query.level is Level.PATIENT:
        return "s.patient_pk"
    depth = _DEPTH[query.level]
    return ", ".join(steps[min(_named(query), depth - 1) : depth])


def _behind(query: Query, after: Cursor) -> Clause:
    """Compose "later in the order than this row", so that an index can begin there."""
    if query.level is Level.PATIENT:
        return Clause(sql.SQL("s.patient_pk > %s"), after.keys)
    depth = _DEPTH[query.level]
    pairs = list(zip(after.keys[::2], after.keys[1::2], strict=True))
    # innermost first: behind in a step, or level with it there and behind in a lower one
    found = Clause(sql.SQL("false"))
    for step in range(depth - 1, min(_named(query), depth - 1) - 1, -1):
        left, past, level_or_past = _STEPS[step]
        ahead = Clause(sql.SQL(f"{left} {past}"), pairs[step])
        reached = Clause(sql.SQL(f"{left} {level_or_past}"), pairs[step])
        found = ahead if step == depth - 1 else all_of([reached, any_of([ahead, found])])
    return found
