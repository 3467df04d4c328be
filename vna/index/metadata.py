"""The sealed DICOM JSON of instances: read in one query, replaced when it was derived anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import LiteralString, NamedTuple

from vna.db.pool import Connection
from vna.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef, Within
from vna.index.locate import SQL, Located, covers, from_row, parameters


class Sealed(NamedTuple):
    """The sealed JSON of one instance; `sealed` is None where it was past the cap.

    A tuple, because a series is a thousand of them: a frozen dataclass takes 2 us more for each.
    """

    ref: InstanceRef
    blob_id: bytes
    key_id: bytes
    key_version: int
    sealed: bytes | None
    deriver: int


class Shown(NamedTuple):
    """All that is needed to show one instance: where it is, its frame table, its sealed JSON."""

    located: Located
    table: bytes | None
    sealed: Sealed


def shown(conn: Connection, ref: InstanceRef, *, within: Within | None) -> Shown | None:
    """Locate one instance with its frame table and sealed JSON; None when it cannot be seen."""
    if within is not None and not covers(within, ref):
        return None
    cursor = conn.cursor(binary=True)
    row = cursor.execute(SQL.locate_shown, parameters(ref), prepare=True).fetchone()
    if row is None:
        return None
    found = from_row(ref, row)
    sealed = Sealed(
        found.ref, found.blob_id, found.key_id, found.key_version, row[22], row[23] or 0
    )
    return Shown(found, row[21], sealed)


def sealed(conn: Connection, ref: Ref, *, within: Within | None) -> list[Sealed]:
    """Read the sealed JSON of the current instances that can be seen, in their order."""
    if isinstance(ref, StudyRef):
        statement: LiteralString = SQL.sealed_study
    else:
        statement = SQL.sealed_series if isinstance(ref, SeriesRef) else SQL.sealed_instance
    cursor = conn.cursor(binary=True)
    cursor.execute(statement, parameters(ref), prepare=True)
    study, of_series = ref.study, None if isinstance(ref, StudyRef) else ref.series
    found = [
        Sealed(
            InstanceRef(study, of_series or series, instance),
            *(blob_id, key_id, key_version, data, deriver or 0),
        )
        for series, instance, blob_id, key_id, key_version, data, deriver in cursor.fetchall()
    ]
    if within is None or covers(within, ref):
        return found
    return [one for one in found if covers(within, one.ref)]


def revision(conn: Connection, ref: Ref) -> tuple[int, ...] | None:
    """Give a value that changes whenever an answer about `ref` would; None when it is unknown."""
    if isinstance(ref, StudyRef):
        statement: LiteralString = SQL.revision_study
    else:
        statement = SQL.revision_series if isinstance(ref, SeriesRef) else SQL.revision_instance
    row = conn.execute(statement, parameters(ref), prepare=True).fetchone()
    if row is None:
        return None
    key, number, changed_at = row
    return key, number, int(changed_at.timestamp() * 1_000_000)


def changed_at(found: tuple[int, ...] | None) -> datetime:
    """Read the moment of the last change out of a revision."""
    return datetime.fromtimestamp((found or (0,))[-1] / 1_000_000, UTC)


def put(tx: Connection, blob_id: bytes, data: bytes, *, deriver: int = 1) -> None:
    """Put sealed JSON that was derived anew in the place of the old."""
    tx.execute(SQL.touch_instance, [blob_id])
    tx.execute(SQL.put_sealed, {"blob_id": blob_id, "sealed": data, "deriver": deriver})
    tx.execute(SQL.touch_series, [blob_id])
    tx.execute(SQL.touch_study, [blob_id])
