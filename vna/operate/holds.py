"""Studies held: nothing of them is deleted, nor destroyed once deleted, until they are let go.

For what a court, an authority or an inquiry may ask for. Journal entry, then row and audit, then
the answer, as with labels: a rebuilt index holds what was held (`lay`).
"""

from __future__ import annotations

import datetime as dt

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, uid
from vna.errors import Corrupt, InvalidRequest, InvalidUID, NotFound
from vna.index import holds
from vna.index.deleted import mark_applied
from vna.index.holds import Hold
from vna.operate import standing_entries
from vna.operate.standing_entries import Marks, reason_of

SET = "hold"
TAKEN = "unhold"


class HoldEngine:
    """Holds studies, and lets them go. One a process, shared by its threads."""

    def __init__(self, *, store: BlobStore, database: Database, audit: Audit) -> None:
        self._journal = Journal(store)
        self._database = database
        self._audit = audit

    def put(
        self, principal: Principal, study: UID, *, reason: str, until: dt.datetime | None = None
    ) -> int:
        """Hold a study, here already or not; a second time it says anew why and how long.

        Gives the number of its objects that were deleted and are kept from being destroyed now.
        Raises `NotPermitted`, `InvalidRequest`.
        """
        require(principal, Action.HOLD)
        reason = reason_of(reason)
        if until is not None and until <= dt.datetime.now(dt.UTC):
            raise InvalidRequest("The end of a hold lies ahead.")
        args = {"reason": reason, "until": None if until is None else until.isoformat()}
        with self._database.transaction() as tx:
            holds.change(tx)  # what is written down later lands later
            entry = self._journal.append(SET, {"study": study}, args, principal.name)
            hold = Hold(
                study=study, until=until, reason=reason, by=principal.name, at=created_at(entry)
            )
            mark_applied(tx, [entry], SET)
            holds.put(tx, hold)
            self._audit.write(tx, principal, [_told(study, hold)])
            return holds.deleted_of(tx, study)

    def take(self, principal: Principal, study: UID, *, reason: str) -> int:
        """Let a study go.

        Gives the number of its objects that were deleted: they are destroyed when their time of
        grace is over, which it may be by now. Raises `NotPermitted`, `NotFound`, `InvalidRequest`.
        """
        require(principal, Action.HOLD)
        reason = reason_of(reason)
        with self._database.transaction() as tx:
            holds.change(tx)
            if not holds.of(tx, study):
                raise NotFound("This study is not held.")
            args = {"reason": reason}
            entry = self._journal.append(TAKEN, {"study": study}, args, principal.name)
            mark_applied(tx, [entry], TAKEN)
            holds.drop(tx, study)
            self._audit.write(tx, principal, [_told(study, None)])
            return holds.deleted_of(tx, study)

    def of(self, principal: Principal, study: UID | None = None) -> list[Hold]:
        """Give the hold of a study, or the newest thousand of all. Raises `NotPermitted`."""
        require(principal, Action.HOLD)
        with self._database.reading() as conn:
            return holds.of(conn, study)

    def lay(self, tx: Connection) -> None:
        """Write every hold that stands into an emptied index. Raises `Corrupt`."""
        standing_entries.lay(tx, self._journal, _MARKS)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts.

        Raises `Corrupt` when an entry cannot be read.
        """
        return standing_entries.catch_up(
            self._database, self._audit, self._journal, _MARKS, older_s=older_s, since=since
        )


def _told(study: UID, hold: Hold | None) -> Event:
    if hold is None:
        return Event(kind="hold.taken", outcome="done", study=study)
    until = None if hold.until is None else hold.until.isoformat()
    return Event(kind="hold.set", outcome="done", study=study, detail={"until": until})


def _read(entry: Entry) -> tuple[UID, Hold | None]:
    try:
        study = uid(entry.target["study"])
        if entry.op == TAKEN:
            return study, None
        until = entry.args["until"]
        hold = Hold(
            study=study,
            until=None if until is None else dt.datetime.fromisoformat(until),
            reason=entry.args["reason"],
            by=entry.actor,
            at=created_at(entry.id),
        )
    except (KeyError, TypeError, ValueError, InvalidUID) as exc:
        raise Corrupt("A journal entry does not say what was held.") from exc
    return study, hold


_MARKS: Marks[UID, Hold] = Marks(
    set_op=SET,
    taken_op=TAKEN,
    read=_read,
    event=_told,
    alone=holds.change,
    put=holds.put,
    drop=holds.drop,
    replace_all=holds.replace_all,
)
