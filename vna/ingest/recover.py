"""What a crash left behind, and the index from nothing.

A blob that is complete, verifies and has no row was never lost, only not yet acknowledged: it is
adopted. Reindex is the same step for every blob, after the catalogue was emptied.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from vna import telemetry
from vna.access.audit import Audit, Event
from vna.access.principal import Principal, system
from vna.blobs.layout import created_at
from vna.blobs.meta import read
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.errors import Corrupt, Gone, NotFound, VNAError
from vna.index import feed
from vna.index.deleted import dead
from vna.index.register import (
    Registered,
    Registration,
    Verdict,
    clear,
    known,
    register,
    register_version,
)
from vna.index.registration import Existing
from vna.index.searchable import Searchables
from vna.ingest.commit import stored_event
from vna.ingest.derive import from_blob
from vna.ingest.quarantine import Quarantine
from vna.ingest.routing import Router
from vna.ingest.versions import Comparison, compare

log = logging.getLogger(__name__)

_BATCH = 200


@dataclass(slots=True)
class Found:
    """What a walk over the blobs did. `refused` names each blob that could not be read, and why.

    `aside` counts those in quarantine, which nothing but the journal lets out.
    """

    blobs: int = 0
    indexed: int = 0
    removed: int = 0
    aside: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class Recovery:
    """Walks the blobs and brings the index into agreement with them."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        lay: Sequence[Callable[[Connection], None]],
        router: Router,
    ) -> None:
        """`lay` writes what the journal knows into an emptied catalogue: deletions, corrections."""
        self._quarantine = Quarantine(
            store=store, database=database, audit=audit, settings=settings
        )
        self._store = store
        self._database = database
        self._audit = audit
        self._settings = settings
        self._lay = lay
        self._router = router
        self._searchables = Searchables(database)

    def adopt(self, *, older_s: float, since: dt.date | None = None) -> Found:
        """Index every complete blob without a row that is older than `older_s` seconds.

        Younger ones may still be on their way to a row in another process. A blob whose content is
        indexed already under another blob is removed.
        """
        found = Found()
        self._quarantine.look_again()
        latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=older_s)
        for batch in _batches(self._store.blob_ids(since=since)):
            old = [b for b in batch if created_at(b) <= latest]
            found.blobs += len(old)
            with self._database.reading() as conn:
                # in this order: a blob that is deleted in between is found by the second
                there = known(conn, old)
                there |= dead(conn, old)
                there |= self._quarantine.holding(conn, old)
            for blob_id in old:
                if blob_id not in there:
                    self._adopt_one(blob_id, found)
        return found

    def reindex(
        self,
        progress: Callable[[int], None] = lambda _: None,
        *,
        emptying: Callable[[], None] = lambda: None,
    ) -> Found:
        """Empty the catalogue and build it again from the blobs alone, in order of their making.

        `emptying` is called when nothing stands in the way any more, before that is committed.
        """
        found = Found()
        self._quarantine.look_again()
        actor = system("reindex")
        with self._database.transaction() as tx:
            clear(tx)
            for lay in self._lay:
                lay(tx)
            self._quarantine.lay(tx)
            self._audit.write(tx, actor, [Event(kind="reindex.begun", outcome="ok")])
            feed.begin_anew(tx)
            emptying()
        for batch in _batches(self._store.blob_ids()):
            with self._database.reading() as conn:
                gone = dead(conn, batch)
            living = sorted(blob_id for blob_id in batch if blob_id not in gone)
            items = [item for b in living if (item := self._read(b, found)) is not None]
            self._index(items, found, actor)
            found.blobs += len(batch)
            progress(found.blobs)
        with self._database.transaction() as tx:
            detail = {"blobs": found.blobs, "indexed": found.indexed}
            self._audit.write(tx, actor, [Event(kind="reindex.ended", outcome="ok", detail=detail)])
        return found

    def restore(
        self,
        blob_ids: Sequence[bytes],
        free: Callable[[Connection], set[bytes]],
        *,
        work_of: str = "undelete",
        act: str | None = None,
    ) -> Found:
        """Index blobs that were kept from the index: those `free` sets free, in its transaction.

        They were deleted, or in quarantine. What is said of them as versions of their UIDs is what
        ingest would say of them now. With an act each one that is new leaves a row in the audit
        trail, under the name of who brought it.
        """
        found = Found(blobs=len(blob_ids))
        items = [self._read(b, found, is_free=True) for b in sorted(blob_ids)]
        sound = [item for item in items if item is not None]
        if act is not None:  # it comes in only now: what is to be sent on is sent on
            sound = [dataclasses.replace(item, routes=self._router.of(item)) for item in sound]

        def work(tx: Connection) -> tuple[list[Registration], list[Registered]]:
            freed = free(tx)
            items = [item for item in sound if item.blob_id in freed]
            results = register(tx, items, policy=self._settings.versions.policy, act=act)
            if act is not None:
                self._router.queue(tx, zip(items, results, strict=True))
            return items, results

        actor = system(work_of)
        for item, result in zip(*self._database.changing(work), strict=True):
            self._settle(item, result, actor, found)
        return found

    def _index(self, items: list[Registration], found: Found, actor: Principal) -> None:
        policy = self._settings.versions.policy
        results = self._database.changing(lambda tx: register(tx, items, policy=policy))
        for item, result in zip(items, results, strict=True):
            if result.verdict is Verdict.DIFFERS:
                self._as_version(item, actor)
            found.indexed += 1

    def _as_version(self, item: Registration, actor: Principal) -> Registered:
        """Decide again what ingest decided when this blob came second under its UID."""
        result = self._met(item)
        if result.verdict is not Verdict.DIFFERS:
            return result
        is_encoding = any(self._is_encoding(item, other) for other in result.existing)
        reason = "encoding" if is_encoding else "content"
        with self._database.transaction() as tx:
            made = register_version(tx, item, reason=reason, policy=self._settings.versions.policy)
            self._audit.write(
                tx, actor, [stored_event(item, made, kind=f"instance.version.{reason}")]
            )
        return made

    def _met(self, item: Registration) -> Registered:
        """Ask again whom it meets: of its own batch only the first of its UID was there."""
        policy = self._settings.versions.policy
        return self._database.changing(lambda tx: register(tx, [item], policy=policy))[0]

    def _is_encoding(self, item: Registration, other: Existing) -> bool:
        """Whether two blobs of one UID differ in their encoding alone; not if one is unreadable."""
        try:
            seen = compare(
                self._store.reader(other.blob_id),
                other.transfer_syntax,
                self._store.reader(item.blob_id),
                item.transfer_syntax,
                self._settings.limits,
            )
        except VNAError as exc:  # both are kept: the damage of one must not end a rebuilding
            blobs = {"blob": item.blob_id.hex(), "other": other.blob_id.hex()}
            log.error("versions not compared", extra={**blobs, "why": str(exc)})  # noqa: TRY400 -- damage is a finding, not a fault of ours: no trace
            return False
        return seen is Comparison.ENCODING

    def _adopt_one(self, blob_id: bytes, found: Found) -> None:
        item = self._read(blob_id, found, verify=True)
        if item is None:
            return
        # it was never acknowledged: who sent it sends it again, and then it is nothing new
        item = dataclasses.replace(item, routes=self._router.of(item))
        actor = system("recovery")
        try:
            result = self._database.changing(partial(self._adopted, item))
        except Gone:
            return  # it had a row meanwhile, and was deleted: that stands
        if self._settle(item, result, actor, found):
            telemetry.BLOBS_ADOPTED.inc()
            log.warning("blob adopted", extra={"blob": blob_id.hex()})

    def _adopted(self, item: Registration, tx: Connection) -> Registered:
        policy = self._settings.versions.policy
        results = register(tx, [item], policy=policy, act="instance.recovered")
        if dead(tx, [item.blob_id]):  # seen now that nobody else can take the row away
            raise Gone
        self._router.queue(tx, [(item, results[0])])
        return results[0]

    def _settle(
        self, item: Registration, result: Registered, actor: Principal, found: Found
    ) -> bool:
        """Find the place of a blob among the versions of its UID; False when it is not needed."""
        if result.verdict is Verdict.DIFFERS:
            result = self._as_version(item, actor)
        if result.verdict is Verdict.SAME and result.blob_id != item.blob_id:
            self._store.delete(item.blob_id)
            found.removed += 1
            return False
        found.indexed += 1
        return True

    def _read(
        self, blob_id: bytes, found: Found, *, verify: bool = False, is_free: bool = False
    ) -> Registration | None:
        try:
            reader = self._store.reader(blob_id)
            if verify:
                reader.verify()
            meta = read(reader.meta())
            if not is_free and self._quarantine.keeps(reader, meta):
                found.aside += 1
                return None
            return from_blob(
                self._store,
                reader,
                site=self._settings.site,
                limits=self._settings.limits,
                added=self._searchables.now(),
                meta=meta,
            )
        except Gone:
            # nobody deleted this blob, or it would not be read: a rebuild must not pass over it
            if not verify:
                found.refused.append((blob_id.hex(), "Its study key is not there: it is lost."))
            return None  # without a row it may be left of a study that was destroyed
        except NotFound:
            return None  # another process removed it
        except Corrupt as exc:
            log.error("blob unreadable", extra={"blob": blob_id.hex(), "why": str(exc)})  # noqa: TRY400 -- damage is a finding, not a fault of ours: no trace
            found.refused.append((blob_id.hex(), str(exc)))
            return None
        except VNAError as exc:
            found.refused.append((blob_id.hex(), str(exc)))
            return None


def _batches(ids: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(ids, _BATCH)):
        yield batch
