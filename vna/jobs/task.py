"""What the handler of a job is given, and what it answers."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vna.db import work
from vna.db.pool import Connection, Database
from vna.db.work import Item, Job, Settled, Standing


class How(enum.Enum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"  # trying again would not help
    LATER = "later"
    LEFT = "left"  # the worker stops, or the job is to be cancelled or is another one's


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The answer of a handler. `cause` is one sentence that may be shown to anybody.

    `after_s` is when to try again if not after the usual time; an attempt that waits for somebody
    else does not count. `follow` is done in the transaction that ends the job.
    """

    how: How
    cause: str | None = None
    after_s: float | None = None
    counts: bool = True
    follow: Callable[[Connection], None] | None = None


DONE = Ending(how=How.DONE)
LEFT = Ending(how=How.LEFT, cause="The archive was stopped meanwhile.")


class Task:
    """A job in a worker's hands."""

    def __init__(self, job: Job, database: Database, stopping: threading.Event) -> None:
        self.job = job
        self._database = database
        self._stopping = stopping
        self._standing = Standing.CANCELLING if job.cancelling else Standing.HELD

    @property
    def standing(self) -> Standing:
        """What the claim is worth, as far as that is known."""
        return self._standing

    @property
    def must_leave(self) -> bool:
        """Whether to come to an end soon; look after each instance."""
        return self._stopping.is_set() or self._standing is not Standing.HELD

    def items(self) -> list[Item]:
        """List the SOP Instances of the job."""
        with self._database.reading() as conn:
            return work.items(conn, self.job.job_id)

    def note(self, went: Sequence[Settled]) -> None:
        """Write down how it went with some instances."""
        with self._database.transaction() as tx:
            self.told(work.settle(tx, self.job, went))

    def name(self, token: str) -> None:
        """Write down what the remote AE will know the job by, before it is told."""
        with self._database.transaction() as tx:
            if not work.name(tx, self.job, token):
                self.told(Standing.LOST)

    def told(self, standing: Standing) -> None:
        """Take note of what the claim is worth now; what was lost stays lost."""
        if self._standing is not Standing.LOST:
            self._standing = standing


Handler = Callable[[Task], Ending]
"""Does one kind of job. Raises `Unavailable` for "later", any other `VNAError` for "never"."""
