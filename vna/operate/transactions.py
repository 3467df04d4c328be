"""Storage Commitment as transactions (PS3.18 13): asked now, answered now or later, for a time.

A request that is quick to check is answered at once. A larger one is a row in the database, worked
off piece by piece by the archive's upkeep: a process that dies loses at most the piece it had in
hand, and the next one goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Kind, Principal, Scope
from vna.blobs.layout import uuid7
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, InstanceRef, SeriesRef
from vna.errors import Conflict, Gone, NotFound, TooLarge
from vna.index import commitments
from vna.index.commitments import Claimed, Requested
from vna.operate.commitment import Claim, CommitmentEngine, Committed, FailedRef, Reason, Verdict

log = logging.getLogger(__name__)

REMEMBER_S = 365 * 86400.0
"""How long a transaction UID stays known after its result has gone."""

_READY = 200  # instances that are checked before the answer, when they are small
_LEASE_S = 60.0
_PIECE_S = 5.0  # work between two notes in the database
_BYTES_A_SECOND = 200e6  # a careful guess, for Retry-After


@dataclass(frozen=True, slots=True)
class Working:
    """The result is not there yet; ask again after so many seconds."""

    again_s: int


@dataclass(frozen=True, slots=True)
class Result:
    """The answers, in the order of the request. `by_study`: it was asked by study and series."""

    verdicts: tuple[Verdict, ...]
    by_study: bool


class CommitmentTransactions:
    """Takes requests in, works them off, keeps the results. One a process, shared by threads."""

    def __init__(
        self, engine: CommitmentEngine, *, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._engine = engine
        self._database = database
        self._audit = audit
        self._limits = settings.commitment
        self._worker = uuid7()

    def request(
        self, principal: Principal, transaction: UID, claims: Sequence[Claim], *, by_study: bool
    ) -> Result | Working:
        """Take a request in. Raises `Conflict` when its transaction UID is in use, `TooLarge`."""
        require(principal, Action.COMMIT)
        if len(claims) > self._limits.instances:
            raise TooLarge(f"One request may name {self._limits.instances} instances.")
        with self._database.reading() as conn:
            if commitments.is_known(conn, transaction):
                raise _in_use()
        size = self._engine.bytes_of(principal, claims)
        verdicts = None
        if size <= self._limits.ready_bytes and len(claims) <= _READY:
            verdicts = tuple(self._engine.check(principal, claims))
        self._take_down(principal, transaction, claims, by_study, verdicts)
        if verdicts is not None:
            return Result(verdicts, by_study)
        return Working(_seconds(size))

    def result(self, principal: Principal, transaction: UID) -> Result | Working:
        """Give the result of a request. Raises `NotFound`, and `Gone` when it has expired."""
        require(principal, Action.COMMIT)
        with self._database.reading() as conn:
            found = commitments.find(conn, transaction)
        if found is None or not _may_see(principal, found):
            raise NotFound("There is no such transaction.")
        if found.is_expired:
            raise Gone("The result of this transaction is no longer kept.")
        claims = _claims(found.request)
        if not found.is_done:
            left = claims[len(found.reasons) :]
            return Working(_seconds(self._engine.bytes_of(principal, left)))
        pairs = zip(claims, found.reasons, strict=True)
        verdicts = tuple(_verdict(claim, reason) for claim, reason in pairs)
        return Result(verdicts, bool(found.request["by_study"]))

    def work(self, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Work off one request that waits, to its end; False when there was none.

        Gives it back, with what is done of it, when `is_over`. Raises `Unavailable`; the request
        then waits for the next turn.
        """
        with self._database.transaction() as tx:
            taken = commitments.claim(tx, self._worker, lease_s=_LEASE_S)
        if taken is None:
            return False
        try:
            self._work_off(taken, is_over)
        finally:
            with self._database.transaction() as tx:
                commitments.release(tx, taken.transaction, self._worker)
        return True

    def expire(self) -> int:
        """Drop results that were kept long enough; count them."""
        with self._database.transaction() as tx:
            return commitments.expire(
                tx, keep_s=self._limits.keep_days * 86400, remember_s=REMEMBER_S
            )

    def _take_down(
        self,
        principal: Principal,
        transaction: UID,
        claims: Sequence[Claim],
        by_study: bool,
        verdicts: Sequence[Verdict] | None,
    ) -> None:
        reasons = None if verdicts is None else [_reason(one) for one in verdicts]
        with self._database.transaction() as tx:
            is_new = commitments.add(
                tx,
                transaction,
                principal=principal.name,
                actor_kind=principal.kind.value,
                scope=_written(principal.scope),
                request={"by_study": by_study, "claims": [_row(claim) for claim in claims]},
                claims=len(claims),
                reasons=reasons,
            )
            if not is_new:
                raise _in_use()
            detail = {"transaction": transaction, "instances": len(claims)}
            asked = Event(kind="commitment.requested", outcome="done", detail=detail)
            told = [asked] if reasons is None else [asked, _checked(transaction, reasons)]
            self._audit.write(tx, principal, told)

    def _work_off(self, taken: Claimed, is_over: Callable[[], bool]) -> None:
        claims = _claims(taken.request)
        who = Principal(
            kind=Kind(taken.actor_kind),
            name=taken.principal,
            actions=frozenset([Action.COMMIT]),
            scope=_read(taken.scope),
        )
        at = len(taken.reasons)
        reasons: list[int] = []
        noted = time.monotonic()
        for verdict in self._engine.walk(who, claims[at:]):
            reasons.append(_reason(verdict))
            is_last = at + len(reasons) == len(claims) or is_over()
            if is_last or time.monotonic() - noted >= _PIECE_S:
                if not self._note(taken, who, at, reasons) or is_last:
                    return
                at += len(reasons)
                taken.reasons.extend(reasons)
                reasons = []
                noted = time.monotonic()

    def _note(self, taken: Claimed, who: Principal, at: int, reasons: list[int]) -> bool:
        """Write answers down; False when there is nothing more to do here."""

        def work(tx: Connection) -> bool:
            is_done = commitments.go_on(
                tx, taken.transaction, self._worker, at=at, reasons=reasons, lease_s=_LEASE_S
            )
            if is_done:
                whole = [*taken.reasons, *reasons]
                self._audit.write(tx, who, [_checked(taken.transaction, whole)])
            return is_done is False

        return self._database.changing(work)


def _in_use() -> Conflict:
    return Conflict("This transaction UID is in use already: every request needs a new one.")


def _may_see(principal: Principal, found: Requested) -> bool:
    """The result is for who asked, and for who manages the archive."""
    is_own = (found.principal, found.actor_kind) == (principal.name, principal.kind.value)
    return is_own or (Action.MANAGE in principal.actions and principal.scope.everything)


def _seconds(size: int) -> int:
    return min(max(round(size / _BYTES_A_SECOND), 1), 300)


def _reason(verdict: Verdict) -> int:
    return verdict.reason if isinstance(verdict, FailedRef) else 0


def _verdict(claim: Claim, reason: int) -> Verdict:
    return FailedRef(claim, Reason(reason)) if reason else Committed(claim)


def _checked(transaction: str, reasons: Sequence[int]) -> Event:
    failed = sum(1 for reason in reasons if reason)
    detail = {
        "transaction": transaction,
        "committed": len(reasons) - failed,
        "failed": failed,
    }
    return Event(kind="commitment.checked", outcome="done", detail=detail)


def _row(claim: Claim) -> list[str | None]:
    return [claim.sop_class, claim.instance, claim.study, claim.series]


def _claims(request: Any) -> list[Claim]:  # JSON of our own
    return [
        Claim(sop_class=sop_class, instance=instance, study=study, series=series)
        for sop_class, instance, study, series in request["claims"]
    ]


def _written(scope: Scope) -> dict[str, Any]:
    return {
        "everything": scope.everything,
        "studies": sorted(scope.studies),
        "series": sorted([ref.study, ref.series] for ref in scope.series),
        "instances": sorted([ref.study, ref.series, ref.instance] for ref in scope.instances),
    }


def _read(scope: Any) -> Scope:  # JSON of our own
    return Scope(
        everything=scope["everything"],
        studies=frozenset(scope["studies"]),
        series=frozenset(SeriesRef(*row) for row in scope["series"]),
        instances=frozenset(InstanceRef(*row) for row in scope["instances"]),
    )
