"""The queue as an administrator sees it: ask for a forwarding, look, try again, cancel."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.remotes import Remotes
from vna.db import statements, work
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Connection, Database
from vna.db.work import Item, State
from vna.dicom.refs import UID, Level, StudyRef
from vna.errors import Conflict, NotFound
from vna.index.select import Selection, select
from vna.jobs import forward
from vna.jobs.forward import known

_SQL = statements.load("jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job and how far it is; `done` counts instances taken with a warning, too."""

    job_id: int
    kind: str
    remote: str | None
    token: str | None
    requested_by: str
    state: State
    cause: str | None
    attempts: int
    cancelling: bool
    created_at: dt.datetime
    due_at: dt.datetime
    finished_at: dt.datetime | None
    instances: int
    done: int
    failed: int


class Board:
    """Looks at the queue and changes it on somebody's behalf."""

    def __init__(
        self, database: Database, audit: Audit, remotes: Remotes, *, most_instances: int
    ) -> None:
        self._database = database
        self._audit = audit
        self._remotes = remotes
        self._most = most_instances

    def send(self, principal: Principal, study: UID, ae_title: str, *, commit: bool) -> int:
        """Ask for a study to be sent to a remote AE; return the number of the job.

        `commit`: it is asked for Storage Commitment afterwards. Raises `NotFound`, `TooLarge`.
        """
        ref = StudyRef(study)
        require(principal, Action.RETRIEVE, ref)
        require(principal, Action.MANAGE)
        remote = known(self._remotes, ae_title)
        asked = Selection(level=Level.STUDY, studies=frozenset([study]))
        with self._database.reading() as conn:
            listed = select(conn, asked, most=self._most, within=principal.scope.within())
        if not listed:
            raise NotFound("There is no such study.")
        subjects = [
            Subject(sop_class=one.sop_class, instance=one.ref.instance, study=study)
            for one in listed
        ]

        def queue(tx: Connection) -> int:
            job_id = enqueue(
                tx,
                forward.KIND,
                {"study": study, "commit": commit},
                requested_by=principal.name,
                remote=remote.ae_title,
                subjects=subjects,
            )
            assert job_id is not None  # noqa: S101 -- it has no token that could be in use
            detail = {"job": job_id, "to": remote.ae_title, "instances": len(subjects)}
            event = Event(kind="job.queued", outcome="done", study=study, detail=detail)
            self._audit.write(tx, principal, [event])
            return job_id

        return self._database.changing(queue)

    def entries(self, principal: Principal, *, state: State | None, most: int) -> list[Entry]:
        """List jobs, the newest first."""
        require(principal, Action.MANAGE)
        return self._listed(None, state, most)

    def entry(self, principal: Principal, job_id: int) -> tuple[Entry, list[Item]]:
        """Show one job with its instances. Raises `NotFound`."""
        require(principal, Action.MANAGE)
        found = self._listed(job_id, None, 1)
        if not found:
            raise NotFound(f"There is no job {job_id}.")
        with self._database.reading() as conn:
            return found[0], work.items(conn, job_id)

    def retry(self, principal: Principal, job_id: int) -> None:
        """Do a job now that waits, or begin anew with one that failed or was cancelled.

        Raises `NotFound`, and `Conflict` when it runs or is done.
        """
        require(principal, Action.MANAGE)

        def again(tx: Connection) -> None:
            if tx.execute(_SQL.retry_job, (job_id,)).fetchone() is None:
                raise _not_so(tx, job_id)
            tx.execute(_SQL.retry_items, (job_id,))
            self._note(tx, principal, "job.retried", job_id)

        self._database.changing(again)

    def cancel(self, principal: Principal, job_id: int) -> State:
        """Cancel a job: at once when it waits, soon when it runs. Raises as `retry` does."""
        require(principal, Action.MANAGE)

        def end(tx: Connection) -> State:
            row = tx.execute(_SQL.cancel_job, (job_id,)).fetchone()
            if row is None:
                raise _not_so(tx, job_id)
            self._note(tx, principal, "job.cancelled", job_id)
            return State(row[0])

        return self._database.changing(end)

    def _listed(self, job_id: int | None, state: State | None, most: int) -> list[Entry]:
        asked = {"job_id": job_id, "state": state and state.value, "most": most}
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_jobs, asked).fetchall()
        names = Entry.__dataclass_fields__
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [Entry(**{**one, "state": State(one["state"])}) for one in found]

    def _note(self, tx: Connection, principal: Principal, kind: str, job_id: int) -> None:
        event = Event(kind=kind, outcome="done", detail={"job": job_id})
        self._audit.write(tx, principal, [event])


def _not_so(tx: Connection, job_id: int) -> Conflict | NotFound:
    row = tx.execute(_SQL.find_job, (job_id,)).fetchone()
    if row is None:
        return NotFound(f"There is no job {job_id}.")
    return Conflict(f"Job {job_id} is {row[0]}.")
