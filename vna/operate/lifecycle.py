"""Deleting and bringing back: authorise, write down, take effect, answer.

Written down first: a tombstone in the journal names every blob before anybody hears that it is
done, so neither a crash nor a rebuilt index brings back what was deleted.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from vna import telemetry
from vna.access.audit import Audit
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.layout import created_at, uuid7
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, Ref, StudyRef
from vna.errors import Conflict, Gone, NotFound, Unavailable, VNAError
from vna.index import deleted, holds
from vna.index.deleted import Deletion, Pair, Standing
from vna.operate.graveyard import Graveyard, actor_of, event
from vna.operate.tombstones import (
    UNDELETE,
    Act,
    Undeletion,
    without,
    write_deletion,
    write_undeletion,
)
from vna.texts import marked

log = logging.getLogger(__name__)

_BATCH = 1000  # blobs that come back in one transaction
_LISTED = 1000

T = TypeVar("T")


class Found(Protocol):
    """What indexing blobs again gives."""

    @property
    def refused(self) -> list[tuple[str, str]]:
        """The blobs that could not be read, and why."""


Restore = Callable[[Sequence[bytes], Callable[[Connection], set[bytes]]], Found]
"""Index blobs again, those of them that the given function frees in the same transaction."""


@dataclass(slots=True)
class Restored:
    """What was brought back. `refused` names each blob that cannot be read, and why."""

    blobs: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class LifecycleEngine:
    """Deletes and brings back. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        graveyard: Graveyard,
        restore: Restore,
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._grace = dt.timedelta(days=settings.deletion.grace_days)
        self._graveyard = graveyard
        self._restore = restore

    def delete(self, principal: Principal, ref: Ref) -> Deletion:
        """Delete a study, a series or an instance, every version of it.

        What comes in later under its UIDs is new. Raises `NotPermitted`, `NotFound`, `Gone`;
        `Conflict` when its study is held; `Unavailable` also when the act is written down and will
        only take effect later.
        """
        require(principal, Action.DELETE, ref)
        with self._database.reading() as conn:
            graves = deleted.targets(conn, ref)
            if not graves:
                raise Gone if deleted.is_gone(conn, ref) else NotFound
        act_id = uuid7()
        at = created_at(act_id)
        deletion = Deletion(
            id=act_id,
            ref=ref,
            at=at,
            due=at + self._grace,
            actor=principal.name,
            graves=tuple(graves),
        )
        with self._database.transaction() as tx:
            _require_free(tx, ref.study)  # and nobody holds it before this is written down
            act = write_deletion(self._graveyard.journal, deletion)
        if isinstance(ref, StudyRef):
            self._store.keys.retire(ref.study)
        self._effect(lambda: self._graveyard.apply(act, deletion, principal))
        telemetry.DELETIONS.labels("deleted").inc()
        return deletion

    def undelete(self, principal: Principal, ref: Ref) -> Restored:
        """Bring back what was deleted of a study, a series or an instance.

        What came in meanwhile stays; versions of one UID are settled as always. Raises
        `NotPermitted`, `NotFound`, `Gone` when its time is over, `Unavailable` as `delete` does.
        """
        require(principal, Action.DELETE, ref)
        with self._database.transaction() as tx:
            pairs = deleted.hold(tx, ref)
        if not pairs:
            raise self._not_there(ref)
        act_id = uuid7()
        undeletion = Undeletion(
            id=act_id, ref=ref, at=created_at(act_id), actor=principal.name, revoked=tuple(pairs)
        )
        act = write_undeletion(self._graveyard.journal, undeletion)
        restored = self._effect(lambda: self._revive(act, undeletion, principal))
        telemetry.DELETIONS.labels("undeleted").inc()
        return restored

    def is_gone(self, principal: Principal, ref: Ref) -> bool:
        """Tell whether `ref`, which was not found, was deleted and may be known of."""
        if not principal.scope.touches(ref):
            return False
        with self._database.reading() as conn:
            return deleted.is_gone(conn, ref)

    def deletions(self, principal: Principal) -> list[Standing]:
        """List what can still be brought back, the latest first. Raises `NotPermitted`."""
        require(principal, Action.DELETE)
        with self._database.reading() as conn:
            found = deleted.standing(conn, most=_LISTED)
        return [one for one in found if principal.scope.covers(one.ref)]

    def places_of(self, principal: Principal, uid: UID, *, gone: bool = False) -> list[Ref]:
        """Find what a UID stands for among what is there, or among what was deleted."""
        require(principal, Action.DELETE)
        with self._database.reading() as conn:
            find = deleted.deleted_places_of if gone else deleted.places_of
            found = find(conn, uid)
        return [ref for ref in found if principal.scope.covers(ref)]

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts.

        Raises `Corrupt` when an entry cannot be read: until it can, nothing must be adopted.
        """
        acts = self._graveyard.unapplied(older_s=older_s, since=since)
        undone = [act for act in acts if isinstance(act.what, Undeletion)]
        revoked = {
            pair for act in undone if isinstance(act.what, Undeletion) for pair in act.what.revoked
        }
        for act in acts:
            if isinstance(act.what, Deletion):
                self._graveyard.apply(act, without(act.what, revoked), actor_of(act))
        for act in undone:
            if isinstance(act.what, Undeletion):
                self._revive(act, act.what, actor_of(act))
        if acts:
            log.warning("acts of the journal brought in", extra={"acts": len(acts)})
        return len(acts)

    def _revive(self, act: Act, undeletion: Undeletion, principal: Principal) -> Restored:
        """Bring blobs back, a thousand a transaction; the last one says that it is done."""
        by_blob: dict[bytes, list[Pair]] = {}
        for pair in undeletion.revoked:
            by_blob.setdefault(pair[1], []).append(pair)
        blobs = list(by_blob)
        restored = Restored(blobs=len(blobs))
        for start in range(0, len(blobs), _BATCH):
            some = blobs[start : start + _BATCH]
            is_last = start + _BATCH >= len(blobs)
            pairs = [pair for blob in some for pair in by_blob[blob]]

            def free(
                tx: Connection, pairs: list[Pair] = pairs, is_last: bool = is_last
            ) -> set[bytes]:
                freed = deleted.free(tx, pairs)
                if is_last and deleted.mark_applied(tx, act.entries, UNDELETE):
                    told = event(undeletion.ref, "undeleted", blobs=len(blobs))
                    self._audit.write(tx, principal, [told])
                return freed

            restored.refused += self._restore(some, free).refused
        return restored

    def _effect(self, take: Callable[[], T]) -> T:
        """Let an act that is written down take effect; from here on it stands, whatever happens."""
        try:
            return take()
        except VNAError as exc:
            log.error("act written down, not in effect yet", extra={"why": str(exc)})  # noqa: TRY400 -- brought in by the upkeep
            raise Unavailable(
                marked(
                    "This is written down and will take effect as soon as the index can be changed."
                )
            ) from exc

    def _not_there(self, ref: Ref) -> NotFound:
        with self._database.reading() as conn:
            if deleted.is_gone(conn, ref):
                return Gone("This was deleted for good: its time of grace is over.")
        return NotFound("Nothing of this was deleted.")


def _require_free(tx: Connection, study: UID) -> None:
    """Refuse what would delete of a study that is held. Raises `Conflict`."""
    holds.rely(tx)
    if holds.is_held(tx, study):
        raise Conflict(
            marked("This study is held: nothing of it can be deleted until it is let go.")
        )
