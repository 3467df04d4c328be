"""Group commit: one index transaction for all objects that are ready, never waiting for company.

The first to come leads: the server works on its rows while its blob is made durable, and commits
them after that. Who comes meanwhile makes its own blob durable and queues up; the first of them
leads the next batch. No row is ever committed before its blob is durable.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from vna import telemetry
from vna.access.audit import Audit, Event
from vna.access.principal import Principal
from vna.db.pool import Connection, Database
from vna.errors import CommitUnknown, Contended, Unavailable, VNAError
from vna.index.register import (
    Registered,
    Registration,
    Verdict,
    known,
    register,
    register_at_once,
)
from vna.ingest.routing import Router

_MOST = 64
_ACT = "instance.stored"


@dataclass(slots=True, eq=False)
class _Ticket:
    item: Registration
    principal: Principal
    settle: Callable[[], None]
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    result: Registered | None = None
    error: Exception | None = None


class Committer:
    """Turns registrations into rows, in batches. Shared by all threads of a process."""

    def __init__(self, database: Database, audit: Audit, *, policy: str, router: Router) -> None:
        self._database = database
        self._audit = audit
        self._policy = policy
        self._router = router
        self._lock = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._led = False

    def commit(
        self, item: Registration, principal: Principal, settle: Callable[[], None]
    ) -> Registered:
        """Return once blob and row are durable, or what stands in their way.

        `settle` makes the blob durable, and does nothing when called again. Raises `Unavailable`
        when disk or database are away; `CommitUnknown` when nobody can say whether the row is there
        (the blob must then be left for recovery).
        """
        ticket = _Ticket(item, principal, settle)
        batch = [ticket] if self._leads_alone() else self._queue_up(ticket)
        if batch is not None:
            try:
                self._lead(batch)
            finally:
                self._pass_on()
        if ticket.error is not None:
            raise ticket.error
        if ticket.result is None:
            raise Unavailable
        return ticket.result

    def _leads_alone(self) -> bool:
        with self._lock:
            free = not self._led
            self._led = True
        return free

    def _queue_up(self, ticket: _Ticket) -> list[_Ticket] | None:
        """Wait until another thread has committed the ticket, or its turn to lead has come."""
        ticket.settle()
        with self._lock:
            self._queue.append(ticket)
            if not self._led:
                self._led = True
                return self._take()
        ticket.turn.wait()
        if not ticket.leads:
            return None
        with self._lock:
            return self._take()

    def _take(self) -> list[_Ticket]:
        return [self._queue.popleft() for _ in range(min(_MOST, len(self._queue)))]

    def _pass_on(self) -> None:
        with self._lock:
            if self._queue:
                heir = self._queue[0]
                heir.leads = True
                heir.turn.set()
            else:
                self._led = False

    def _lead(self, batch: list[_Ticket]) -> None:
        try:
            self._write(batch)
        except CommitUnknown as exc:
            self._ask_again(batch, exc)
        except Exception as exc:
            if len(batch) == 1 or isinstance(exc, Unavailable):
                for ticket in batch:
                    if ticket.result is None:
                        ticket.error = exc
            else:
                self._one_by_one(batch)
        finally:
            for ticket in batch:
                ticket.turn.set()

    def _one_by_one(self, batch: list[_Ticket]) -> None:
        # one row of the batch offends a constraint: the others must not suffer for it
        for ticket in (t for t in batch if t.result is None):
            try:
                self._write([ticket])
            except CommitUnknown as exc:
                self._ask_again([ticket], exc)
            except Exception as exc:
                ticket.error = exc

    def _write(self, batch: list[_Ticket]) -> None:
        begun = time.perf_counter()
        for n, result in self._at_once(batch).items():
            batch[n].result = result
        if rest := [ticket for ticket in batch if ticket.result is None]:
            self._write_rest(rest)
        telemetry.COMMIT_SECONDS.observe(time.perf_counter() - begun)
        telemetry.COMMIT_BATCH.observe(len(batch))

    def _at_once(self, batch: list[_Ticket]) -> dict[int, Registered]:
        try:
            with self._database.at_once() as conn:
                items = [t.item for t in batch]
                return register_at_once(conn, items, act=_ACT, meanwhile=lambda: _settle_all(batch))
        except Contended:
            return {}  # undone whole: the ordinary transaction is repeated as often as needed

    def _write_rest(self, rest: list[_Ticket]) -> None:
        """What is the first of its study or series, or met a version of itself."""
        _settle_all(rest)

        def work(tx: Connection) -> list[Registered]:
            results = register(tx, [t.item for t in rest], policy=self._policy, act=_ACT)
            met = [
                (t.principal, stored_event(t.item, r, _ACT))
                for t, r in zip(rest, results, strict=True)
                if r.verdict is Verdict.SAME or r.elsewhere
            ]
            self._audit.write_all(tx, met)
            self._router.queue(tx, zip((t.item for t in rest), results, strict=True))
            return results

        for ticket, result in zip(rest, self._database.changing(work), strict=True):
            ticket.result = result

    def _ask_again(self, batch: list[_Ticket], cause: CommitUnknown) -> None:
        """The connection went away inside COMMIT: ask on a new one whether the rows are there."""
        try:
            with self._database.reading() as conn:
                there = known(conn, [t.item.blob_id for t in batch])
        except VNAError:
            there = set()
        for ticket in batch:
            if ticket.result is not None:
                continue
            if ticket.item.blob_id in there:
                ticket.result = Registered(
                    verdict=Verdict.NEW,
                    blob_id=ticket.item.blob_id,
                    elsewhere=False,
                    current=True,
                    existing=(),
                )
            else:
                ticket.error = cause


def _settle_all(tickets: list[_Ticket]) -> None:
    for ticket in tickets:
        ticket.settle()


def stored_event(item: Registration, result: Registered, kind: str) -> Event:
    """The audit event of an object that came in."""
    return Event(
        kind=kind,
        outcome="already-stored" if result.verdict is Verdict.SAME else "stored",
        study=item.ref.study,
        series=item.ref.series,
        instance=item.ref.instance,
        detail={
            "proto": item.proto,
            "blob": item.blob_id.hex(),
            "size": item.size,
            "current": result.current,
        },
    )
