"""Storage Commitment as jobs: report what a remote AE asked for, ask for what it was sent."""

from __future__ import annotations

import uuid

from vna.config import Settings
from vna.db.work import State
from vna.dimse import commit_scu
from vna.engines import Engines
from vna.errors import NotAcceptable, NotFound, Unavailable
from vna.jobs.forward import known
from vna.jobs.reading import sender_of
from vna.jobs.task import LEFT, Ending, Handler, How, Task
from vna.operate.pushes import Named, answers, ended

_AWAITED = "It was asked; its report is awaited."


def reporting(engines: Engines, settings: Settings) -> Handler:
    """Return what checks what a remote AE asked for, and reports it on a new association."""

    def report(task: Task) -> Ending:
        what = engines.pushes.check(task.job, must_leave=lambda: task.must_leave)
        if what is None:
            return LEFT
        try:
            remote = known(engines.remotes, task.job.remote)
            status = commit_scu.report(remote, settings, what)
        except (NotFound, NotAcceptable) as exc:
            # who asked has a right to the answer for as long as it may be waiting for it
            raise Unavailable(str(exc)) from exc
        if status:
            raise Unavailable(f"The report was answered with status {status:04X}H.")
        return Ending(
            how=How.DONE,
            follow=lambda tx: engines.pushes.note(tx, task.job, what, how="new association"),
        )

    return report


def asking(engines: Engines, settings: Settings) -> Handler:
    """Return what asks a remote AE for commitment; its report ends the job, whichever way it comes.

    Asked again, under a new Transaction UID, when no report came for a while.
    """

    def ask(task: Task) -> Ending:
        remote = known(engines.remotes, task.job.remote)
        found = task.items()
        transaction = f"2.25.{uuid.uuid4().int}"
        task.name(transaction)  # before the request leaves: the report may be fast
        if task.must_leave:
            return LEFT
        asked = [Named(item.sop_class, item.instance) for item in found]
        report = commit_scu.ask(remote, settings, transaction, asked)
        if report is None:
            return Ending(how=How.LATER, cause=_AWAITED, after_s=settings.jobs.report_s)
        went = answers(found, report)
        task.note(went)
        state, cause = ended(went)
        if state is State.FAILED:
            return Ending(how=How.FAILED, cause=cause)
        return Ending(
            how=How.DONE,
            follow=lambda tx: engines.pushes.received(tx, sender_of(task.job), task.job, report),
        )

    return ask
