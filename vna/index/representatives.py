"""The instance that stands for a patient, study or series found, and its sealed DICOM JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import LiteralString, NamedTuple

from psycopg import sql

from vna.db.pool import Connection
from vna.dicom.refs import Level, Within
from vna.index.arrays import Longs
from vna.index.assemble import fetch
from vna.index.rows import Row
from vna.index.search import IN_SIGHT
from vna.index.sight import sight

_SELECT: LiteralString = (
    "{}SELECT {}, i.blob_id, i.key_id, i.key_version, j.sealed FROM {}"
    " LEFT JOIN instance_json j USING (instance_pk) WHERE {} = ANY (%s) AND {}"
)
_FIRST: LiteralString = " JOIN instance i ON i.blob_id = f.first_blob"
_OF: dict[Level, tuple[LiteralString, LiteralString, LiteralString]] = {
    # a patient is shown by the latest study, as search has it
    Level.PATIENT: (
        "s.patient_pk",
        "study s JOIN study_state t USING (study_pk) JOIN instance i ON i.blob_id = t.first_blob",
        IN_SIGHT[Level.PATIENT],
    ),
    Level.STUDY: ("f.study_pk", f"study_state f{_FIRST}", "true"),
    Level.SERIES: ("f.series_pk", f"series_state f{_FIRST}", "true"),
    Level.IMAGE: ("i.instance_pk", "instance i", "true"),
}
_PLACE = {Level.PATIENT: 0, Level.STUDY: 1, Level.SERIES: 3, Level.IMAGE: 5}


class Representative(NamedTuple):
    """The blob of one instance, its key, and its sealed JSON: None where it was past the cap."""

    blob_id: bytes
    key_id: bytes
    key_version: int
    sealed: bytes | None


def key_of(row: Row, level: Level) -> int:
    """Give the number of the entity of a level that a row is or stands below."""
    key = row.cursor.keys[_PLACE[level]]
    if not isinstance(key, int):
        raise TypeError(f"A row of {level.value} has no such key.")
    return key


def representatives(
    conn: Connection, level: Level, keys: Iterable[int], *, within: Within | None
) -> dict[int, Representative]:
    """Read the representatives of entities of a level, as far as they can be seen."""
    before = sight(within)
    key, tables, condition = map(sql.SQL, _OF[level])
    text = sql.SQL(_SELECT).format(before.text, key, tables, key, condition)
    rows = fetch(conn, text, (*before.values, Longs(keys)))
    return {number: Representative(*row) for number, *row in rows}
