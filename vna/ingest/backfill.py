"""Attributes made searchable by an administrator: added, removed, and filled in for what is stored.

The values are read from the sealed DICOM JSON, never from the objects, in batches, each with the
place it reached in one transaction: a walk that was cut off goes on where it was, in any process.
While it goes on nothing is matched on a new attribute, since answers would lack what is to come.

    add, remove   the list changes and the walk begins from the first instance, in one transaction
    walk          every instance that there is; then the attributes are ready
    walk again    from a little before the newest of the beginning: a process may have taken in
                  objects by the list as it was, for a second, and committed them later
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from vna.access import policy
from vna.access.audit import Audit, Event
from vna.access.principal import Action, Principal
from vna.blobs.sealing import open_json
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.searchable import Searchable
from vna.errors import Corrupt, NotFound
from vna.index import searchable
from vna.index.extras import Extra
from vna.index.searchable import CACHED_S, Pending, Walk
from vna.ingest.extras import extra_of, json_of, zone_of

log = logging.getLogger(__name__)

_BATCH = 200
_BATCH_BYTES = 8 << 20  # of sealed JSON: what is left over is of the next batch


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch did: how many instances; `walk` None when there is nothing to do (any more).

    `waits` says that all was done that can be: the rest must become older first.
    """

    walk: Walk | None
    instances: int = 0
    waits: bool = False


class SearchIndex:
    """Keeps the list of searchable attributes and fills in their values."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._zone = zone_of(settings.site)
        # what was taken in by an older list is committed by then, or never will be
        self._settled_s = 2 * CACHED_S
        self._swept_s = settings.postgres.statement_s + 2 * CACHED_S

    def attributes(self, principal: Principal) -> tuple[Searchable, ...]:
        """List what was added."""
        policy.require(principal, Action.MANAGE)
        with self._database.reading() as conn:
            return searchable.listed(conn)

    def add(self, principal: Principal, one: Searchable) -> bool:
        """Make an attribute searchable; False when it is so already."""
        policy.require(principal, Action.MANAGE)
        with self._database.transaction() as tx:
            done = searchable.add(tx, one)
            if done:
                self._tell(tx, principal, "index.attribute.added", one)
        return done

    def remove(self, principal: Principal, one: Searchable) -> bool:
        """Make an attribute not searchable; False when it was not."""
        policy.require(principal, Action.MANAGE)
        with self._database.transaction() as tx:
            done = searchable.remove(tx, one)
            if done:
                self._tell(tx, principal, "index.attribute.removed", one)
        return done

    def walk(self) -> Walk | None:
        """Tell how far the walk has come; None when there is none."""
        with self._database.reading() as conn:
            return searchable.walk(conn)

    def step(self) -> Step:
        """Do one batch of the walk, if there is one and no other process is at it."""
        with self._database.reading() as conn:
            if searchable.walk(conn) is None:  # the usual case, without a transaction
                return Step(None)
        with self._database.transaction() as tx:
            walk = searchable.hold_walk(tx)
            if walk is None:
                return Step(None, waits=True)
            batch = _fitting(searchable.pending(tx, walk.reached, _BATCH))
            if batch:
                self._fill(tx, batch)
                return Step(walk, len(batch))
            return Step(walk, waits=not self._end_of(tx, walk))

    def _end_of(self, tx: Connection, walk: Walk) -> bool:
        """Every instance was looked at: go on to what comes next; False while it is too early."""
        if not walk.ready:
            if walk.age_s < self._settled_s:
                return False
            searchable.note_ready(tx)
            log.info("attributes ready", extra={"unreadable": walk.unreadable})
            return True
        if walk.age_s < self._swept_s:
            return False
        searchable.end_walk(tx)
        return True

    def _fill(self, tx: Connection, batch: list[Pending]) -> None:
        added = searchable.listed(tx)
        found = []
        unreadable = 0
        for one in batch:
            try:
                found.append((one.blob_id, self._extra(one, added)))
            except NotFound:
                continue  # deleted, or its key destroyed: nothing of it is found any more
            except Corrupt as exc:
                unreadable += 1
                why = {"blob": one.blob_id.hex(), "why": str(exc)}
                log.error("metadata unreadable", extra=why)  # noqa: TRY400 -- damage is a finding
        searchable.put(tx, found)
        searchable.drop_stale(tx, [one.instance_pk for one in batch])
        searchable.note_reached(tx, batch[-1].instance_pk, unreadable)

    def _extra(self, one: Pending, added: tuple[Searchable, ...]) -> Extra:
        if one.sealed is None:
            return extra_of(json_of(self._store, one.blob_id), added, self._zone)
        key = self._store.keys.open(one.key_id, one.key_version)
        return extra_of(open_json(key, one.blob_id, one.sealed), added, self._zone)

    def _tell(self, tx: Connection, principal: Principal, kind: str, one: Searchable) -> None:
        detail = {"attribute": str(one), "level": one.level.value}
        self._audit.write(tx, principal, [Event(kind=kind, outcome="done", detail=detail)])


def _fitting(batch: list[Pending]) -> list[Pending]:
    size = 0
    for number, one in enumerate(batch):
        size += len(one.sealed or b"")
        if size > _BATCH_BYTES:
            return batch[: number + 1]
    return batch
