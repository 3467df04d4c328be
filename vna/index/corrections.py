"""Corrections of studies as the index holds them: the acts, and what stands of them.

Derived from the journal and made again from it by reindex; nothing here is a source of truth. What
stands of all corrections of a study is its overlay, which triggers lay over its rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from vna.db.pool import Connection, Database
from vna.db.statements import load
from vna.dicom.corrected import Overlay, elements
from vna.dicom.refs import UID
from vna.index import faces
from vna.index.arrays import Texts

SQL = load("corrections")

_COLUMNS = (
    *("issuer", "patient_id", "patient_name", "patient_codes", "birth_date", "sex", "accession"),
    "description",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """When a correction was undone, by whom and why."""

    at: dt.datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One act of correction. `changes` are keyword -> text as it is to stand."""

    id: bytes
    study: UID
    at: dt.datetime
    actor: str
    reason: str = field(repr=False)
    changes: Mapping[str, str] = field(repr=False)
    undone: Undone | None = None


def lock(tx: Connection, study: UID) -> None:
    """Let nobody else correct this study until the transaction ends."""
    tx.execute(SQL.lock_corrections, [study])


def hold_off(tx: Connection, studies: Iterable[str]) -> None:
    """Wait for who corrects these studies, and let nobody correct them until the transaction ends.

    What is corrected meanwhile would neither be seen here, nor see what is written here.
    """
    tx.execute(SQL.hold_corrections, [Texts(sorted(set(studies)))], prepare=True)


def add(tx: Connection, one: Correction) -> None:
    """Write a correction down; undone at once where its undoing was read before it."""
    changes = faces.as_json(dict(one.changes))
    tx.execute(SQL.add_correction, [one.id, one.study, one.at, one.actor, one.reason, changes])
    tx.execute(SQL.take_undone, [one.id])


def undo(tx: Connection, correction: bytes, how: Undone) -> None:
    """Note that a correction is undone, now or as soon as it is read."""
    asked = {"correction": correction, "at": how.at, "actor": how.actor, "reason": how.reason}
    if tx.execute(SQL.undo_correction, asked).fetchone() is None:
        tx.execute(SQL.add_undone, asked)


def lay(tx: Connection, study: UID) -> bool:
    """Show a study as its corrections say; False when there is no such study now."""
    standing = [one for one in of_study(tx, study) if one.undone is None]
    if standing:
        tx.execute(SQL.keep_received, {"study": study})
        tx.execute(SQL.put_overlay, _overlay_row(study, standing))
    else:
        tx.execute(SQL.remove_overlay, [study])
    row = tx.execute(SQL.correct_study, [study]).fetchone()
    return bool(row and row[0])


def of_study(conn: Connection, study: UID) -> list[Correction]:
    """List the corrections of a study in order of time, undone ones too."""
    cursor = conn.cursor(binary=True)
    return [_correction(row) for row in cursor.execute(SQL.list_corrections, [study])]


def find(conn: Connection, correction: bytes) -> Correction | None:
    """Find one correction."""
    cursor = conn.cursor(binary=True)
    row = cursor.execute(SQL.find_correction, [correction]).fetchone()
    return None if row is None else _correction(row)


def corrected(conn: Connection, *, most: int) -> list[tuple[UID, dt.datetime, dict[str, str]]]:
    """List the studies that show a correction, the latest corrected first."""
    rows = conn.execute(SQL.list_corrected, [most]).fetchall()
    return [(UID(study), at, changes) for study, at, changes in rows]


def has_study(conn: Connection, study: UID) -> bool:
    """Tell whether there is such a study."""
    return conn.execute(SQL.has_study, [study]).fetchone() is not None


def patient_of(conn: Connection, issuer: str, patient_id: str) -> dict[str, Any] | None:
    """Give what the latest study of an identity says, in DICOM JSON; None when it is unknown."""
    row = conn.execute(SQL.latest_of_identity, [issuer, patient_id]).fetchone()
    if row is None:
        return None
    found: dict[str, Any] = orjson.loads(row[0])
    return found


def overlay_of(conn: Connection, study: UID) -> Overlay | None:
    """Give what is laid over a study; None for nearly every one."""
    cursor = conn.cursor(binary=True)
    row = cursor.execute(SQL.find_overlay, [study], prepare=True).fetchone()
    return None if row is None else Overlay(version=row[0], at=row[1], changes=row[2])


def is_any(database: Database) -> bool:
    """Tell whether any study is corrected."""
    with database.reading() as conn:
        row = conn.execute(SQL.has_overlays, prepare=True).fetchone()
    return bool(row and row[0])


def forget(tx: Connection, study: UID) -> None:
    """Forget the corrections of a study that was purged, if nothing of it is left."""
    tx.execute(SQL.forget_corrections, {"study": study})


def _overlay_row(study: UID, standing: Sequence[Correction]) -> dict[str, Any]:
    changes: dict[str, str] = {}
    for one in standing:
        changes |= one.changes
    found = elements(changes)
    columns = faces.study_columns(found)
    patient_id = faces.patient_id(found)
    # an undoing may leave an older correction as the last one: the number of them tells it apart
    version = standing[-1].id + len(standing).to_bytes(4, "big")
    return {
        "study_uid": study,
        "version": version,
        "corrected_at": standing[-1].at,
        "changes": faces.as_json(changes),
        "elements": faces.as_json(found),
        "of_issuer": changes.get("IssuerOfPatientID"),
        "of_id": patient_id if "PatientID" in changes else None,
        **{name: columns[name] for name in _COLUMNS},
    }


def _correction(row: tuple[Any, ...]) -> Correction:
    correction, study, at, actor, reason, changes, undone_at, undone_by, undone_why = row
    undone = None
    if undone_at is not None:
        undone = Undone(at=undone_at, actor=undone_by, reason=undone_why)
    return Correction(
        id=correction,
        study=UID(study),
        at=at,
        actor=actor,
        reason=reason,
        changes=changes,
        undone=undone,
    )
