"""The list of added attributes, what instances say of them, and the walk that fills them in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vna.db.fresh import Fresh
from vna.db.pool import Connection, Database
from vna.db.statements import load
from vna.dicom.refs import Level
from vna.dicom.searchable import Searchable, read_path
from vna.index.arrays import Blobs, Longs, Texts
from vna.index.extras import Extra, hash_of

SQL = load("searchable")

CACHED_S = 1.0
"""How long a process may go on with a list that was changed by another."""


class Pending(NamedTuple):
    """One instance whose attributes are to be read; `sealed` is None where it was past the cap."""

    instance_pk: int
    blob_id: bytes
    key_id: bytes
    key_version: int
    sealed: bytes | None


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk over all instances. `ready`: each was looked at, newcomers are looked at again."""

    reached: int
    newest: int
    ready: bool
    unreadable: int
    age_s: float

    @property
    def percent(self) -> int:
        """How much of it is done."""
        return 100 if self.ready or not self.newest else min(100 * self.reached // self.newest, 99)


class Searchables(Fresh[Searchable]):
    """The added attributes as a process knows them."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(database, listed, fresh_s=CACHED_S, clock=clock)


def listed(conn: Connection) -> tuple[Searchable, ...]:
    """List the added attributes by their paths."""
    rows = conn.execute(SQL.list_searchable, prepare=True).fetchall()
    return tuple(
        Searchable(read_path(path), vr, Level(level), bool(ready))
        for path, vr, level, ready in rows
    )


def add(tx: Connection, one: Searchable) -> bool:
    """Add an attribute and begin the walk; False, and nothing done, when it is there already."""
    if not tx.execute(SQL.add_searchable, [str(one), one.vr, one.level.value]).rowcount:
        return False
    tx.execute(SQL.begin_fill)
    return True


def remove(tx: Connection, one: Searchable) -> bool:
    """Remove an attribute and begin the walk that drops its values; False when it is not there."""
    if not tx.execute(SQL.remove_searchable, [str(one)]).rowcount:
        return False
    if listed(tx):
        tx.execute(SQL.begin_fill)
    else:
        tx.execute(SQL.clear_extras)
        tx.execute(SQL.end_fill)
    return True


def walk(conn: Connection) -> Walk | None:
    """Tell how far the walk has come; None when there is none."""
    row = conn.execute(SQL.find_fill).fetchone()
    return None if row is None else Walk(*row)


def hold_walk(tx: Connection) -> Walk | None:
    """Take the walk for this transaction; None when there is none or somebody is at it."""
    row = tx.execute(SQL.lock_fill).fetchone()
    return None if row is None else Walk(*row)


def pending(tx: Connection, after: int, most: int) -> list[Pending]:
    """Read the next instances of the walk."""
    cursor = tx.cursor(binary=True)
    cursor.execute(SQL.next_instances, [after, most], prepare=True)
    return [Pending(*row) for row in cursor.fetchall()]


def note_reached(tx: Connection, instance_pk: int, unreadable: int) -> None:
    """Remember how far the walk has come."""
    tx.execute(SQL.note_reached, [instance_pk, unreadable])


def note_ready(tx: Connection) -> None:
    """Note that every instance was looked at."""
    tx.execute(SQL.note_searchable_ready)
    tx.execute(SQL.note_ready)


def drop_stale(tx: Connection, instances: Sequence[int]) -> None:
    """Drop terms of the studies and series of these instances that nobody carries any more."""
    tx.execute(SQL.drop_stale_of_studies, [Longs(instances)], prepare=True)
    tx.execute(SQL.drop_stale_of_series, [Longs(instances)], prepare=True)


def end_walk(tx: Connection) -> None:
    """End the walk."""
    tx.execute(SQL.end_fill)


def put(tx: Connection, found: Sequence[tuple[bytes, Extra]]) -> None:
    """Write what instances, by their blobs, say of the added attributes."""
    if not found:
        return
    columns: Sequence[Any] = [
        Blobs(blob_id for blob_id, _ in found),
        Longs(hash_of(one.study) for _, one in found),
        Texts(one.study for _, one in found),
        Longs(hash_of(one.series) for _, one in found),
        Texts(one.series for _, one in found),
        Texts(one.own for _, one in found),
    ]
    tx.execute(SQL.put_extras, columns, prepare=True)
