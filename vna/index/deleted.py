"""What was deleted: taken out of the catalogue in one transaction, remembered until it is purged.

A deletion names blobs, never only UIDs, so what comes in later under the same UID is new. The rows
are derived from the journal and made again from it by reindex; nothing here is a source of truth.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, InstanceRef, Ref, SeriesRef, StudyRef
from vna.index.arrays import Blobs, Longs, Texts
from vna.index.held import SQL
from vna.index.register import recount, settle_again


class Names(TypedDict):
    """The UIDs of a reference, None below its level."""

    study: str
    series: str | None
    instance: str | None


Pair = tuple[bytes, bytes]
"""A deletion's id and the id of a blob it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grave:
    """One blob a deletion names."""

    series: UID
    instance: UID
    blob_id: bytes
    key_id: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One act of deletion. Until `due` it can be undone."""

    id: bytes
    ref: Ref
    at: dt.datetime
    due: dt.datetime
    actor: str
    graves: tuple[Grave, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A deletion that can still be undone, for people: what, when, by whom, how much."""

    id: bytes
    ref: Ref
    at: dt.datetime
    due: dt.datetime
    actor: str
    blobs: int
    size: int


def targets(conn: Connection, ref: Ref) -> list[Grave]:
    """List every version `ref` holds, current or not."""
    cursor = conn.cursor(binary=True)
    return [_grave(row) for row in cursor.execute(SQL.targets, names(ref))]


def bury(tx: Connection, deletion: Deletion, *, policy: str) -> list[InstanceRef]:
    """Take the blobs of a deletion out of the catalogue and write it down.

    Gives the instances whose current version is another one now: known elsewhere, too.
    """
    blobs = Blobs(grave.blob_id for grave in deletion.graves)
    tx.execute(SQL.lock_study, [str(deletion.ref.study)])
    held = tx.execute(SQL.lock_series, [blobs]).fetchall()
    tx.execute(SQL.lock_all_versions, [blobs])
    gone = tx.execute(SQL.forget_instances, [blobs]).fetchall()
    places, risen = settle_again(tx, {uid for _, uid in gone}, policy=policy)
    recount(tx, places | {series for series, _ in gone})
    _clear(tx, series={pk for pk, _ in held}, studies={pk for _, pk in held})
    note(tx, deletion)
    return risen


def note(tx: Connection, deletion: Deletion) -> None:
    """Write a deletion down whose blobs have no rows."""
    when = {"deletion": deletion.id, "at": deletion.at, "due": deletion.due}
    tx.execute(SQL.add_deletion, {**when, "actor": deletion.actor, **names(deletion.ref)})
    graves = deletion.graves
    columns = (
        Blobs(grave.blob_id for grave in graves),
        Blobs(grave.key_id for grave in graves),
        Longs(grave.size for grave in graves),
        Texts(grave.series for grave in graves),
        Texts(grave.instance for grave in graves),
    )
    tx.execute(SQL.add_deleted, [deletion.id, str(deletion.ref.study), *columns])


def free(tx: Connection, pairs: Collection[Pair]) -> set[bytes]:
    """Forget that blobs were deleted; give those that nothing keeps out of the catalogue now.

    Their rows are for the caller to make, in this transaction: who freed a blob brings it back, and
    nobody else.
    """
    deletions, blobs = Blobs(d for d, _ in pairs), Blobs(b for _, b in pairs)
    cursor = tx.cursor(binary=True)
    freed = {blob for (blob,) in cursor.execute(SQL.remove_deleted, [deletions, blobs])}
    tx.execute(SQL.clear_deletions, [Blobs(sorted({d for d, _ in pairs}))])
    return freed - dead(tx, sorted(freed))


def hold(tx: Connection, ref: Ref) -> list[Pair]:
    """Keep what was deleted below `ref` from being purged for a day; give it, if it is still there.

    Empty when nothing was deleted there, or its time is over.
    """
    cursor = tx.cursor(binary=True)
    if not cursor.execute(SQL.hold_deletions, names(ref)).fetchall():
        return []
    return [(d, b) for d, b in cursor.execute(SQL.restorable, names(ref))]


def dead(conn: Connection, blob_ids: Sequence[bytes]) -> set[bytes]:
    """Tell which blobs were deleted, purged or not."""
    cursor = conn.cursor(binary=True)
    return {blob for (blob,) in cursor.execute(SQL.find_dead, [Blobs(blob_ids)])}


def is_gone(conn: Connection, ref: Ref) -> bool:
    """Tell whether `ref` was deleted and nothing has come in its place."""
    row = conn.execute(SQL.is_gone, names(ref)).fetchone()
    return row is not None and bool(row[0])


def applied(conn: Connection, entries: Sequence[bytes]) -> set[bytes]:
    """Tell which journal entries have taken effect here."""
    cursor = conn.cursor(binary=True)
    return {entry for (entry,) in cursor.execute(SQL.find_applied, [Blobs(entries)])}


def known_to(database: Database) -> Callable[[Sequence[bytes]], set[bytes]]:
    """Make what asks `applied` on a connection of its own each time."""

    def known(entries: Sequence[bytes]) -> set[bytes]:
        with database.reading() as conn:
            return applied(conn, entries)

    return known


def mark_applied(tx: Connection, entries: Sequence[bytes], op: str) -> bool:
    """Note that journal entries took effect; False when they had before.

    Waits for a transaction that is just doing the same.
    """
    rows = tx.execute(SQL.mark_applied, {"entries": Blobs(entries), "op": op}).fetchall()
    return len(rows) == len(entries)


def standing(conn: Connection, *, most: int) -> list[Standing]:
    """List what can still be brought back, the latest first."""
    cursor = conn.cursor(binary=True)
    return [
        Standing(
            id=row[0], ref=ref_of(*row[1:4]), at=row[4], due=row[5], actor=row[6], blobs=row[7],
            size=row[8],
        )
        for row in cursor.execute(SQL.list_deletions, [most])
    ]  # fmt: skip


def places_of(conn: Connection, uid: UID) -> list[Ref]:
    """Find what a UID stands for: a study, a series, an instance, or several of them."""
    return [ref_of(*row) for row in conn.execute(SQL.places_of, {"uid": str(uid)})]


def deleted_places_of(conn: Connection, uid: UID) -> list[Ref]:
    """Find the same among what can be brought back."""
    return [ref_of(*row) for row in conn.execute(SQL.deleted_places_of, {"uid": str(uid)})]


def begin_purge(tx: Connection, *, most: int) -> list[tuple[bytes, Ref]]:
    """Choose deletions whose time is over; from now on they cannot be undone."""
    cursor = tx.cursor(binary=True)
    return [(row[0], ref_of(*row[1:4])) for row in cursor.execute(SQL.begin_purge, [most])]


def graves_of(conn: Connection, deletion: bytes) -> list[Pair]:
    """List the blobs a deletion ends, each with its study key."""
    cursor = conn.cursor(binary=True)
    return [(blob, key) for blob, key in cursor.execute(SQL.graves_of, [deletion])]


def end_purge(tx: Connection, deletion: bytes) -> bool:
    """Note that the blobs of a deletion are gone; False when that was noted before."""
    return tx.execute(SQL.end_purge, [deletion]).rowcount > 0


def keys_in_use(conn: Connection, study: UID, keys: Sequence[bytes]) -> set[bytes]:
    """Tell which of a study's keys are needed by what can be found or brought back."""
    cursor = conn.cursor(binary=True)
    rows = cursor.execute(SQL.keys_in_use, {"study": str(study), "keys": Blobs(keys)})
    return {key for (key,) in rows}


def add_dying_keys(tx: Connection, study: UID, keys: Sequence[bytes]) -> None:
    """Note keys that are to be destroyed as soon as that is safe."""
    tx.execute(SQL.add_dying_keys, [str(study), Blobs(keys)])


def dying_keys(conn: Connection) -> list[tuple[UID, list[bytes]]]:
    """List the keys that wait to be destroyed, by study."""
    cursor = conn.cursor(binary=True)
    return [(UID(study), keys) for study, keys in cursor.execute(SQL.list_dying_keys)]


def remove_dying_keys(tx: Connection, keys: Sequence[bytes]) -> None:
    """Forget keys that were destroyed, or are needed again."""
    tx.execute(SQL.remove_dying_keys, [Blobs(keys)])


def names(ref: Ref) -> Names:
    """Name the UIDs of a reference as the statements of this room do: None is "any"."""
    return {
        "study": str(ref.study),
        "series": None if isinstance(ref, StudyRef) else str(ref.series),
        "instance": str(ref.instance) if isinstance(ref, InstanceRef) else None,
    }


def ref_of(study: str, series: str | None, instance: str | None) -> Ref:
    """Make a reference of its UIDs."""
    if series is None:
        return StudyRef(UID(study))
    if instance is None:
        return SeriesRef(UID(study), UID(series))
    return InstanceRef(UID(study), UID(series), UID(instance))


def _clear(tx: Connection, *, series: Iterable[int], studies: Iterable[int]) -> None:
    """Remove what the catalogue shows no more: a deleted patient's name must not stay behind."""
    of_series, of_studies = Longs(sorted(series)), Longs(sorted(studies))
    rows = tx.execute(SQL.identities_of, {"studies": of_studies}).fetchall()
    tx.execute(SQL.clear_series, [of_series])
    tx.execute(SQL.clear_series_differences, [of_series])
    tx.execute(SQL.clear_studies, [of_studies])
    tx.execute(SQL.clear_study_differences, [of_studies])
    tx.execute(SQL.clear_extras, {"series": of_series, "studies": of_studies})
    tx.execute(SQL.clear_patients, [Longs(sorted(pk for (pk,) in rows))])


def _grave(row: tuple[Any, ...]) -> Grave:
    return Grave(series=row[0], instance=row[1], blob_id=row[2], key_id=row[3], size=row[4])
