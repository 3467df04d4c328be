"""The worker: wait, claim, do, settle; hold what is being done, stop gently.

A few threads do jobs side by side, so that a remote AE that is slow keeps only its own waiting.
One more waits for the bell, and one says every few seconds that the claims still hold.
"""

from __future__ import annotations

import functools
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from vna.config import Jobs
from vna.db import work
from vna.db.bell import Bell
from vna.db.pool import Connection, Database
from vna.db.work import Job, Standing, State
from vna.errors import Unavailable, VNAError
from vna.jobs import retry
from vna.jobs.task import Ending, Handler, How, Task
from vna.telemetry import JOBS, Spell, place_of

log = logging.getLogger(__name__)

CHANNEL = "vna_jobs"
_LOOK_S = 30.0  # longest time without looking for work, rung or not
_AWAY_S = 2.0  # before looking again when the database is away
_PRUNE_S = 3600.0
_PRUNED = 100  # jobs forgotten at once: what takes longer than a statement may is never done
_FAULT = "The archive failed to do this; its log says why."


class Worker:
    """Does the jobs of these kinds until `stop`. `node` names the place it works at."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        policy: Jobs,
        *,
        node: str,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._kinds = sorted(handlers)
        self._policy = policy
        self._node = node
        self._draw = draw
        self._lock = threading.Lock()
        self._tasks: dict[int, Task] = {}
        self._stopping = threading.Event()
        self._over = threading.Event()  # nothing is in hand any more
        self._rung = threading.Condition()
        self._rings = 0
        self._stop_in: socket.socket | None = None
        self._reading = Spell(log, "queue not read")
        self._claiming = Spell(log, "no job claimed")
        self._holding = Spell(log, "claims not held")

    def stop(self) -> None:
        """End `run` as soon as each job in hand can be left; may be called from a signal handler.

        What is left goes on later where it stands.
        """
        self._stopping.set()
        if self._stop_in is not None:
            with suppress(OSError):  # it has ended already
                self._stop_in.send(b"s")  # never read: whoever waits sees it

    def run(self) -> None:
        """Work until stopped."""
        hands = [threading.Thread(target=self._work, name=f"job-{n}") for n in self._hands()]
        holder = threading.Thread(target=self._hold, name="job-lease")
        bell = Bell(self._database.dsn, CHANNEL)
        stop_out, self._stop_in = socket.socketpair()
        try:
            self._take_over()
            for thread in (holder, *hands):
                thread.start()
            self._listen(bell, stop_out.fileno())
        finally:
            self._stopping.set()
            self._ring()
            _joined(hands)
            self._over.set()
            _joined([holder])
            bell.close()
            stop_out.close()
            self._stop_in.close()

    def do_one(self) -> bool:
        """Do one job that is due; False when there is none. Raises `Unavailable`."""
        with self._database.transaction() as tx:
            job = work.claim(tx, self._kinds, self._node, lease_s=self._policy.lease_s)
        if job is None:
            return False
        self._do(job)
        return True

    def _hands(self) -> range:
        return range(1, max(1, self._policy.workers) + 1)

    def _take_over(self) -> None:
        """Begin with what an earlier worker of this place was killed over."""
        try:
            with self._database.transaction() as tx:
                freed = work.free(tx, self._node)
        except VNAError as exc:
            log.warning("jobs not taken over", extra={"why": str(exc)})  # their leases run out
            return
        if freed:
            log.info("jobs taken over", extra={"jobs": freed})

    def _listen(self, bell: Bell, stop_fd: int) -> None:
        prune_at = 0.0
        while not self._stopping.is_set():
            wait_s = _LOOK_S
            try:
                if time.monotonic() >= prune_at:
                    is_all = self._prune() < _PRUNED  # else at the next turn, which is soon
                    prune_at = time.monotonic() + (_PRUNE_S if is_all else 0.0)
                with self._database.reading() as conn:
                    due_s = work.next_due_s(conn, self._kinds)
                wait_s = _LOOK_S if due_s is None else min(due_s + 0.01, _LOOK_S)
                wait_s = min(wait_s, max(prune_at - time.monotonic(), 0.0))
            except VNAError as exc:
                self._reading.failed(str(exc))
            else:
                self._reading.worked()
            bell.wait(wait_s, stop_fd=stop_fd)
            self._ring()

    def _ring(self) -> None:
        with self._rung:
            self._rings += 1
            self._rung.notify_all()

    def _work(self) -> None:
        while not self._stopping.is_set():
            rings = self._rings
            wait_s = _LOOK_S
            try:
                is_done = self.do_one()
                self._claiming.worked()
                if is_done:
                    continue
            except VNAError as exc:
                self._claiming.failed(str(exc))
                wait_s = _AWAY_S
            except Exception as exc:  # the end of this hand: with the last of them nothing is done
                self._claiming.failed(place_of(exc))
                wait_s = _AWAY_S
            with self._rung:
                self._rung.wait_for(functools.partial(self._is_rung, rings), wait_s)

    def _is_rung(self, before: int) -> bool:
        return self._rings != before or self._stopping.is_set()

    def _hold(self) -> None:
        while not self._over.wait(self._policy.lease_s / 4):
            self._beat()

    def _beat(self) -> None:
        with self._lock:
            tasks = dict(self._tasks)
        if not tasks:
            return
        try:
            with self._database.transaction() as tx:
                jobs = [task.job for task in tasks.values()]
                found = work.beat(tx, jobs, lease_s=self._policy.lease_s)
        except VNAError as exc:
            self._holding.failed(str(exc))
            return
        self._holding.worked()
        for job_id, standing in found.items():
            tasks[job_id].told(standing)

    def _do(self, job: Job) -> None:
        task = Task(job, self._database, self._stopping)
        with self._lock:
            self._tasks[job.job_id] = task
        try:
            ending = self._attempt(task)
            self._settle(task, ending)
        finally:
            with self._lock:
                del self._tasks[job.job_id]

    def _attempt(self, task: Task) -> Ending:
        if task.standing is Standing.CANCELLING:
            return Ending(how=How.LEFT)
        try:
            return self._handlers[task.job.kind](task)
        except Unavailable as exc:
            return Ending(how=How.LATER, cause=str(exc))
        except VNAError as exc:
            return Ending(how=How.FAILED, cause=str(exc))
        except Exception:  # a fault of ours ends no worker
            log.exception("job failed", extra={"job": task.job.job_id, "kind": task.job.kind})
            return Ending(how=How.LATER, cause=_FAULT)

    def _settle(self, task: Task, ending: Ending) -> None:
        if task.standing is Standing.LOST:
            self._count(task.job, "lost")
            return

        def settled(tx: Connection) -> str:
            return self._settled(tx, task, ending)

        try:
            outcome = self._database.changing(settled)
        except VNAError as exc:  # its lease runs out, and it is done again
            log.warning("job not settled", extra={"job": task.job.job_id, "why": str(exc)})
            return
        except Exception:
            if ending.follow is None:
                raise
            log.exception("job failed", extra={"job": task.job.job_id, "kind": task.job.kind})
            self._settle(task, Ending(how=How.LATER, cause=_FAULT))
            return
        self._count(task.job, outcome)

    def _settled(self, tx: Connection, task: Task, ending: Ending) -> str:
        job = task.job
        standing = work.hold(tx, job)
        if standing is Standing.LOST:
            return "lost"
        if ending.how is How.DONE:
            if ending.follow is not None:
                ending.follow(tx)
            work.finish(tx, job, State.DONE, ending.cause)
        elif standing is Standing.CANCELLING:
            work.finish(tx, job, State.CANCELLED, ending.cause)
            return "cancelled"
        elif ending.how is How.LEFT:
            work.put_off(tx, job, 0.0, ending.cause, counts=False)
        elif (delay := self._delay_s(job, ending)) is not None:
            work.put_off(tx, job, delay, ending.cause, counts=ending.counts)
            log.info(
                "job put off",
                extra={"job": job.job_id, "kind": job.kind, "for_s": delay, "why": ending.cause},
            )
            return "later"
        else:
            work.finish(tx, job, State.FAILED, ending.cause)
            log.warning(
                "job given up",
                extra={"job": job.job_id, "kind": job.kind, "why": ending.cause},
            )
            return "failed"
        return "done" if ending.how is How.DONE else "left"

    def _delay_s(self, job: Job, ending: Ending) -> float | None:
        if ending.how is How.FAILED:
            return None
        if ending.after_s is not None:
            in_time = job.age_s + ending.after_s <= self._policy.give_up_s
            return ending.after_s if in_time else None
        return retry.delay_s(max(job.attempts, 1), job.age_s, self._policy, self._draw())

    def _prune(self) -> int:
        with self._database.transaction() as tx:
            return work.prune(tx, self._policy.keep_days * 86400, most=_PRUNED)

    def _count(self, job: Job, outcome: str) -> None:
        JOBS.labels(job.kind, outcome).inc()


def _joined(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        if thread.ident is not None:  # it was started
            thread.join()
