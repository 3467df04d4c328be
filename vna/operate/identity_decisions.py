"""How a decision about identities takes effect: an entry of the journal, written into the tables.

It does so once, in one transaction with its audit row; again only when all is taken in anew.
"""

from __future__ import annotations

import datetime as dt

from vna.access.audit import Audit, Event
from vna.access.principal import Principal, system
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.db.pool import Connection, Database
from vna.errors import Unavailable, VNAError
from vna.index import deleted
from vna.operate.identity_entries import APART, BOUND, DECEASED, LINK, reading_of
from vna.patients import proposals, store
from vna.patients.matching import resolve
from vna.patients.store import Decision

STATES = {LINK: "linked", APART: "apart"}
LATER = "This is written down and will take effect as soon as the index can be changed."

_OPS = frozenset({LINK, APART, DECEASED, BOUND})


class IdentityDecisions:
    """Brings into the tables what was decided. One a process, shared by its threads."""

    def __init__(self, *, journal: Journal, database: Database, audit: Audit) -> None:
        self._journal = journal
        self._database = database
        self._audit = audit

    def effect(self, entry: bytes, principal: Principal) -> None:
        """Let what was just written down take effect. Raises `Unavailable` when it will later."""
        try:
            self._apply(self._journal.read(entry), principal)
        except VNAError as exc:
            raise Unavailable(LATER) from exc

    def take_effect(self, tx: Connection, entry: Entry, principal: Principal) -> None:
        """Let a decision take effect in the caller's transaction, which holds the lock."""
        if not deleted.mark_applied(tx, [entry.id], entry.op):
            return
        decision = self._take(tx, entry)
        detail = {"act": entry.id.hex(), "first": decision.first.hex()}
        if decision.second is not None:
            detail["second"] = decision.second.hex()
            outcome = "decided" if decision.proposed_by is None else "agreed"
            pair = decision.first, decision.second
            proposals.end(tx, pair, outcome, by=decision.actor)
        if decision.proposed_by is not None:
            detail["proposed_by"] = decision.proposed_by
        kind = entry.op.replace("-", ".")
        event = Event(kind=kind, outcome="done", detail=detail)
        self._audit.write(tx, principal, [event])

    def lay(self, tx: Connection) -> None:
        """Write every decision into an emptied catalogue, before blobs are indexed.

        Raises `Corrupt` when the journal cannot be read whole.
        """
        for entry in self._journal.replay():
            if entry.op in _OPS:
                self._take(tx, entry)
                deleted.mark_applied(tx, [entry.id], entry.op)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts."""
        count = 0
        known = deleted.known_to(self._database)
        for entry in self._journal.unknown(known, older_s=older_s, since=since):
            if entry.op in _OPS:
                self._apply(entry, system(f"recovery for {entry.actor}"))
                count += 1
        return count

    def _apply(self, entry: Entry, principal: Principal) -> None:
        """Let a decision take effect, unless it did before: one transaction with its audit row."""

        def work(tx: Connection) -> None:
            store.lock(tx)
            self.take_effect(tx, entry, principal)

        self._database.changing(work)

    def _take(self, tx: Connection, entry: Entry) -> Decision:
        """Write one decision into the tables. Raises `Corrupt`."""
        reading = reading_of(entry)
        ids = [
            resolve(tx, one.issuer, one.patient_id, one.said, source="journal", known_as=one.id).id
            for one in reading.parties
        ]
        first, *rest = sorted(ids)
        decision = Decision(
            act=entry.id,
            at=created_at(entry.id),
            actor=entry.actor,
            op=entry.op,
            first=first,
            second=rest[0] if rest else None,
            reason=reading.reason,
            proposed_by=reading.proposed_by,
        )
        store.note(tx, decision)
        if entry.op == DECEASED:
            store.set_death(tx, decision, reading.died)
        elif decision.second is not None and decision.second != first:
            store.decide(tx, decision, STATES[entry.op])
            store.find_persons(tx, ids)
        return decision
