"""From a reference to the blobs that hold it: one query each, then the connection is free."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from vna.db.pool import Connection
from vna.db.statements import load
from vna.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef, Within

__all__ = ["Located", "Within", "instances", "version", "with_frames"]

SQL = load("index")


class Located(NamedTuple):
    """One instance and where its bytes are. A tuple, because a series is a thousand of them.

    `number` is the Instance Number, `pixel` (tag, VR, offset, length) of the Pixel Data family.
    """

    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    blob_id: bytes
    header: bytes
    payload_len: int
    digest: bytes
    size: int
    key_id: bytes
    key_version: int
    number: int | None
    frame_count: int | None
    pixel: tuple[str, str, int, int] | None
    bulk: bytes | None
    group2: bytes
    preamble: bytes
    changed_at: datetime


def instances(conn: Connection, ref: Ref, *, within: Within | None) -> list[Located]:
    """List the current instances of a study, a series or one instance, as far as they can be seen.

    In the order of Series Number and Instance Number. Empty when nothing is there or can be seen.
    """
    cursor = conn.cursor(binary=True)
    cursor.execute(_statement(ref), parameters(ref), prepare=True)
    found = [from_row(ref, row) for row in cursor.fetchall()]
    if within is None or covers(within, ref):
        return found
    return [located for located in found if covers(within, located.ref)]


def with_frames(
    conn: Connection, ref: InstanceRef, *, within: Within | None
) -> tuple[Located, bytes | None] | None:
    """Locate one instance together with its frame table; None when it cannot be seen."""
    if within is not None and not covers(within, ref):
        return None
    cursor = conn.cursor(binary=True)
    row = cursor.execute(SQL.locate_instance, parameters(ref), prepare=True).fetchone()
    return None if row is None else (from_row(ref, row), row[21])


def version(conn: Connection, ref: InstanceRef, blob_id: bytes) -> Located | None:
    """Locate one version of an instance, current or not."""
    cursor = conn.cursor(binary=True)
    asked = parameters(ref) | {"blob_id": blob_id}
    row = cursor.execute(SQL.locate_version, asked, prepare=True).fetchone()
    return None if row is None else from_row(ref, row)


def covers(within: Within, ref: Ref) -> bool:
    """Tell whether all of `ref` can be seen."""
    if within.without is not None:
        return ref.study not in within.without
    if ref.study in within.studies:
        return True
    if isinstance(ref, InstanceRef):
        return ref in within.instances or SeriesRef(ref.study, ref.series) in within.series
    return isinstance(ref, SeriesRef) and ref in within.series


def parameters(ref: Ref) -> dict[str, Any]:  # UIDs, and whatever a statement takes beside them
    """Name the UIDs of a reference as the statements do."""
    if isinstance(ref, StudyRef):
        return {"study": ref.study}
    if isinstance(ref, SeriesRef):
        return {"study": ref.study, "series": ref.series}
    return {"study": ref.study, "series": ref.series, "instance": ref.instance}


def _statement(ref: Ref) -> LiteralString:
    if isinstance(ref, StudyRef):
        return SQL.locate_study
    return SQL.locate_series if isinstance(ref, SeriesRef) else SQL.locate_instance


def from_row(asked: Ref, row: tuple[Any, ...]) -> Located:
    """Take a row as the statements that locate give it."""
    above = asked if isinstance(asked, SeriesRef | InstanceRef) else SeriesRef(asked.study, row[0])
    pixel = (row[13], row[14], row[15], row[16]) if row[13] is not None else None
    ref = InstanceRef(above.study, above.series, row[1])
    return Located._make((ref, *row[2:13], pixel, *row[17:21]))
