"""Asking for later work: a job row inside the caller's transaction, so that it is there if and
only if the act is that it follows from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from vna.db import statements
from vna.db.pool import Connection

_SQL = statements.load("jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One SOP Instance a job is about."""

    sop_class: str
    instance: str
    study: str | None = None


def enqueue(
    tx: Connection,
    kind: str,
    payload: Mapping[str, Any],
    *,
    requested_by: str,
    remote: str | None = None,
    token: str | None = None,
    subjects: Sequence[Subject] = (),
    held_s: float | None = None,
) -> int | None:
    """Ask for work and return the number of the job; None when the token is in use.

    `payload` is any JSON, by the kind of work; no value of a patient's attribute. `token` is what
    `remote` knows the job by. With `held_s` the caller does it itself: the job is claimed (epoch 1)
    and becomes everybody's if it is not settled within these seconds.
    """
    row = tx.execute(
        _SQL.add_job,
        {
            "kind": kind,
            "remote": remote,
            "token": token,
            "payload": orjson.dumps(payload).decode(),
            "requested_by": requested_by,
            "held_s": held_s,
        },
    ).fetchone()
    if row is None:
        return None
    job_id = int(row[0])
    if subjects:
        columns = [
            [one.sop_class for one in subjects],
            [one.instance for one in subjects],
            [one.study for one in subjects],
        ]
        tx.execute(_SQL.add_items, (job_id, *columns))
    return job_id
