"""What people are shown of identities: what waits for them, and one person as a whole.

Identities cross studies: who sees only some of the archive is shown none of them, and worklists
leave out of whom a label withholds every study. Whoever is shown what somebody is called leaves a
row in the trail, as who searches for studies does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vna.access.audit import Audit, Event
from vna.access.policy import reach
from vna.access.principal import Action, Principal
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import NotFound
from vna.operate.identity_proposals import IdentityProposals, require_whole
from vna.patients import proposals, store
from vna.patients.proposals import Proposal, Refusal
from vna.patients.store import Case, Decision, Identity

__all__ = ["Identity", "IdentityViews", "Person", "Proposal", "Proposed", "Studies", "Work"]

_LISTED = 1000

Studies = tuple[tuple[UID, bytes], ...]
"""Studies, each with the identity it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person: the identities that links hold together, their pairs, studies and history."""

    id: bytes
    identities: tuple[Identity, ...]
    cases: tuple[Case, ...]
    studies: Studies
    history: tuple[Decision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing that waits for somebody: two identities that may be one person."""

    case: Case
    first: Identity
    second: Identity
    refused: Refusal | None = None  # that they are one was proposed before


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(Work):
    """What somebody has proposed of two identities: it waits for a second person."""

    proposal: Proposal


class IdentityViews:
    """Shows identities. One a process, shared by its threads."""

    def __init__(self, database: Database, audit: Audit, proposed: IdentityProposals) -> None:
        self._database = database
        self._audit = audit
        self._proposals = proposed

    def worklist(self, principal: Principal) -> list[Work]:
        """List what waits for somebody to decide, the most urgent first."""
        require_whole(principal)
        return self._listed(principal, "worklist", store.work)

    def linked(self, principal: Principal) -> list[Work]:
        """List which two were last said to be one person: who was mistaken takes it back here."""
        require_whole(principal)
        return self._listed(principal, "linked", store.linked)

    def proposed(self, principal: Principal) -> list[Proposed]:
        """List which links wait for a second person, the longest waiting first."""
        waiting = self._proposals.waiting(principal, _LISTED)
        with self._database.reading() as conn:
            known = _in_sight(conn, principal, [one for held in waiting for one in held.pair])
            cases = [(held, store.case(conn, held.pair)) for held in waiting]
        found = [
            Proposed(case=case, first=known[one.first], second=known[one.second], proposal=one)
            for one, case in cases
            if case is not None and one.first in known and one.second in known
        ]
        self._seen(principal, "proposed", len(found))
        return found

    def _listed(
        self,
        principal: Principal,
        name: str,
        cases_of: Callable[[Connection, int], list[Case]],
    ) -> list[Work]:
        with self._database.reading() as conn:
            cases = cases_of(conn, _LISTED)
            known = _in_sight(conn, principal, [one for case in cases for one in case.pair])
            refused = proposals.refusals(conn, [case.pair for case in cases])
        found = [
            Work(
                case=case,
                first=known[case.pair[0]],
                second=known[case.pair[1]],
                refused=refused.get(case.pair),
            )
            for case in cases
            if case.pair[0] in known and case.pair[1] in known
        ]
        self._seen(principal, name, len(found))
        return found

    def alerts(self, principal: Principal) -> list[tuple[UID, Identity]]:
        """List studies that were made after their patient had died (R9)."""
        require_whole(principal)
        with self._database.reading() as conn:
            rows = store.alerts(conn, _LISTED)
            known = store.find(conn, [identity for _, identity, _ in rows])
        late = [(UID(study), known[one]) for study, one, _ in rows if one in known]
        found = [one for one in late if principal.scope.covers(StudyRef(one[0]))]
        self._seen(principal, "alerts", len(found))
        return found

    def named(self, principal: Principal, issuer: str, patient_id: str) -> list[Identity]:
        """List what an issuer has given an id to: the identity, then its shadows."""
        require_whole(principal)
        with self._database.reading() as conn:
            found = store.named(conn, issuer, patient_id)
        self._seen(principal, "named", len(found))
        return found

    def person(self, principal: Principal, identity: bytes) -> Person:
        """Show the person an identity belongs to. Raises `NotFound`."""
        require_whole(principal)
        with self._database.reading() as conn:
            found = store.find(conn, [identity]).get(identity)
            if found is None:
                raise NotFound("There is no such identity.")
            identities = store.of_person(conn, found.person)
            ids = [one.id for one in identities]
            shown = Person(
                id=found.person,
                identities=tuple(identities),
                cases=tuple(store.cases_of(conn, ids)),
                studies=covered(principal, studies_of(conn, [found.person])),
                history=tuple(store.history(conn, ids)),
            )
        self._seen(principal, "person", len(ids), identity=identity.hex())
        return shown

    def _seen(self, principal: Principal, what: str, count: int, **more: str) -> None:
        if count:
            detail = {"list": what, "count": count, **more}
            self._audit.note(principal, Event(kind="identity.seen", outcome="done", detail=detail))


def _in_sight(
    conn: Connection, principal: Principal, ids: Sequence[bytes]
) -> dict[bytes, Identity]:
    """Find identities, but for those of whom a label withholds all that is held."""
    known = store.find(conn, ids)
    withheld = reach(principal, Action.CORRECT).withheld
    hidden = store.all_among(conn, known, withheld) if withheld else set()
    return {one: identity for one, identity in known.items() if one not in hidden}


def studies_of(conn: Connection, persons: list[bytes]) -> Studies:
    """List the studies of some persons."""
    return tuple((UID(study), one) for study, one in store.studies_of(conn, persons))


def covered(principal: Principal, studies: Studies) -> Studies:
    """Leave out the studies somebody does not see."""
    return tuple(one for one in studies if principal.scope.covers(StudyRef(one[0])))
