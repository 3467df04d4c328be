"""Every blob is read again from time to time: what a disk lost or changed is to be known in time.

A walk over the catalogue, in the order in which blobs were written, a few at a time and no faster
than `scrub.bytes_s`. Each has to be there, to have the checksum it was written with, and to open
with its key. What is found is noted once, written into the audit trail as an alert (many of one
sort as a number), counted in a metric, and looked at again each hour: put back from a copy, it is
forgotten as damaged.

The walk is one row: a stop loses nothing, and two processes that walk at once do it once.
"""

from __future__ import annotations

import datetime as dt
import errno
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from vna.access.audit import Audit
from vna.access.principal import system
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import Corrupt, NotFound, Unavailable, VNAError
from vna.operate.damage_alerts import MENDED, Alerts, News, of_many
from vna.telemetry import BLOBS_CHECKED, BLOBS_DAMAGED, Spell

_SQL = statements.load("scrub")

MISSING: Final = "missing"
DAMAGED: Final = "damaged"
UNOPENED: Final = "unopened"

REST_S = 86400.0
"""A blob younger than this was made durable just now, and may still be looked at by others."""

_AT_ONCE = 16
_LOOK_S = 60.0
_REST_LEAST_S = 0.1  # of many small blobs: others need the processor, too
_AGAIN_S = 3600.0
_AGAIN_MOST = 100
_AGAIN_SHARE = 9.0  # of rest to one of work
_RETRY_S = 60.0
_ID_BYTES = 16
# blocks or folders that a disk cannot give, as ext4, XFS and Btrfs say it, and a copy that was put
# back by another user, or as a link: the walk would stand before it for ever
_OF_ONE_FILE = frozenset(
    {errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EACCES, errno.EPERM, errno.ELOOP}
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Damage:
    """One blob that cannot be read, and which instance that is."""

    blob_id: bytes
    why: str
    found_at: dt.datetime
    study: str
    series: str
    instance: str


@dataclass(frozen=True, slots=True)
class Walk:
    """How far the walk is: `ended_at` is None while it is under way, `whole_at` the end before."""

    begun_at: dt.datetime
    reached: bytes
    checked: int
    ended_at: dt.datetime | None
    whole_at: dt.datetime | None


class Scrub:
    """Reads every blob again, and again. For one thread."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        rest_s: float = REST_S,
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._policy = settings.scrub
        self._is_elsewhere = bool(settings.blobs.url)
        self._rest_s = rest_s
        self._look_at = self._count_at = 0.0
        self._alerts = Alerts()
        self._failing = Spell(log, "blobs not read again", level=logging.ERROR)

    @property
    def is_wanted(self) -> bool:
        """Whether blobs are read again by themselves: of an object store only where asked for."""
        return self._policy.days > 0 and (self._policy.object_stores or not self._is_elsewhere)

    def run(self, stop: threading.Event) -> None:
        """Walk until told to stop."""
        wait_s = 0.0
        while self.is_wanted and not stop.wait(wait_s):
            try:
                wait_s = self.turn()
                self._failing.worked()
            except VNAError as exc:
                self._failing.failed(str(exc))
                wait_s = _RETRY_S
        with suppress(VNAError):  # the database is away, too: `vna status` counts them by itself
            self._tell_others(now=True)

    def turn(self) -> float:
        """Read the next few blobs; return how many seconds to rest.

        Raises `Unavailable` when the store or the database cannot be asked: nothing is noted then.
        """
        begun = time.monotonic()
        if begun >= self._look_at:
            rest_s = self.look_again()
            begun = time.monotonic()
            self._look_at = begun + rest_s
        self._tell_others()
        walk = self._under_way()
        if walk is None:
            return max(self._look_at - begun, 0.0)
        with self._database.reading() as conn:
            asked = {"after": walk.reached, "before": self._youngest(), "most": _AT_ONCE}
            rows = conn.execute(_SQL.following, asked).fetchall()
        found = {bytes(row[0]): self.fault_of(bytes(row[0])) for row in rows}
        self._write(found, after=walk.reached)
        BLOBS_CHECKED.inc(len(found))
        if not rows:
            self._tell_others(now=True)
            log.info("every blob was read again", extra={"checked": walk.checked})
            return _LOOK_S
        size = sum(int(row[1]) for row in rows)
        return max(size / self._policy.bytes_s - (time.monotonic() - begun), _REST_LEAST_S)

    def look_again(self) -> float:
        """Look at what was found damaged an hour ago: it may have been put back.

        Return how many seconds to rest: of a million blobs that were put back, or are lost still,
        the next few are looked at in a tenth of the time, and no faster than any others.
        """
        begun = time.monotonic()
        with self._database.reading() as conn:
            asked = {"after_s": _AGAIN_S, "most": _AGAIN_MOST}
            due = {bytes(row[0]): int(row[1]) for row in conn.execute(_SQL.due_again, asked)}
        found = {blob: self.fault_of(blob) for blob in due}
        if found:
            self._write(found)
        took_s = time.monotonic() - begun
        self._count()
        read = sum(size for blob, size in due.items() if found[blob] != MISSING)
        least_s = _LOOK_S if len(due) < _AGAIN_MOST else min(_AGAIN_SHARE * took_s, _LOOK_S)
        return max(read / self._policy.bytes_s, least_s)

    def _count(self) -> None:
        """Count what is damaged for the metric, once a minute: of a million it takes a while."""
        if time.monotonic() >= self._count_at:
            with self._database.reading() as conn:
                BLOBS_DAMAGED.set(count(conn))
            self._count_at = time.monotonic() + _LOOK_S

    def fault_of(self, blob_id: bytes) -> str | None:
        """Say what is wrong with one blob; None of one that is whole. Raises `Unavailable`."""
        try:
            self._store.check(blob_id, keyed=False)
        except NotFound:
            return MISSING
        except (Corrupt, Unavailable) as exc:
            self._require_store(exc)
            return DAMAGED
        try:
            self._store.reader(blob_id)
        except (NotFound, Corrupt, Unavailable) as exc:  # it is its key: the blob itself is whole
            self._require_store(exc)
            return UNOPENED
        return None

    def _require_store(self, exc: VNAError) -> None:
        """Raise what is no fault of one object: others could not be read either."""
        if not isinstance(exc, Unavailable):
            return
        if self._is_elsewhere or not _is_of_one_file(exc):
            raise exc
        self._store.require_readable()

    def _under_way(self) -> Walk | None:
        """Give the walk that is under way, begun now if it is time; None while there is none."""
        with self._database.reading() as conn:
            walk = progress(conn)
        if walk is not None and walk.ended_at is None:
            return walk
        now = dt.datetime.now(dt.UTC)
        if walk is not None and now - walk.begun_at < dt.timedelta(days=self._policy.days):
            return None
        with self._database.transaction() as tx:
            tx.execute(_SQL.begin)
            tx.execute(_SQL.forget_purged)
            self._alerts.begin()
            return progress(tx)

    def _write(self, found: dict[bytes, str | None], *, after: bytes | None = None) -> None:
        """Write down what was found, and tell what of it is new."""
        news = self._database.changing(lambda tx: self._note(tx, found, after))
        self._alerts.took(news)

    def _note(
        self, tx: Connection, found: dict[bytes, str | None], after: bytes | None
    ) -> list[News]:
        """Write down what was found, and how far the walk from `after` is now; give what is new."""
        news = []
        for blob, why in found.items():
            if why is not None:
                rows = tx.execute(_SQL.note_damage, {"blob": blob, "why": why}).fetchall()
                news += [News(why, blob, *row) for row in rows]
        whole = [blob for blob, why in found.items() if why is None]
        rows = tx.execute(_SQL.mended, {"blobs": whole}).fetchall()
        news += [News(MENDED, bytes(row[0]), *row[1:]) for row in rows]
        if after is not None:
            last = max(found, default=after)
            told = {"after": after, "reached": last, "count": len(found)}
            tx.execute(_SQL.advance if found else _SQL.end, told)
        if events := self._alerts.named(news):
            self._audit.write(tx, system("scrub"), events)
        return news

    def _tell_others(self, *, now: bool = False) -> None:
        """Tell how many were not named, once an hour, or `now`."""
        others = self._alerts.others(now=now)
        if others:
            events = of_many(others)
            self._database.changing(lambda tx: self._audit.write(tx, system("scrub"), events))
            self._alerts.told(others)

    def _youngest(self) -> bytes:
        """Give the id a blob would have that is old enough by a moment."""
        milliseconds = int((time.time() - self._rest_s) * 1000)
        return max(milliseconds, 0).to_bytes(6, "big") + bytes(_ID_BYTES - 6)


def _is_of_one_file(exc: Unavailable) -> bool:
    """Tell what may be said of one file from a store that cannot be asked."""
    return isinstance(exc.__cause__, OSError) and exc.__cause__.errno in _OF_ONE_FILE


def progress(conn: Connection) -> Walk | None:
    """Say how far the walk is; None before the first."""
    row = conn.execute(_SQL.progress).fetchone()
    return None if row is None else Walk(row[0], bytes(row[1]), *row[2:])


def damaged(conn: Connection, most: int) -> list[Damage]:
    """List what is known to be damaged, the longest known first."""
    rows = conn.execute(_SQL.damaged, {"most": most}).fetchall()
    return [Damage(bytes(row[0]), *row[1:]) for row in rows]


def count(conn: Connection) -> int:
    """Count what is known to be damaged."""
    row = conn.execute(_SQL.count_damaged).fetchone()
    return int(row[0]) if row is not None else 0
