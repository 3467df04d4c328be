"""What is held under a SOP Instance UID, for those who know no study and no series of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vna.db.pool import Connection
from vna.db.statements import load
from vna.dicom.refs import UID, InstanceRef
from vna.index.arrays import Texts

SQL = load("operate")


class Held(NamedTuple):
    """The current version of one SOP Instance, and what proves its bytes."""

    ref: InstanceRef
    sop_class: str
    blob_id: bytes
    header: bytes
    payload_len: int
    digest: bytes


def held(conn: Connection, instances: Iterable[str]) -> dict[str, Held]:
    """Find the current versions of SOP Instance UIDs, by that UID; unknown ones are left out."""
    cursor = conn.cursor(binary=True)
    rows = cursor.execute(SQL.held_instances, [Texts(sorted(set(instances)))])
    return {
        row[2]: Held(InstanceRef(UID(row[0]), UID(row[1]), UID(row[2])), *row[3:]) for row in rows
    }
