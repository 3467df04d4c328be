"""The audit trail: who did what. Evidence, kept in PostgreSQL, append-only.

A change is written in its own transaction: it is there if and only if the change is. A read is
written before its first byte, once in five minutes for each (principal, study, what); what follows
is counted in memory and added every second, and so are searches. When that has not been possible
for five seconds, reads and searches are refused rather than left without evidence.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from vna.access.principal import Principal
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import Unavailable, VNAError
from vna.telemetry import Spell, place_of
from vna.texts import marked

_SQL = statements.load("audit")

AGAIN_S = 300.0  # a first access is a row of its own again after this
FLUSH_S = 1.0
REFUSE_S = 5.0
_BATCH = 1000  # rows of one statement
_REMEMBERED = 100_000  # accesses kept in mind; past it the oldest are forgotten and written again

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One act. UIDs may stand in it, the value of a patient's attribute never."""

    kind: str  # "instance.stored", "query", "read", ...
    outcome: str
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)  # any JSON, by the kind of act


@dataclass(frozen=True, slots=True)
class _Act:
    principal: Principal
    event: Event
    at: dt.datetime | None = None

    def row(self) -> tuple[Any, ...]:  # the columns of insert_audit
        who, what = self.principal, self.event
        detail = orjson.dumps(what.detail, default=str).decode()
        return (
            self.at,
            what.kind,
            what.outcome,
            _storable(who.name),
            who.kind.value,
            who.address and _storable(who.address),
            what.study,
            what.series,
            what.instance,
            detail.replace("\\u0000", "\\ufffd"),  # jsonb holds no zero character
        )


@dataclass(slots=True)
class _More:
    """Accesses after the first one, not written yet."""

    principal: Principal
    count: int = 0
    size: int = 0


_Key = tuple[str, str, str | None, str, str]

Watcher = Callable[[Connection, Sequence[Event]], None]
"""Told of acts in the transaction that does them."""


class Audit:
    """Writes the trail of one process. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: dict[_Key, float] = {}  # when the first access was written, oldest first
        self._more: dict[_Key, _More] = {}
        self._acts: list[_Act] = []
        self._watchers: list[Watcher] = []
        self._waiting_since: float | None = None  # age of the oldest thing not written
        self._stop = threading.Event()
        self._flusher: threading.Thread | None = None

    def write(self, tx: Connection, principal: Principal, events: Sequence[Event]) -> None:
        """Write the acts of one principal in the transaction that does them."""
        _insert(tx, [_Act(principal, event) for event in events])
        self._tell(tx, events)

    def write_all(self, tx: Connection, acts: Sequence[tuple[Principal, Event]]) -> None:
        """Write the acts of several principals in the transaction that does them."""
        _insert(tx, [_Act(principal, event) for principal, event in acts])
        self._tell(tx, [event for _, event in acts])

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody of every act from now on; said once, before threads are at work."""
        self._watchers.append(watcher)

    def require_writable(self) -> None:
        """Return if a read or a search would not be refused now. Raises `Unavailable`."""
        self._refuse_if_late()

    def read(self, principal: Principal, study: str, what: str, *, count: int, size: int) -> None:
        """Write an access to a study before its first byte goes out. Raises `Unavailable`.

        `what` is the sort of access (instances, metadata, frames, ...), `size` is in bytes.
        """
        self.read_all(principal, what, [(study, count, size)])

    def read_all(
        self, principal: Principal, what: str, accesses: Sequence[tuple[str, int, int]]
    ) -> None:
        """Do the same for several studies, each with its count and size, in one transaction."""
        self._refuse_if_late()
        who = principal.kind.value, principal.name, principal.address
        first = {
            (*who, study, what): (count, size)
            for study, count, size in accesses
            if not self._counted((*who, study, what), principal, count, size)
        }
        if not first:
            return
        acts = [_Act(principal, _read_event(key, "first", *much)) for key, much in first.items()]
        with self._database.transaction() as tx:
            _insert(tx, acts)
        with self._lock:
            for key in first:
                self._seen.pop(key, None)
                self._seen[key] = time.monotonic()
            while len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]

    def asked(self, principal: Principal, level: str, keys: Sequence[str], rows: int) -> None:
        """Note a search: which keys were matched on, not for what. Raises `Unavailable`."""
        self._refuse_if_late()
        detail = {"level": level, "keys": [_storable(key) for key in keys], "rows": rows}
        self.note(principal, Event(kind="query", outcome="done", detail=detail))

    def note(self, principal: Principal, event: Event) -> None:
        """Note an act that is over; it is written within a second."""
        with self._lock:
            self._acts.append(_Act(principal, event, dt.datetime.now(dt.UTC)))
            self._has_waiting()

    def flush(self) -> None:
        """Write everything noted so far. Raises what the database raises; nothing is lost then."""
        with self._lock:
            acts, self._acts = self._acts, []
            more, self._more = self._more, {}
        begun = time.monotonic()
        now = dt.datetime.now(dt.UTC)
        acts += [
            _Act(m.principal, _read_event(key, "more", m.count, m.size), now)
            for key, m in more.items()
        ]
        written = 0
        try:
            while written < len(acts):
                batch = acts[written : written + _BATCH]
                with self._database.transaction() as tx:
                    _insert(tx, batch)
                written += len(batch)
        except BaseException:
            with self._lock:
                self._acts[:0] = acts[written:]
            raise
        with self._lock:
            self._waiting_since = begun if self._acts or self._more else None

    def close(self) -> None:
        """Stop the background thread and write what is left; what cannot be written is logged."""
        self._stop.set()
        if self._flusher is not None:
            self._flusher.join()
        try:
            self.flush()
        except VNAError:
            logger.exception("audit rows lost", extra={"rows": len(self._acts)})

    def _tell(self, tx: Connection, events: Sequence[Event]) -> None:
        for watcher in self._watchers:
            watcher(tx, events)

    def _counted(self, key: _Key, principal: Principal, count: int, size: int) -> bool:
        """Add to an access whose first one is written; False when this is the first."""
        with self._lock:
            first = self._seen.get(key)
            if first is None or time.monotonic() - first >= AGAIN_S:
                return False
            more = self._more.setdefault(key, _More(principal))
            more.count += count
            more.size += size
            self._has_waiting()
            return True

    def _has_waiting(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        if self._flusher is None:  # started late: threads do not survive the fork of a worker
            flusher = threading.Thread(target=self._run, name="audit", daemon=True)
            with suppress(RuntimeError):  # the system has no other: who comes next tries again
                flusher.start()
                self._flusher = flusher

    def _refuse_if_late(self) -> None:
        since = self._waiting_since
        if since is not None and time.monotonic() - since > REFUSE_S:
            with self._lock:
                self._begin()
            raise Unavailable(
                marked("The audit trail cannot be written; nothing is read without it.")
            )

    def _run(self) -> None:
        failing = Spell(logger, "audit not written", level=logging.ERROR)
        while not self._stop.wait(FLUSH_S):
            try:
                self.flush()
                failing.worked()
            except VNAError as exc:
                failing.failed(str(exc))
            except Exception as exc:  # the end of the thread: soon nothing would be read any more
                failing.failed(place_of(exc))


def _insert(tx: Connection, acts: Sequence[_Act]) -> None:
    if acts:
        columns = zip(*(act.row() for act in acts), strict=True)
        tx.execute(_SQL.insert_audit, [list(column) for column in columns])


def _read_event(key: _Key, outcome: str, count: int, size: int) -> Event:
    *_, study, what = key
    detail = {"what": what, "count": count, "size": size}
    return Event(kind="read", outcome=outcome, study=study, detail=detail)


def _storable(text: str) -> str:
    """Make a peer's text one that PostgreSQL holds: one bad name must not block the trail."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
