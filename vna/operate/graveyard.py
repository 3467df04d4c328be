"""The journal's deletions brought into the index: when they are made, after a crash, at reindex.

An act stands from the moment its last journal entry is durable. What the index does not show yet is
brought in by `catch_up`: an act takes effect once, in one transaction with its audit row.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable

from vna.access.audit import Audit, Event
from vna.access.principal import Principal, system
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.refs import InstanceRef, Ref
from vna.index import deleted
from vna.index.deleted import Deletion, Pair
from vna.operate.tombstones import DELETE, UNDELETE, Act, Reading, Undeletion, read, without

log = logging.getLogger(__name__)

INCOMPLETE_S = 3600.0  # an act that lacks a part for so long lacks it for ever


class Graveyard:
    """Applies deletions to the index. One a process, shared by its threads."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self.journal = Journal(store)
        self._store = store
        self._database = database
        self._audit = audit
        self._policy = settings.versions.policy

    def apply(self, act: Act, deletion: Deletion, principal: Principal) -> None:
        """Take a deletion's blobs out of the catalogue, unless that was done before."""

        def work(tx: Connection) -> None:
            if not deleted.mark_applied(tx, act.entries, DELETE):
                return
            if not deletion.graves:
                return
            risen = deleted.bury(tx, deletion, policy=self._policy)
            self._audit.write(tx, principal, [_buried(deletion), *map(_risen, risen)])

        self._database.changing(work)

    def lay(self, tx: Connection) -> None:
        """Write every deletion that stands into an emptied catalogue, before blobs are indexed.

        Raises `Corrupt` when the journal cannot be read whole: without it, what was deleted would
        come back.
        """
        revoked, entries = self._revoked()
        for act in read(self.journal.replay()):
            if isinstance(act.what, Deletion):
                deletion = without(act.what, revoked)
                if deletion.graves:
                    deleted.note(tx, deletion)
                deleted.mark_applied(tx, act.entries, DELETE)
        deleted.mark_applied(tx, entries, UNDELETE)

    def unapplied(self, *, older_s: float, since: dt.date | None = None) -> list[Act]:
        """Read the acts the index does not show yet, in order of time.

        Those younger than `older_s` seconds may be under way in another process.
        """
        reading = Reading()
        acts: list[Act] = []
        known = deleted.known_to(self._database)
        for entry in self.journal.unknown(known, older_s=older_s, since=since):
            act = reading.take(entry)
            if act is not None:
                acts.append(act)
        self._give_up(reading.incomplete())
        return acts

    def _give_up(self, entries: Iterable[Entry]) -> None:
        """Note acts that will never be whole, so that they are not read again and again."""
        latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=INCOMPLETE_S)
        old = [entry.id for entry in entries if created_at(entry.id) < latest]
        if old:
            with self._database.transaction() as tx:
                deleted.mark_applied(tx, old, "incomplete")
            log.warning("unfinished deletions ignored", extra={"entries": len(old)})

    def _revoked(self) -> tuple[set[Pair], list[bytes]]:
        pairs: set[Pair] = set()
        entries: list[bytes] = []
        for act in read(self.journal.replay()):
            if isinstance(act.what, Undeletion):
                pairs.update(act.what.revoked)
                entries += act.entries
        return pairs, entries


def actor_of(act: Act) -> Principal:
    """Who is said to have done what is brought in after a crash."""
    return system(f"recovery for {act.what.actor}")


def event(ref: Ref, done: str, **detail: object) -> Event:
    """Write the audit event of an act on a study, series or instance."""
    uids = deleted.names(ref)
    level = [name for name, uid in uids.items() if uid is not None][-1]
    return Event(kind=f"{level}.{done}", outcome="done", **uids, detail=detail)


def _buried(deletion: Deletion) -> Event:
    return event(
        deletion.ref,
        "deleted",
        deletion=deletion.id.hex(),
        blobs=len(deletion.graves),
        size=sum(grave.size for grave in deletion.graves),
        due=deletion.due.isoformat(),
    )


def _risen(ref: InstanceRef) -> Event:
    return event(ref, "risen", why="a deletion left another version current")
