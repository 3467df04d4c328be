"""The end of what was deleted: its keys are destroyed, then its blobs are removed.

A study key goes only when nothing lives under it: no instance that can be found, none that can be
brought back, no blob without a row, and none that any process may still be writing. Until all of
that holds the key is noted as dying and looked at again. Each step may be repeated after a crash.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from vna import telemetry
from vna.access.audit import Audit
from vna.access.principal import system
from vna.blobs.keys import MAKE_S
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, Ref
from vna.errors import Corrupt, NotFound
from vna.index import corrections, deleted, holds
from vna.index.register import known
from vna.operate.graveyard import event

log = logging.getLogger(__name__)

REST_S = MAKE_S + 86400.0
"""A key this old seals nothing any more: handed out for an hour, and no object takes a day."""

_ACTS = 100
_BATCH = 1000
_ANY = b""
_SKEW = dt.timedelta(hours=1)  # between the clocks of processes that share a store


@dataclass(slots=True)
class Purged:
    """What one turn did."""

    deletions: int = 0
    blobs: int = 0
    keys: int = 0
    dying: int = 0


class Purge:
    """Ends deletions whose time of grace is over. For one thread of one process at a time."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, rest_s: float = REST_S
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._rest_s = rest_s

    def run(self) -> Purged:
        """End what is due. Raises `Unavailable`, and goes on from there at the next turn."""
        done = Purged()
        days: dict[dt.date, set[bytes]] = {}
        while True:
            with self._database.transaction() as tx:
                holds.rely(tx)
                due = deleted.begin_purge(tx, most=_ACTS)
            for deletion, ref in due:
                self._end(deletion, ref, days, done)
            if len(due) < _ACTS:
                break
        self._bury_keys(days, done)
        if done.deletions or done.keys:
            about = {"deletions": done.deletions, "blobs": done.blobs, "keys": done.keys}
            log.info("deletions purged", extra={**about, "dying_keys": done.dying})
        return done

    def _end(
        self, deletion: bytes, ref: Ref, days: dict[dt.date, set[bytes]], done: Purged
    ) -> None:
        with self._database.reading() as conn:
            graves = deleted.graves_of(conn, deletion)
        keys = sorted({key for _, key in graves})
        destroyed = self._destroy(ref.study, keys, days)  # first: what is left is unreadable then
        for blob, _ in graves:
            self._store.delete(blob)
        kept = [key for key in keys if key not in destroyed]

        def note(tx: Connection) -> None:
            if deleted.end_purge(tx, deletion):
                deleted.add_dying_keys(tx, ref.study, kept)
                corrections.forget(tx, ref.study)
                about = {"blobs": len(graves), "keys": len(destroyed), "keys_kept": len(kept)}
                told = event(ref, "purged", deletion=deletion.hex(), **about)
                self._audit.write(tx, system("purge"), [told])

        self._database.changing(note)
        telemetry.BLOBS_PURGED.inc(len(graves))
        telemetry.DELETIONS.labels("purged").inc()
        done.deletions += 1
        done.blobs += len(graves)
        done.keys += len(destroyed)

    def _bury_keys(self, days: dict[dt.date, set[bytes]], done: Purged) -> None:
        """Look again at the keys that could not go with their blobs."""
        with self._database.reading() as conn:
            dying = deleted.dying_keys(conn)
        for study, keys in dying:
            destroyed = self._destroy(study, keys, days)
            with self._database.transaction() as tx:
                needed = deleted.keys_in_use(tx, study, keys)
                deleted.remove_dying_keys(tx, [*destroyed, *needed])
            done.keys += len(destroyed)
            done.dying += len(set(keys) - destroyed - needed)

    def _destroy(
        self, study: UID, keys: Sequence[bytes], days: dict[dt.date, set[bytes]]
    ) -> set[bytes]:
        """Destroy those of a study's keys that nothing can need any more."""
        latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=self._rest_s)
        old = [key for key in keys if created_at(key) <= latest]
        if not old:
            return set()
        with self._database.reading() as conn:
            used = deleted.keys_in_use(conn, study, old)
        free = {key for key in old if key not in used and not self._seals_a_stray(key, days)}
        for key in sorted(free):
            self._store.keys.destroy(key)
        return free

    def _seals_a_stray(self, key: bytes, days: dict[dt.date, set[bytes]]) -> bool:
        """Tell whether a blob that no row and no deletion names is sealed under a key.

        Such a blob may be one a restored database does not know yet: it is waiting to be adopted.
        """
        first = (created_at(key) - _SKEW).date()
        last = (created_at(key) + dt.timedelta(seconds=MAKE_S) + _SKEW).date()
        while first <= last:
            if first not in days:
                days[first] = self._keys_of_strays(first)
            if key in days[first] or _ANY in days[first]:
                return True
            first += dt.timedelta(days=1)
        return False

    def _keys_of_strays(self, day: dt.date) -> set[bytes]:
        found: set[bytes] = set()
        for batch in _batches(self._store.blob_ids_of(day)):
            with self._database.reading() as conn:
                named = known(conn, batch)
                named |= deleted.dead(conn, batch)
            for blob in batch:
                if blob not in named:
                    found |= self._key_of(blob)
        return found

    def _key_of(self, blob: bytes) -> set[bytes]:
        try:
            return {self._store.key_of(blob)}
        except NotFound:
            return set()  # removed meanwhile
        except Corrupt:
            # it may be mended from a copy, and nobody knows which key it will need then
            log.warning("no key of its day is destroyed", extra={"damaged_blob": blob.hex()})
            return {_ANY}


def _batches(ids: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(ids, _BATCH)):
        yield batch
