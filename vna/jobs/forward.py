"""Send the instances of a study to a remote AE by C-STORE, each with its own state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

from vna.access.remotes import Remote, Remotes
from vna.config import Settings
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Connection
from vna.db.work import Item, Job, Settled
from vna.dimse.calling import connecting
from vna.dimse.sender import Sender
from vna.dimse.stores import Result, Sent
from vna.engines import Engines
from vna.errors import NotFound
from vna.jobs import attempts
from vna.jobs.attempts import Attempt, attempted, is_out_of_resources, may_be_taken_later
from vna.jobs.reading import Reader, Reads
from vna.jobs.task import Ending, Handler, Task
from vna.operate.pushes import ASK
from vna.retrieve.retrieval import Retrieval, Tally

KIND = "forward"

_NOTE_S = 1.0  # between two notes of how far it is
_NOTE = 100  # instances of one note


def forwarding(engines: Engines, settings: Settings) -> Handler:
    """Return what does jobs of the kind "forward"."""

    def forward(task: Task) -> Ending:
        remote = known(engines.remotes, task.job.remote)
        waiting = [item for item in task.items() if item.state == "waiting"]
        if waiting:
            reader = Reader(task.job, engines, settings)
            send(task, engines, settings, remote, waiting, reader=reader)
        return ending(task)

    return forward


def known(remotes: Remotes, ae_title: str | None) -> Remote:
    """Find the remote AE of a job. Raises `NotFound`."""
    remote = remotes.find(ae_title or "")
    if remote is None:
        raise NotFound(f"There is no remote AE {ae_title}; `vna remote add` makes it known.")
    return remote


def send(
    task: Task,
    engines: Engines,
    settings: Settings,
    remote: Remote,
    waiting: Sequence[Item],
    *,
    reader: Reads,
) -> None:
    """Send what waits of a job, each instance noted; what is taken later stays waiting."""
    with attempted(task, engines, waiting, reader=reader, to=remote.ae_title) as attempt:
        if attempt.found.listed:
            _sent(task, _sending(remote, settings, reader, attempt.found), attempt)


def _sending(
    remote: Remote, settings: Settings, reader: Reads, found: Retrieval
) -> Callable[[], Iterable[Sent]]:
    sender = Sender(
        connecting(remote, settings),
        found.kinds,
        wanted=remote.transfer_syntaxes,
        parallel=remote.parallel,
    )
    return lambda: sender.send(reader.instances(found))


def _sent(task: Task, send: Callable[[], Iterable[Sent]], attempt: Attempt) -> None:
    went: list[Settled] = []
    noted = time.monotonic()
    with closing(send()) as results:  # type: ignore[type-var]
        for sent in results:
            went.append(_settled(sent, attempt.numbers[sent.outgoing.ref.instance], attempt.tally))
            if len(went) >= _NOTE or time.monotonic() - noted >= _NOTE_S:
                task.note(went)
                went, noted = [], time.monotonic()
            if task.must_leave:
                break
    task.note(went)


def _settled(sent: Sent, number: int, tally: Tally) -> Settled:
    code, cause = sent.status.code, sent.status.comment or None
    if sent.result is Result.COMPLETED:
        tally.completed += 1
        return Settled(number, "done", code)
    if sent.result is Result.WARNING:
        tally.warning += 1
        return Settled(number, "warning", code, cause)
    tally.failed += 1
    tally.failures.append(sent.outgoing.ref.instance)
    state = "waiting" if _may_be_taken_later(sent) else "failed"
    return Settled(number, state, code, cause, tried=sent.is_tried)


def _may_be_taken_later(sent: Sent) -> bool:
    code = sent.status.code
    return may_be_taken_later(code) if sent.is_answered else is_out_of_resources(code)


def ending(task: Task) -> Ending:
    """Say how an attempt ended; where all were taken and that is wanted, ask for commitment."""
    return attempts.ending(task, lambda found: _asking(task.job, found))


def _asking(job: Job, found: Sequence[Item]) -> Callable[[Connection], None] | None:
    """Ask for commitment to all of it, if that is wanted, in the transaction that ends the job."""
    if not job.payload.get("commit"):
        return None

    def ask(tx: Connection) -> None:
        enqueue(
            tx,
            ASK,
            {"forward": job.job_id},
            requested_by=job.requested_by,
            remote=job.remote,
            subjects=[
                Subject(sop_class=one.sop_class, instance=one.instance, study=one.study)
                for one in found
            ],
        )

    return ask
