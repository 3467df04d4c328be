"""Links that show more of somebody to others: one person proposes, a second one agrees.

Where nothing of either person is shared, and neither has an account or anybody who acts for them, a
link is one person's word. Otherwise it would show to others, at once, what was somebody else's if
it was a mistake: so it is a proposal first, which links nothing. It ends when a colleague agrees or
refuses, when something else is known of either person, and by itself. A proposal is not in the
journal: one that is lost with its database links nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Kind, Principal, system
from vna.db.pool import Connection, Database
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from vna.patients import proposals, store
from vna.patients.proposals import Ended, Proposal
from vna.patients.rules import evidence
from vna.patients.store import Identity, Pair, pair_of
from vna.texts import filled, marked

LASTS_S = 14 * 86400.0
REASON_MOST = 500

_WAITS = marked("Somebody has proposed this already: a colleague agrees to it or refuses it.")
_NONE = marked(
    "Nobody proposes this any more: it was decided, or something of the two has changed."
)
_OWN = marked("You have proposed this yourself: a colleague has to compare the two and agree.")
_PROGRAM = "A program is nobody's second person."
_SHELL = "shell"


class IdentityProposals:
    """Keeps what waits for a second person. One a process, shared by its threads."""

    def __init__(self, *, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def waiting(self, principal: Principal, most: int) -> list[Proposal]:
        """List what waits for a second person, the longest waiting first."""
        require_whole(principal)
        with self._database.reading() as conn:
            return proposals.waiting(conn, most)

    def add(self, principal: Principal, one: Identity, other: Identity, reason: str) -> Proposal:
        """Propose that two are one person; nothing is linked. Raises `Conflict`."""
        require_whole(principal)
        pair = pair_of(one.id, other.id)

        def work(tx: Connection) -> Proposal:
            store.lock(tx)
            self._lapse(tx)
            made = proposals.add(
                tx,
                pair,
                evidence(one.said, other.said),
                by=principal.name,
                is_developer=principal.kind is Kind.DEVELOPER,
                reason=reason,
                lasts_s=LASTS_S,
            )
            if made is None:
                raise Conflict(_WAITS)
            detail = {"proposal": made.number, **_pair(pair), "until": made.ends_at.isoformat()}
            event = Event(kind="identity.proposed", outcome="done", detail=detail)
            self._audit.write(tx, principal, [event])
            return made

        return self._database.changing(work)

    def refuse(self, principal: Principal, one: bytes, other: bytes, *, reason: str) -> None:
        """End a proposal: a colleague refuses it, who made it takes it back. Nothing is decided.

        Raises `NotPermitted`, `InvalidRequest`, `NotFound` when nobody proposes it any more.
        """
        require_whole(principal)
        require_reason(reason)
        pair = pair_of(one, other)

        def work(tx: Connection) -> None:
            store.lock(tx)
            held = proposals.hold(tx, pair)
            if held is None:
                raise NotFound(_NONE)
            outcome = "withdrawn" if _who(held.proposed_by) == _who(principal.name) else "refused"
            ended = proposals.end(tx, pair, outcome, by=principal.name, remark=reason.strip())
            self._tell(tx, principal, [] if ended is None else [ended])

        self._database.changing(work)

    def held_for(
        self, tx: Connection, principal: Principal, pair: Pair, number: int | None
    ) -> Proposal:
        """Give the proposal somebody is to agree to, held. The caller holds the lock on identities.

        Raises `NotPermitted` for a program, `NotFound` when nobody proposes it any more, `Conflict`
        for who proposed it: nobody is their own second person, but who is alone under --dev.
        """
        require_whole(principal)
        if principal.kind is Kind.SERVICE:
            raise NotPermitted(_PROGRAM)
        held = proposals.hold(tx, pair)
        if held is None or number not in (None, held.number):
            raise NotFound(_NONE)
        is_own = _who(held.proposed_by) == _who(principal.name)
        if is_own and not (held.by_developer and principal.kind is Kind.DEVELOPER):
            raise Conflict(_OWN)
        return held

    def sweep(self) -> None:
        """End proposals whose time is over, and those of whom something else is known now."""

        def work(tx: Connection) -> None:
            store.lock(tx)
            self._lapse(tx)

        self._database.changing(work)

    def _lapse(self, tx: Connection) -> None:
        upkeep = system("upkeep")
        self._tell(tx, upkeep, proposals.end_stale(tx, by=upkeep.name))

    def _tell(self, tx: Connection, who: Principal, ended: Iterable[Ended]) -> None:
        events = [
            Event(
                kind=f"identity.{one.outcome}",
                outcome="done",
                detail={
                    "proposal": one.number,
                    **_pair((one.first, one.second)),
                    "proposed_by": one.proposed_by,
                },
            )
            for one in ended
        ]
        self._audit.write(tx, who, events)


def require_whole(principal: Principal) -> None:
    """Identities cross studies: who sees only some of the archive is shown none of them."""
    require(principal, Action.CORRECT)
    if not principal.scope.everything:
        raise NotFound


def require_reason(reason: str) -> None:
    """Refuse what is no reason in a line. Raises `InvalidRequest`."""
    if not reason.strip() or len(reason) > REASON_MOST or not reason.isprintable():
        raise InvalidRequest(
            filled("Say why, in a line of at most %(most)s characters.", most=REASON_MOST)
        )


def _who(name: str) -> str:
    """Name the person: everybody at the shell is one, since each may be any of the others."""
    return _SHELL if name.partition(":")[0] == _SHELL else name


def _pair(pair: Pair) -> dict[str, str]:
    return {"first": pair[0].hex(), "second": pair[1].hex()}
