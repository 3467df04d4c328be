"""One attempt to send what waits of a job: what was found, how it went, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from vna.db.pool import Connection
from vna.db.work import Item
from vna.dicom.refs import UID
from vna.engines import Engines
from vna.jobs.reading import Reads, selection_of
from vna.jobs.task import LEFT, Ending, How, Task
from vna.retrieve.retrieval import Retrieval, Tally

# reasons after which the same instance may well be taken later: processing failure, resource
# limitation (PS3.7 C, PS3.18 Table I.2-2)
_LATER = frozenset({0x0110, 0x0213})

Follow = Callable[[Connection], None]
"""What else is done in the transaction that ends a job."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to be sent, the number of each instance in the job, and how it goes.

    `tried` says how often each instance was tried before.
    """

    found: Retrieval
    numbers: dict[UID, int]
    tried: dict[UID, int]
    tally: Tally


@contextmanager
def attempted(
    task: Task, engines: Engines, waiting: Sequence[Item], *, reader: Reads, to: str
) -> Iterator[Attempt]:
    """Find what waits, note what is gone, and write down at the end how the rest went.

    What was tried least goes first: what a remote breaks off at keeps nothing else waiting.
    """
    who, what = reader.principal, task.job.kind
    tried = {UID(item.instance): item.attempts for item in waiting}
    found = engines.retrieve.retrieval(who, selection_of(waiting), what=what)
    found = replace(found, listed=sorted(found.listed, key=lambda one: tried[one.ref.instance]))
    task.note(reader.absent(waiting, {str(one.ref.instance) for one in found.listed}))
    tally = Tally(len(found))
    how = "broken off"
    try:
        numbers = {UID(item.instance): item.number for item in waiting}
        yield Attempt(found, numbers, tried, tally)
        how = "done" if not tally.remaining else "left"
    finally:
        if found.listed:
            engines.retrieve.sent(who, found, tally, what=what, to=to, how=how)


def may_be_taken_later(code: int) -> bool:
    """Whether an instance that was refused so may be taken at another time (PS3.4 B.2-1)."""
    return is_out_of_resources(code) or code in _LATER


def is_out_of_resources(code: int) -> bool:
    """Whether a remote had no room for an instance (PS3.4 Table B.2-1)."""
    return code & 0xFF00 == 0xA700


def ending(task: Task, follow: Callable[[Sequence[Item]], Follow | None] | None = None) -> Ending:
    """Say how an attempt ended, by the states of the instances; `follow` when all were taken."""
    found = task.items()
    waiting = [item for item in found if item.state == "waiting"]
    failed = [item for item in found if item.state == "failed"]
    if waiting and task.must_leave:
        return LEFT
    if waiting:
        return Ending(how=How.LATER, cause=_told(waiting, found, "wait"))
    if failed:
        return Ending(how=How.FAILED, cause=_told(failed, found, "were not taken"))
    return Ending(how=How.DONE, follow=None if follow is None else follow(found))


def _told(some: Sequence[Item], found: Sequence[Item], what: str) -> str:
    why = next((item.cause for item in some if item.cause), "")
    return f"{len(some)} of {len(found)} instances {what}. {why}".strip()
