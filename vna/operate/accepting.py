"""A trail that was put back, taken over as it is now: said by somebody, signed, and never silent.

After a restore the checkpoints made since the copy name links that are not there any more.
Accepting names each of them in a new checkpoint, over a row that says who did it and why. What is
edited, removed or added among sealed rows cannot be accepted.
"""

from __future__ import annotations

import datetime as dt

from vna.access import chain
from vna.access.audit import Audit, Event
from vna.access.chain import SQL
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.checkpoints import ACCEPTED_MOST, Checkpoints
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest, TooLarge, Unavailable
from vna.operate.evidence import Evidence
from vna.operate.sealing import Sealer
from vna.texts import filled

_ACCEPTABLE = frozenset({"cut", "other trail", "checkpoint"})
_MOST_REASON = 200
_TRIES = 50


class Acceptance:
    """Accepts the trail of one archive as it is now."""

    def __init__(
        self, *, database: Database, audit: Audit, checkpoints: Checkpoints, sealer: Sealer
    ) -> None:
        self._database = database
        self._audit = audit
        self._checkpoints = checkpoints
        self._sealer = sealer

    def accept(self, who: Principal, reason: str) -> int:
        """Accept it; return how many checkpoints are not followed from now on.

        Raises `NotPermitted`, `InvalidRequest`, `TooLarge`; `Conflict` when there is nothing to
        accept, or something that cannot be.
        """
        require(who, Action.MANAGE)
        reason = " ".join(reason.split())
        if not 1 <= len(reason) <= _MOST_REASON:
            raise InvalidRequest(
                filled("Say why, in up to %(most)s characters.", most=_MOST_REASON)
            )
        verdict = Evidence(self._database, self._checkpoints).verify()
        if others := sorted({one.what for one in verdict.findings} - _ACCEPTABLE):
            raise Conflict(f"The trail has findings nobody can accept: {', '.join(others)}.")
        marks = sorted(set(verdict.unmatched))
        if not marks:
            raise Conflict("There is nothing to accept: every checkpoint is followed.")
        if len(marks) > ACCEPTED_MOST:
            raise TooLarge(f"More than {ACCEPTED_MOST} checkpoints are not followed.")
        detail = {"reason": reason, "checkpoints": len(marks), "links": verdict.links}
        with self._database.transaction() as tx:
            event = Event(kind="audit.accepted", outcome="done", detail=detail)
            self._audit.write(tx, who, [event])
        self._sign(marks, verdict.links)
        return len(marks)

    def _sign(self, marks: list[str], before: int) -> None:
        """Seal the row that says so, and sign the place behind it."""
        for _ in range(_TRIES):
            self._sealer.seal()
            with self._database.reading() as conn:
                last, trail = chain.tail(conn), chain.trail_id(conn)
                if last.seal_seq > before:
                    break
                conn.execute("SELECT pg_sleep(0.1)")
        else:
            raise Unavailable("The row could not be sealed; try again.")
        at = dt.datetime.now(dt.UTC)
        made = self._checkpoints.sign(trail, last.seal_seq, last.hash, at, accepts=marks)
        values = (last.seal_seq, at, made.statement, made.signature)
        self._database.changing(lambda tx: tx.execute(SQL.add_checkpoint, values))
