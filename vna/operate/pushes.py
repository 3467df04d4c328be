"""Storage Commitment Push Model in no protocol (PS3.4 J): asked now, reported by a job.

A request is a job in the queue before it is answered. Who took a small one in may check and report
it at once, while the asker is still there; whatever that comes to nothing over, the worker does.
The other way round, a report on what we asked for ends the job that asked.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Kind, Principal
from vna.config import Settings
from vna.db import work
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Connection, Database
from vna.db.work import Item, Job, Settled, Standing, State
from vna.dicom.refs import UID
from vna.errors import NotFound, TooLarge, VNAError
from vna.operate.commitment import Claim, CommitmentEngine, FailedRef, Reason

log = logging.getLogger(__name__)

REPORT = "commitment-report"
"""The kind of job that checks what a remote AE asked for and reports it."""
ASK = "commitment-ask"
"""The kind of job that asks a remote AE to commit to what it was sent."""

_READY = 200  # instances that are checked while the asker waits, when they are small
_HELD_S = 120.0  # for checking and reporting them; past it the worker does
_PIECE_S = 5.0  # work between two notes in the database
CAUSES = {
    Reason.PROCESSING_FAILURE: "What is stored does not verify.",
    Reason.NO_SUCH_INSTANCE: "There is no such instance.",
    Reason.CLASS_CONFLICT: "The instance is of another SOP Class.",
    Reason.DUPLICATE_TRANSACTION: "The Transaction UID was used before.",
    Reason.RESOURCE_LIMITATION: "There was no room to check it.",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A SOP Instance as a request or a report names it."""

    sop_class: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a request (PS3.4 J.3.3): each instance of it stands in one of the two."""

    transaction: str
    committed: tuple[Named, ...]
    failed: tuple[tuple[Named, int], ...]  # with the Failure Reason


class CommitmentPushes:
    """Takes requests and reports in, checks, and says what is to be reported. Shared by threads."""

    def __init__(
        self, engine: CommitmentEngine, *, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._engine = engine
        self._database = database
        self._audit = audit
        self._limits = settings.commitment
        self._lease_s = settings.jobs.lease_s

    def request(
        self, principal: Principal, remote: str, transaction: UID, claims: Sequence[Claim]
    ) -> Pushed | None:
        """Take a request of a remote AE in: on return it is in the queue, whatever happens now.

        Returns it when the caller is to do it, and may: it is small. Raises `TooLarge`,
        `Unavailable`.
        """
        require(principal, Action.COMMIT)
        claims = list(dict.fromkeys(claims))
        if not 0 < len(claims) <= self._limits.instances:
            raise TooLarge(f"One request may name {self._limits.instances} instances.")
        most = self._limits.ready_bytes
        small = len(claims) <= _READY and self._engine.bytes_of(principal, claims) <= most
        held_s = _HELD_S if small else None
        job = self._database.changing(
            lambda tx: self._take_in(tx, principal, remote, transaction, claims, held_s=held_s)
        )
        return None if job is None else Pushed(self, job)

    def _take_in(
        self,
        tx: Connection,
        principal: Principal,
        remote: str,  # who is told: the AE, whichever of its users asked
        transaction: UID,
        claims: Sequence[Claim],
        *,
        held_s: float | None,
    ) -> Job | None:
        payload: dict[str, Any] = {"transaction": transaction, "address": principal.address}
        subjects = [Subject(sop_class=one.sop_class, instance=one.instance) for one in claims]

        def ask(token: str | None) -> int | None:
            return enqueue(
                tx,
                REPORT,
                payload,
                requested_by=principal.name,
                remote=remote,
                token=token,
                subjects=subjects,
                held_s=held_s,
            )

        job_id = ask(transaction)
        if job_id is None:
            if _is_underway(tx, remote, transaction, claims):
                return None  # asked again before it was answered: one report answers both
            payload["duplicate"] = True
            job_id = ask(None)
        outcome = "refused" if "duplicate" in payload else "done"
        detail = {"transaction": transaction, "instances": len(claims), "job": job_id}
        asked = Event(kind="commitment.requested", outcome=outcome, detail=detail)
        self._audit.write(tx, principal, [asked])
        if held_s is None or job_id is None:
            return None
        return Job(
            job_id=job_id,
            kind=REPORT,
            remote=remote,
            token=transaction,
            payload=payload,
            requested_by=principal.name,
            attempts=1,
            epoch=1,
            age_s=0.0,
            cancelling=False,
            created_at=dt.datetime.now(dt.UTC),
        )

    def check(self, job: Job, *, must_leave: Callable[[], bool] = lambda: False) -> Report | None:
        """Read back what is not checked yet, and say what to report; None when it was left.

        What was found is written down piece by piece. Raises `Unavailable`.
        """
        with self._database.reading() as conn:
            found = work.items(conn, job.job_id)
        if not self._checked(job, [one for one in found if one.state == "waiting"], must_leave):
            return None
        with self._database.reading() as conn:
            found = work.items(conn, job.job_id)
        return _report(str(job.payload["transaction"]), found)

    def close(self, job: Job, report: Report, *, how: str) -> bool:
        """End a job whose report was taken; `how` says on which association. False: not ours."""

        def end(tx: Connection) -> bool:
            is_ours = work.finish(tx, job, State.DONE)
            if is_ours:
                self.note(tx, job, report, how=how)
            return is_ours

        return self._database.changing(end)

    def note(self, tx: Connection, job: Job, report: Report, *, how: str) -> None:
        """Leave a row of a report that was taken in the audit trail."""
        detail = {
            "transaction": report.transaction,
            "committed": len(report.committed),
            "failed": len(report.failed),
            "how": how,
            "job": job.job_id,
        }
        event = Event(kind="commitment.reported", outcome="done", detail=detail)
        self._audit.write(tx, _asker(job), [event])

    def give_back(self, job: Job, cause: str) -> None:
        """Leave a job to the worker, at once."""
        with self._database.transaction() as tx:
            work.put_off(tx, job, 0.0, cause, counts=False)

    def reported(self, principal: Principal, remote: str, report: Report) -> None:
        """Take in what a remote AE says about a request of ours. Raises `NotFound`.

        It needs no right but to be the one that was asked.
        """

        def take(tx: Connection) -> None:
            job = work.claim_named(tx, ASK, remote, report.transaction, lease_s=self._lease_s)
            if job is None:
                if work.is_named(tx, ASK, remote, report.transaction):
                    return  # told twice: the answer to the first time was lost
                raise NotFound("Nothing was asked for under this Transaction UID.")
            found = work.items(tx, job.job_id)
            went = answers(found, report)
            work.settle(tx, job, went)
            state, cause = ended(went)
            work.finish(tx, job, state, cause)
            self.received(tx, principal, job, report)

        self._database.changing(take)

    def received(self, tx: Connection, principal: Principal, job: Job, report: Report) -> None:
        """Leave a row of a report that came in in the audit trail."""
        detail = {
            "transaction": report.transaction,
            "committed": len(report.committed),
            "failed": len(report.failed),
            "job": job.job_id,
        }
        event = Event(kind="commitment.received", outcome="done", detail=detail)
        self._audit.write(tx, principal, [event])

    def _checked(self, job: Job, waiting: Sequence[Item], must_leave: Callable[[], bool]) -> bool:
        """Check and write down; False when the rest was left."""
        if "duplicate" in job.payload:
            reason = Reason.DUPLICATE_TRANSACTION
            return self._settle(job, [_settled(one, reason) for one in waiting])
        claims = [Claim(sop_class=UID(i.sop_class), instance=UID(i.instance)) for i in waiting]
        went: list[Settled] = []
        noted = time.monotonic()
        verdicts = self._engine.walk(_asker(job), claims)
        for item, verdict in zip(waiting, verdicts, strict=True):
            reason_of = verdict.reason if isinstance(verdict, FailedRef) else None
            went.append(_settled(item, reason_of))
            if time.monotonic() - noted >= _PIECE_S or must_leave():
                if not self._settle(job, went) or must_leave():
                    return False
                went, noted = [], time.monotonic()
        return self._settle(job, went)

    def _settle(self, job: Job, went: Sequence[Settled]) -> bool:
        with self._database.transaction() as tx:
            return work.settle(tx, job, went) is Standing.HELD


class Pushed:
    """A request in the hands of who took it in. What goes wrong with it is left to the worker."""

    def __init__(self, pushes: CommitmentPushes, job: Job) -> None:
        self._pushes = pushes
        self._job = job
        self._report: Report | None = None

    def check(self) -> Report | None:
        """Read the instances back; None when the worker has it from now on."""
        try:
            self._report = self._pushes.check(self._job)
        except VNAError as exc:
            self.give_back(str(exc))
        return self._report

    def close(self, *, how: str) -> None:
        """Note that the report was taken."""
        if self._report is None:
            return
        try:
            self._pushes.close(self._job, self._report, how=how)
        except VNAError as exc:  # it is reported again, which J.3.3 lets happen
            log.warning("report not noted", extra={"job": self._job.job_id, "why": str(exc)})

    def give_back(self, cause: str) -> None:
        """Leave it to the worker, at once."""
        try:
            self._pushes.give_back(self._job, cause)
        except VNAError as exc:  # its lease runs out
            log.warning("job not given back", extra={"job": self._job.job_id, "why": str(exc)})


def answers(found: Iterable[Item], report: Report) -> list[Settled]:
    """Say of each instance we asked for what the report says of it."""
    committed = {one.instance for one in report.committed}
    failed = {one.instance: reason for one, reason in report.failed}
    went = []
    for item in found:
        if item.instance in failed:
            reason = failed[item.instance]
            cause = CAUSES.get(Reason(reason)) if reason in list(Reason) else None
            told = cause or "The remote AE does not commit to it."
            went.append(Settled(item.number, "failed", reason, told))
        elif item.instance in committed:
            went.append(Settled(item.number, "done", 0))
        else:
            went.append(Settled(item.number, "failed", None, "The report does not name it."))
    return went


def ended(went: Sequence[Settled]) -> tuple[State, str | None]:
    """Say how a job ends whose instances were reported."""
    failed = sum(1 for one in went if one.state == "failed")
    if not failed:
        return State.DONE, None
    return State.FAILED, f"{failed} of {len(went)} instances are not committed."


def _is_underway(tx: Connection, remote: str, transaction: str, claims: Sequence[Claim]) -> bool:
    """Whether the same request is in the queue, not reported yet."""
    job_id = work.find_named(tx, REPORT, remote, transaction)
    if job_id is None:
        return False
    asked = {(one.sop_class, one.instance) for one in work.items(tx, job_id)}
    return asked == {(str(one.sop_class), str(one.instance)) for one in claims}


def _asker(job: Job) -> Principal:
    return Principal(
        kind=Kind.AE,
        name=job.requested_by,
        actions=frozenset([Action.COMMIT]),
        address=job.payload.get("address"),
    )


def _settled(item: Item, reason: Reason | None) -> Settled:
    if reason is None:
        return Settled(item.number, "done", 0)
    return Settled(item.number, "failed", int(reason), CAUSES[reason])


def _report(transaction: str, found: Sequence[Item]) -> Report:
    return Report(
        transaction=transaction,
        committed=tuple(Named(one.sop_class, one.instance) for one in found if one.state == "done"),
        failed=tuple(
            (Named(one.sop_class, one.instance), one.status or int(Reason.PROCESSING_FAILURE))
            for one in found
            if one.state != "done"
        ),
    )
