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
from vna.jobs.reading import Reader, Reads, selection_of
from vna.jobs.task import LEFT, Ending, Handler, How, Task
from vna.operate.pushes import ASK
from vna.retrieve.retrieval import Retrieval, Tally

KIND = "forward"

_NOTE_S = 1.0  # between two notes of how far it is
_NOTE = 100  # instances of one note
# answers after which the same instance may well be taken later: out of resources (PS3.4 Table
# B.2-1), processing failure, resource limitation (PS3.7 C)
_LATER = frozenset({0x0110, 0x0213})


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
    who, what = reader.principal, task.job.kind
    found = engines.retrieve.retrieval(who, selection_of(waiting), what=what)
    numbers = {item.instance: item.number for item in waiting}
    there = {str(one.ref.instance) for one in found.listed}
    task.note(reader.absent(waiting, there))
    if not found.listed:
        return
    tally = Tally(len(found))
    how = "broken off"
    try:
        _sent(task, _sending(remote, settings, reader, found), numbers, tally)
        how = "done" if not tally.remaining else "left"
    finally:
        engines.retrieve.sent(who, found, tally, what=what, to=remote.ae_title, how=how)


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


def _sent(
    task: Task, send: Callable[[], Iterable[Sent]], numbers: dict[str, int], tally: Tally
) -> None:
    went: list[Settled] = []
    noted = time.monotonic()
    with closing(send()) as results:  # type: ignore[type-var]
        for sent in results:
            went.append(_settled(sent, numbers[sent.outgoing.ref.instance], tally))
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
    return Settled(number, "waiting" if _may_be_taken_later(sent) else "failed", code, cause)


def _may_be_taken_later(sent: Sent) -> bool:
    code = sent.status.code
    return code & 0xFF00 == 0xA700 or (sent.is_answered and code in _LATER)


def ending(task: Task) -> Ending:
    """Say how an attempt ended, by the states of the instances."""
    found = task.items()
    waiting = [item for item in found if item.state == "waiting"]
    failed = [item for item in found if item.state == "failed"]
    if waiting and task.must_leave:
        return LEFT
    if waiting:
        why = next((item.cause for item in waiting if item.cause), "")
        return Ending(
            how=How.LATER, cause=f"{len(waiting)} of {len(found)} instances wait. {why}".strip()
        )
    if failed:
        why = failed[0].cause or ""
        return Ending(
            how=How.FAILED,
            cause=f"{len(failed)} of {len(found)} instances were not taken. {why}".strip(),
        )
    return Ending(how=How.DONE, follow=_asking(task.job, found))


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
