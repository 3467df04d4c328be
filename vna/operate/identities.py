"""Whom studies are about: the rules applied to what comes in, and what people decide of the rest.

Rules make identities and propose; they never make two ids one person but by a number that
identifies. A decision is in the journal before it is answered, can be turned round by the next one,
and rewrites nothing: a link taken back leaves everything as it was before. A link that shows more
of somebody to others takes two people (`identity_proposals`). How a decision takes effect is
`identity_decisions`, what people are shown `identity_views`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from vna.access.audit import Audit, Event
from vna.access.principal import Principal
from vna.blobs.journal import Journal
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import Conflict, InvalidRequest, NotFound, NotProven, Unavailable, VNAError
from vna.index import deleted
from vna.operate.corrections import Suspend
from vna.operate.identity_decisions import LATER, STATES, IdentityDecisions
from vna.operate.identity_entries import APART, BOUND, DECEASED, LINK, described
from vna.operate.identity_proposals import (
    IdentityProposals,
    require_reason,
    require_whole,
)
from vna.operate.identity_views import IdentityViews, Studies, covered, studies_of
from vna.patients import proposals, store
from vna.patients.matching import look_at
from vna.patients.numbers import read_issuers
from vna.patients.proposals import Proposal
from vna.patients.store import Case, Decision, Identity, Standing, pair_of
from vna.texts import marked

_DECIDED = {
    "linked": marked("These two are linked already."),
    "apart": marked("These two are apart already."),
}
_PARTED = "Two patients were taken for one: look at what was shared of them."
_BATCH = 1000  # each looks through all that is due: a million after a reindex
_AT_ONCE = 1000  # studies whose patients are looked at before what is shown of two is asked


class IdentityEngine:
    """Keeps identities. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        suspend: Suspend,
    ) -> None:
        """`suspend` lets nobody in any more who was given a study while it was linked."""
        self._suspend = suspend
        self._store = store
        self._journal = Journal(store)
        self._database = database
        self._audit = audit
        self._issuers = read_issuers(settings.patients.identifying)
        self._decisions = IdentityDecisions(journal=self._journal, database=database, audit=audit)
        self.proposals = IdentityProposals(database=database, audit=audit)
        self.views = IdentityViews(database, audit, self.proposals)

    def keep_up(self, most: int | None = None) -> int:
        """Look at the patients of studies that are new or say something else; count the studies."""
        count = 0
        with self._database.reading() as conn:
            waits = store.is_due(conn)
        while waits and (most is None or count < most):
            found = self._database.changing(self._look)
            count += found
            waits = found > 0
        return count

    def standing(self, study: UID) -> Standing | None:
        """Say whom a study is about and what stands in the way of sharing it.

        None when it has no Patient ID, or nobody has looked at it yet.
        """
        with self._database.reading() as conn:
            return store.standing(conn, study)

    def link(
        self, principal: Principal, one: bytes, other: bytes, *, reason: str
    ) -> Studies | Proposal:
        """Say that two identities are one person; give the studies of that person.

        Where others are shown something of either person it is a proposal: nothing is linked before
        a second person agrees. Raises `NotPermitted`, `NotFound`, `InvalidRequest`, `Conflict` when
        they are linked or proposed; `Unavailable` also when it is written down and will only take
        effect later.
        """
        first, second, now = self._looked_at(principal, LINK, one, other, reason)
        is_linked = now is not None and now.state == "linked"
        self.keep_up(_AT_ONCE)

        def alone(tx: Connection) -> dict[str, str] | None:
            is_needed = not is_linked and proposals.is_shown(tx, (first.id, second.id))
            return None if is_needed else {"reason": reason.strip()}

        if not self._linked(principal, first, second, alone):
            return self.proposals.add(principal, first, second, reason.strip())
        return self._studies_of(principal, first, second)

    def agree(
        self,
        principal: Principal,
        one: bytes,
        other: bytes,
        *,
        is_fresh: bool,
        number: int | None = None,
    ) -> Studies:
        """Link two identities as somebody else has proposed; give the studies of that person.

        `number` is the proposal they were shown: no later one is agreed to unseen. Raises
        `NotProven` for who showed no second factor just now, `Conflict` for who proposed it,
        `NotFound` when nobody proposes it any more, `Unavailable` as `link` does.
        """
        require_whole(principal)
        if not is_fresh:
            raise NotProven
        first, second = self._known(*pair_of(one, other))

        def agreed(tx: Connection) -> dict[str, str]:
            held = self.proposals.held_for(tx, principal, (first.id, second.id), number)
            return {"reason": held.reason, "proposed_by": held.proposed_by}

        self._linked(principal, first, second, agreed)
        return self._studies_of(principal, first, second)

    def part(self, principal: Principal, one: bytes, other: bytes, *, reason: str) -> Studies:
        """Say that two identities are not one person: never proposed or linked again by a rule.

        A link between them is taken back. Gives the studies of both, which somebody should look
        at: they may have been shared together. Raises as `link` does.
        """
        first, second, now = self._looked_at(principal, APART, one, other, reason)
        is_parted = now is not None and now.state == "linked"
        if is_parted:
            self._suspend_all(principal, first, second)
        found = self._decide(principal, APART, first, second, reason)
        if is_parted:  # once more: a share of both may have been under way
            self._suspend_all(principal, *self._known(first.id, second.id))
        return found

    def defer(self, principal: Principal, one: bytes, other: bytes) -> None:
        """Put a pair off; it stays in the worklist, last. Raises `NotFound`."""
        require_whole(principal)

        def put_off(tx: Connection) -> None:
            if not store.defer(tx, pair_of(one, other)):
                raise NotFound(marked("These two do not wait for anybody to decide."))
            detail = {"first": min(one, other).hex(), "second": max(one, other).hex()}
            event = Event(kind="identity.deferred", outcome="done", detail=detail)
            self._audit.write(tx, principal, [event])

        self._database.changing(put_off)

    def deceased(
        self, principal: Principal, identity: bytes, died: dt.date | None, *, reason: str
    ) -> None:
        """Note when a patient died, None that they did not; later studies are an alert (R9)."""
        require_whole(principal)
        require_reason(reason)
        (found,) = self._known(identity)
        target = {"first": described(found)}
        args = {"died": died and died.strftime("%Y%m%d"), "reason": reason.strip()}
        entry = self._journal.append(DECEASED, target, args, principal.name)
        self._decisions.effect(entry, principal)
        self.keep_up()  # the patient's studies are looked at again

    def bound(self, tx: Connection, principal: Principal, identity: bytes, *, account: str) -> None:
        """Write down that an account is bound to an identity, last in the transaction that does it.

        The journal keeps what the identity is called: it is called so again when all studies are
        taken in anew. Raises `NotFound`, `Unavailable`.
        """
        found = store.find(tx, [identity]).get(identity)
        if found is None:
            raise NotFound("There is no such identity.")
        args = {"reason": f"account {account}", "account": account}
        entry = self._journal.append(BOUND, {"first": described(found)}, args, principal.name)
        deleted.mark_applied(tx, [entry], BOUND)
        store.note(
            tx,
            Decision(
                act=entry,
                at=created_at(entry),
                actor=principal.name,
                op=BOUND,
                first=identity,
                second=None,
                reason=args["reason"],
            ),
        )

    def lay(self, tx: Connection) -> None:
        """Write every decision into an emptied catalogue, before blobs are indexed.

        Raises `Corrupt` when the journal cannot be read whole.
        """
        self._decisions.lay(tx)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts."""
        return self._decisions.catch_up(older_s=older_s, since=since)

    def _look(self, tx: Connection) -> int:
        store.lock(tx)
        found = store.take_due(tx, _BATCH)
        for due in found:
            look_at(tx, due, self._issuers)
        return len(found)

    def _looked_at(
        self, principal: Principal, op: str, one: bytes, other: bytes, reason: str
    ) -> tuple[Identity, Identity, Case | None]:
        """Look at two that somebody decides of, and at what was decided before."""
        require_whole(principal)
        require_reason(reason)
        if one == other:
            raise InvalidRequest("These are one identity.")
        first, second = self._known(*pair_of(one, other))
        with self._database.reading() as conn:
            now = store.case(conn, (first.id, second.id))
        if now is not None and now.state == STATES[op] and now.decided_by is not None:
            raise Conflict(_DECIDED[now.state])
        return first, second, now

    def _decide(
        self, principal: Principal, op: str, first: Identity, second: Identity, reason: str
    ) -> Studies:
        target = {"first": described(first), "second": described(second)}
        args = {"reason": reason.strip()}
        self._decisions.effect(self._journal.append(op, target, args, principal.name), principal)
        return self._studies_of(principal, first, second)

    def _linked(
        self,
        principal: Principal,
        first: Identity,
        second: Identity,
        may: Callable[[Connection], dict[str, str] | None],
    ) -> bool:
        """Link two while nobody else joins any; False when `may`, asked then, gives nothing.

        Raises what `may` does; `Unavailable` as `link` does.
        """
        written: list[bytes] = []
        target = {"first": described(first), "second": described(second)}

        def work(tx: Connection) -> bool:
            store.lock(tx)
            args = may(tx)
            if args is None:
                return False
            if not written:  # not again where the transaction is repeated
                written.append(self._journal.append(LINK, target, args, principal.name))
            self._decisions.take_effect(tx, self._journal.read(written[-1]), principal)
            return True

        try:
            return self._database.changing(work)
        except VNAError as exc:
            if not written:
                raise
            raise Unavailable(LATER) from exc

    def _studies_of(self, principal: Principal, first: Identity, second: Identity) -> Studies:
        with self._database.reading() as conn:
            persons = {one.person for one in store.find(conn, [first.id, second.id]).values()}
            return covered(principal, studies_of(conn, sorted(persons)))

    def _suspend_all(self, principal: Principal, *parties: Identity) -> None:
        """What was shared while two were one is shared no more until somebody has looked."""
        with self._database.reading() as conn:
            studies = studies_of(conn, sorted({one.person for one in parties}))
        for study, _ in studies:
            self._suspend(principal, StudyRef(study), _PARTED)

    def _known(self, *ids: bytes) -> list[Identity]:
        with self._database.reading() as conn:
            found = store.find(conn, ids)
        if len(found) < len(ids):
            raise NotFound("There is no such identity.")
        return [found[one] for one in ids]
