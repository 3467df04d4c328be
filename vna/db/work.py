"""Doing the work asked for: claims on jobs, each under a lease and an epoch, and how they end.

A claim holds while its worker says so again and again. One whose worker fell silent is taken over
under the next epoch, and whatever the old one still writes is refused: a job is done at least
once, and what is written of it is one worker's.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vna.db import statements
from vna.db.pool import Connection

_SQL = statements.load("jobs")


class State(enum.Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Standing(enum.Enum):
    """What a worker may still do with the job it claimed."""

    HELD = "held"
    CANCELLING = "cancelling"
    LOST = "lost"  # another one has it, or it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A claimed job. `age_s` says for how long it has been tried, since it was last asked for."""

    job_id: int
    kind: str
    remote: str | None
    token: str | None
    payload: Any  # JSON, by the kind
    requested_by: str
    attempts: int
    epoch: int
    age_s: float
    cancelling: bool
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A SOP Instance of a job. `state` is waiting, done, warning or failed."""

    number: int
    sop_class: str
    instance: str
    study: str | None
    state: str
    status: int | None
    cause: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """How it went with one SOP Instance of a job; `tried` is false when its turn never came."""

    number: int
    state: str
    status: int | None = None
    cause: str | None = None
    tried: bool = True


def claim(tx: Connection, kinds: Sequence[str], node: str, *, lease_s: float) -> Job | None:
    """Take the job that is due for the longest time; None when there is none."""
    asked = {"kinds": list(kinds), "node": node, "lease_s": lease_s}
    # two claims side by side would each find the remote AE free, and skip the other's row
    tx.execute(_SQL.one_claimer)
    row = tx.execute(_SQL.claim_job, asked).fetchone()
    return None if row is None else _job(row)


def claim_named(
    tx: Connection, kind: str, remote: str, token: str, *, lease_s: float
) -> Job | None:
    """Take a job by what its remote AE knows it by, whoever has it; None when it has its answer."""
    asked = {"kind": kind, "remote": remote, "token": token, "lease_s": lease_s}
    row = tx.execute(_SQL.claim_named, asked).fetchone()
    return None if row is None else _job(row)


def find_named(conn: Connection, kind: str, remote: str, token: str) -> int | None:
    """Find a job that has not ended by what its remote AE knows it by."""
    row = conn.execute(_SQL.find_named, (kind, remote, token)).fetchone()
    return None if row is None else int(row[0])


def is_named(conn: Connection, kind: str, remote: str, token: str) -> bool:
    """Whether there is such a job, ended or not."""
    asked = {"kind": kind, "remote": remote, "token": token}
    row = conn.execute(_SQL.is_named, asked).fetchone()
    return bool(row and row[0])


def next_due_s(conn: Connection, kinds: Sequence[str]) -> float | None:
    """Say in how many seconds there may be something to claim; None when nothing is foreseen."""
    row = conn.execute(_SQL.next_due, {"kinds": list(kinds)}).fetchone()
    return None if row is None or row[0] is None else max(float(row[0]), 0.0)


def items(conn: Connection, job_id: int) -> list[Item]:
    """List the SOP Instances of a job in its order."""
    return [
        Item(
            number=number,
            sop_class=sop_class,
            instance=instance,
            study=study,
            state=state,
            status=status,
            cause=cause,
            attempts=attempts,
        )
        for number, sop_class, instance, study, state, status, cause, attempts in conn.execute(
            _SQL.list_items, (job_id,)
        ).fetchall()
    ]


def settle(tx: Connection, job: Job, went: Sequence[Settled]) -> Standing:
    """Write down how it went with some instances, if the claim still holds."""
    standing = hold(tx, job)
    if went and standing is not Standing.LOST:
        columns = (
            [one.number for one in went],
            [one.state for one in went],
            [one.status for one in went],
            [one.cause for one in went],
            [one.tried for one in went],
        )
        tx.execute(_SQL.settle_items, (*columns, job.job_id))
    return standing


def hold(tx: Connection, job: Job) -> Standing:
    """Say whether the claim holds; until the transaction ends nobody changes that."""
    row = tx.execute(_SQL.hold_job, (job.job_id, job.epoch)).fetchone()
    if row is None:
        return Standing.LOST
    return Standing.CANCELLING if row[0] else Standing.HELD


def beat(tx: Connection, jobs: Iterable[Job], *, lease_s: float) -> dict[int, Standing]:
    """Hold these claims for longer; say of each what it is worth."""
    mine = list(jobs)
    ids, epochs = [job.job_id for job in mine], [job.epoch for job in mine]
    rows = tx.execute(_SQL.beat, (lease_s, ids, epochs)).fetchall()
    found: dict[int, bool] = dict(rows)
    return {
        job_id: Standing.LOST
        if job_id not in found
        else Standing.CANCELLING
        if found[job_id]
        else Standing.HELD
        for job_id in ids
    }


def finish(tx: Connection, job: Job, state: State, cause: str | None = None) -> bool:
    """End a job; False when the claim holds no more."""
    row = tx.execute(_SQL.finish_job, (state.value, cause, job.job_id, job.epoch)).fetchone()
    return row is not None


def put_off(
    tx: Connection, job: Job, delay_s: float, cause: str | None = None, *, counts: bool = True
) -> bool:
    """Let a job wait; False when the claim holds no more. `counts`: the attempt was one."""
    asked = {
        "cause": cause,
        "delay_s": delay_s,
        "counts": counts,
        "job_id": job.job_id,
        "epoch": job.epoch,
    }
    return tx.execute(_SQL.put_off_job, asked).fetchone() is not None


def name(tx: Connection, job: Job, token: str) -> bool:
    """Say what the remote AE will know the job by; False when the claim holds no more."""
    return tx.execute(_SQL.name_job, (token, job.job_id, job.epoch)).fetchone() is not None


def free(tx: Connection, node: str) -> int:
    """Give back what an earlier worker of this node held; count it."""
    return len(tx.execute(_SQL.free_jobs, (node,)).fetchall())


def prune(tx: Connection, keep_s: float, *, most: int) -> int:
    """Forget at most so many jobs that ended longer ago; count them."""
    return len(tx.execute(_SQL.prune_jobs, (keep_s, most)).fetchall())


def _job(row: tuple[Any, ...]) -> Job:
    job_id, kind, remote, token, payload, requested_by, *rest = row
    attempts, epoch, age_s, cancelling, created_at = rest
    return Job(
        job_id=job_id,
        kind=kind,
        remote=remote,
        token=token,
        payload=payload,
        requested_by=requested_by,
        attempts=attempts,
        epoch=epoch,
        age_s=age_s,
        cancelling=cancelling,
        created_at=created_at,
    )
