"""Labels set and taken away: journal entry, then row and audit, then the answer.

The journal is what counts: an emptied index gets back what stands there (`lay`), so that no rebuild
shows a study that was withheld.
"""

from __future__ import annotations

import datetime as dt

from vna.access.audit import Audit, Event
from vna.access.labels import Labelled, Labels
from vna.access.policy import require
from vna.access.principal import Action, Label, Principal
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, uid
from vna.errors import Corrupt, InvalidRequest, InvalidUID, NotFound
from vna.index.deleted import mark_applied
from vna.operate import standing_entries
from vna.operate.standing_entries import Marks, reason_of

SET = "label"
TAKEN = "unlabel"

_Key = tuple[UID, Label]


class LabelEngine:
    """Withholds studies, and lets them be seen again. One a process, shared by its threads."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, labels: Labels
    ) -> None:
        self._journal = Journal(store)
        self._database = database
        self._audit = audit
        self._labels = labels
        self._marks: Marks[_Key, Labelled] = Marks(
            set_op=SET,
            taken_op=TAKEN,
            read=_read,
            event=_told,
            alone=labels.hold,
            put=labels.put,
            drop=lambda tx, key: labels.drop(tx, *key),
            replace_all=labels.replace_all,
        )

    def put(
        self,
        principal: Principal,
        study: UID,
        label: Label,
        *,
        reason: str,
        until: dt.datetime | None = None,
    ) -> None:
        """Label a study, here already or not. Raises `NotPermitted`, `InvalidRequest`.

        An embargo has an end, the others have none. Whoever may not see it any more does not, at
        the latest after a second.
        """
        require(principal, Action.LABEL)
        reason = reason_of(reason)
        if (label is Label.EMBARGOED) != (until is not None):
            raise InvalidRequest("An embargo has an end, and no other label has one.")
        if until is not None and until <= dt.datetime.now(dt.UTC):
            raise InvalidRequest("The end of an embargo lies ahead.")
        ends = None if until is None else until.isoformat()
        args = {"label": label.value, "reason": reason, "until": ends}
        with self._database.transaction() as tx:
            self._labels.hold(tx)  # what is written down later lands later
            entry = self._journal.append(SET, {"study": study}, args, principal.name)
            labelled = Labelled(
                study=study,
                label=label,
                until=until,
                reason=reason,
                by=principal.name,
                at=created_at(entry),
            )
            mark_applied(tx, [entry], SET)
            self._labels.put(tx, labelled)
            self._audit.write(tx, principal, [_told((study, label), labelled)])

    def take(self, principal: Principal, study: UID, label: Label) -> None:
        """Take a label away. Raises `NotPermitted`, `NotFound`."""
        require(principal, Action.LABEL)
        if not any(one.label is label for one in self._labels.of(study)):
            raise NotFound("This study does not have that label.")
        args = {"label": label.value}
        with self._database.transaction() as tx:
            self._labels.hold(tx)
            entry = self._journal.append(TAKEN, {"study": study}, args, principal.name)
            mark_applied(tx, [entry], TAKEN)
            self._labels.drop(tx, study, label)
            self._audit.write(tx, principal, [_told((study, label), None)])

    def of(self, principal: Principal, study: UID | None = None) -> list[Labelled]:
        """List the labels of a study, or the newest thousand of all. Raises `NotPermitted`."""
        require(principal, Action.LABEL)
        return self._labels.of(study)

    def lay(self, tx: Connection) -> None:
        """Write every label that stands into an emptied index. Raises `Corrupt`."""
        standing_entries.lay(tx, self._journal, self._marks)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts.

        Raises `Corrupt` when an entry cannot be read.
        """
        return standing_entries.catch_up(
            self._database, self._audit, self._journal, self._marks, older_s=older_s, since=since
        )


def _told(key: _Key, labelled: Labelled | None) -> Event:
    study, label = key
    if labelled is None:
        detail: dict[str, str | None] = {"label": label.value}
        return Event(kind="label.taken", outcome="done", study=study, detail=detail)
    until = labelled.until
    detail = {"label": label.value, "until": None if until is None else until.isoformat()}
    return Event(kind="label.set", outcome="done", study=study, detail=detail)


def _read(entry: Entry) -> tuple[_Key, Labelled | None]:
    try:
        study, label = uid(entry.target["study"]), Label(entry.args["label"])
        if entry.op == TAKEN:
            return (study, label), None
        until = entry.args["until"]
        labelled = Labelled(
            study=study,
            label=label,
            until=None if until is None else dt.datetime.fromisoformat(until),
            reason=entry.args["reason"],
            by=entry.actor,
            at=created_at(entry.id),
        )
    except (KeyError, TypeError, ValueError, InvalidUID) as exc:
        raise Corrupt("A journal entry does not say what was labelled.") from exc
    return (study, label), labelled
