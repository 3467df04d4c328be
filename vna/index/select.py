"""What a retrieval by unique keys sends: a list first, then the blobs of it, some at a time.

The list is short rows, so that a retrieval of any size can be counted before it begins; where the
bytes are is looked up when their turn comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from vna.db.pool import Connection
from vna.dicom.refs import UID, InstanceRef, Level, StudyRef, Within
from vna.errors import TooLarge
from vna.index.locate import SQL, Located, covers, from_row

__all__ = ["STATEMENTS", "Selected", "Selection", "located", "select"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Unique Keys as C-MOVE and C-GET give them (PS3.4 C.4.2.1.4). An empty one says nothing.

    `level` is the Query/Retrieve Level, whose own key is never empty.
    """

    level: Level
    patient_id: str = ""
    studies: frozenset[UID] = frozenset()
    series: frozenset[UID] = frozenset()
    instances: frozenset[UID] = frozenset()


class Selected(NamedTuple):
    """One instance of a retrieval."""

    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    key: int
    size: int


def select(
    conn: Connection, asked: Selection, *, most: int, within: Within | None
) -> list[Selected]:
    """List the current instances that match every key, as far as they can be seen.

    Those of one study stand together, in the order of the archive. Raises `TooLarge` when there
    are more than `most`.
    """
    cursor = conn.cursor(binary=True)
    cursor.execute(STATEMENTS[asked.level], _parameters(asked, most), prepare=True)
    rows = cursor.fetchall()
    if len(rows) > most:
        raise TooLarge(f"More than {most} instances match: ask for less at a time.")
    same: dict[str, str] = {}
    found = [_listed(row, same) for row in rows if _matches(asked, row)]
    return found if within is None else [one for one in found if covers(within, one.ref)]


def located(conn: Connection, listed: Sequence[Selected]) -> dict[int, Located]:
    """Find the blobs of some of a list, by their key; what went meanwhile is not among them."""
    cursor = conn.cursor(binary=True)
    cursor.execute(SQL.locate_all, {"instances": [one.key for one in listed]}, prepare=True)
    rows = cursor.fetchall()
    return {row[22]: from_row(StudyRef(UID(row[0])), row[1:]) for row in rows}


def _parameters(asked: Selection, most: int) -> dict[str, Any]:  # text, lists of it, a number
    return {
        "patient": asked.patient_id,
        "studies": list(asked.studies),
        "series": list(asked.series),
        "instances": list(asked.instances),
        "most": most + 1,
    }


def _matches(asked: Selection, row: tuple[Any, ...]) -> bool:
    """Hold a row against the keys of other levels than the one it was found by."""
    study, series, instance, patient = row[:4]
    return (
        (not asked.patient_id or patient == asked.patient_id)
        and (not asked.studies or study in asked.studies)
        and (not asked.series or series in asked.series)
        and (not asked.instances or instance in asked.instances)
    )


def _listed(row: tuple[Any, ...], same: dict[str, str]) -> Selected:
    # thousands of rows hold the same few UIDs: each is kept once
    def one(text: str) -> str:
        return same.setdefault(text, text)

    ref = InstanceRef(UID(one(row[0])), UID(one(row[1])), UID(row[2]))
    return Selected(ref, one(row[4]), one(row[5]), row[6], row[7])


_KEYS: tuple[tuple[Level, LiteralString], ...] = (
    (Level.PATIENT, "s.patient_id = %(patient)s"),
    (Level.STUDY, "s.study_uid = ANY(%(studies)s)"),
    (Level.SERIES, "e.series_uid = ANY(%(series)s)"),
    (Level.IMAGE, "i.sop_instance_uid = ANY(%(instances)s)"),
)
STATEMENTS = {level: sql.SQL(SQL.list_retrieval).format(key=sql.SQL(key)) for level, key in _KEYS}
