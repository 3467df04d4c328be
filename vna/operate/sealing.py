"""The sealer: chains the committed rows of the audit trail, and signs how far that went.

Ids of rows are given before their transactions commit. Whoever inserts holds a lock on the table
from before the id is drawn until after the commit can be seen: when every transaction is over that
held it after an id was given, all rows up to that id are there, and links are made in their order.
Nothing waits for the sealer, and a sealer that was killed is taken over where it stopped.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from dataclasses import dataclass

from vna.access import chain
from vna.access.chain import SQL, Tail
from vna.blobs.checkpoints import Checkpoints
from vna.db.pool import Connection, Database
from vna.errors import VNAError
from vna.telemetry import Spell

EVERY_S = 1.0
CHECKPOINT_ROWS = 1000
CHECKPOINT_S = 300.0
_BATCH = 5000  # rows of one transaction
_RETRY_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Horizon:
    """Ids up to `settled` are all there; those up to `pending` when `writers` are over."""

    settled: int = 0
    pending: int = 0
    writers: frozenset[str] = frozenset()


class Sealer:
    """Seals one archive's trail; several may run, one of them works."""

    def __init__(self, database: Database, checkpoints: Checkpoints) -> None:
        self._database = database
        self._checkpoints = checkpoints
        self._horizon = _Horizon()
        self._failing = Spell(logger, "audit not sealed", level=logging.ERROR)

    def run(self, stop: threading.Event) -> None:
        """Seal every second until told to stop; then sign what is not signed yet."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = EVERY_S if self._turn() else _RETRY_S
        self._turn(ending=True)

    def seal(self) -> int:
        """Link what is committed and surely complete; count the rows."""
        done = 0
        while True:
            count = self._database.changing(self._seal_batch)
            done += count
            if count < _BATCH:
                return done

    def checkpoint(self, *, now: bool = False) -> bool:
        """Sign the end of the chain when it is time to, or `now`; False when there is no need."""
        with self._database.reading() as conn:
            last = chain.tail(conn)
            signed = conn.execute(SQL.last_checkpoint).fetchone()
            trail = chain.trail_id(conn)
        at = dt.datetime.now(dt.UTC)
        signed_seq, signed_at = signed or (0, None)
        fresh = last.seal_seq - signed_seq
        is_old = signed_at is None or (at - signed_at).total_seconds() >= CHECKPOINT_S
        if fresh <= 0 or not (now or is_old or fresh >= CHECKPOINT_ROWS):
            return False
        made = self._checkpoints.sign(trail, last.seal_seq, last.hash, at)
        values = (last.seal_seq, at, made.statement, made.signature)
        self._database.changing(lambda tx: tx.execute(SQL.add_checkpoint, values))
        return True

    def _turn(self, *, ending: bool = False) -> bool:
        try:
            self.seal()
            self.checkpoint(now=ending)
        except VNAError as exc:
            self._failing.failed(str(exc))
            return False
        self._failing.worked()
        return True

    def _seal_batch(self, tx: Connection) -> int:
        if not chain.one(tx, SQL.seal_alone)[0]:
            return 0
        last = chain.tail(tx)
        upto = self._settle(tx)
        if upto <= last.audit_id:
            return 0
        asked = {"after": last.audit_id, "upto": upto, "most": _BATCH}
        rows = tx.execute(SQL.to_seal, asked).fetchall()
        made: Tail = chain.extend(tx, last, [(row[0], row[1]) for row in rows])
        return made.seal_seq - last.seal_seq

    def _settle(self, tx: Connection) -> int:
        """Say up to which id all rows can be seen by the next statement."""
        horizon = self._horizon
        (drawn,) = chain.one(tx, SQL.last_drawn)  # before the writers: whoever drew it is one
        if drawn == horizon.settled:
            return int(drawn)
        if drawn < horizon.settled:  # another database stands there now
            horizon = self._horizon = _Horizon()
        writers = frozenset(row[0] for row in tx.execute(SQL.writers).fetchall())
        if not horizon.writers & writers:
            horizon.settled = horizon.pending
            horizon.pending, horizon.writers = drawn, writers
        if not writers:
            horizon.settled = drawn
        return horizon.settled
