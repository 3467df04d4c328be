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
from vna.errors import Conflict, Corrupt, NotFound
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
    """Keeps the list of searchable attributes and fills in their values.

    After `settled_s` seconds every process has the new list; after `swept_s` what was taken in by
    the old one is committed, or never will be.
    """

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._zone = zone_of(settings.site)
        self.settled_s = 2 * CACHED_S
        self.swept_s = settings.postgres.statement_s + 2 * CACHED_S

    def attributes(self, principal: Principal) -> tuple[Searchable, ...]:
        """List what was added."""
        policy.require(principal, Action.MANAGE)
        with self._database.reading() as conn:
            return searchable.listed(conn)

    def add(self, principal: Principal, one: Searchable) -> bool:
        """Make an attribute searchable; False when it is so already.

        Raises `Conflict` when what its path begins with is searched at another level.
        """
        policy.require(principal, Action.MANAGE)

        def work(tx: Connection) -> bool:
            for other in searchable.listed(tx):
                if other.path[0] == one.path[0] and other.level is not one.level:
                    raise Conflict(f"{other} is searched at the level {other.level.value}.")
            return searchable.add(tx, one) and self._tell(tx, principal, "added", one)

        return self._database.changing(work)

    def remove(self, principal: Principal, one: Searchable) -> bool:
        """Make an attribute not searchable; False when it was not."""
        policy.require(principal, Action.MANAGE)
        return self._database.changing(
            lambda tx: searchable.remove(tx, one) and self._tell(tx, principal, "removed", one)
        )

    def walk(self) -> Walk | None:
        """Tell how far the walk has come; None when there is none."""
        with self._database.reading() as conn:
            return searchable.walk(conn)

    def step(self) -> Step:
        """Do one batch of the walk, if there is one and no other process is at it."""
        with self._database.reading() as conn:
            if searchable.walk(conn) is None:  # the usual case, without a transaction
                return Step(None)
        return self._database.changing(self._batch)

    def _batch(self, tx: Connection) -> Step:
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
            if walk.age_s < self.settled_s:
                return False
            searchable.note_ready(tx)
            log.info("attributes ready", extra={"unreadable": walk.unreadable})
            return True
        if walk.age_s < self.swept_s:
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

    def _tell(self, tx: Connection, principal: Principal, act: str, one: Searchable) -> bool:
        detail = {"attribute": str(one), "level": one.level.value}
        kind = f"index.attribute.{act}"
        self._audit.write(tx, principal, [Event(kind=kind, outcome="done", detail=detail)])
        return True


def _fitting(batch: list[Pending]) -> list[Pending]:
    size = 0
    for number, one in enumerate(batch):
        size += len(one.sealed or b"")
        if size > _BATCH_BYTES:
            return batch[: number + 1]
    return batch
