"""Labels set and taken away: journal entry, then row and audit, then the answer.

The journal is what counts: an emptied index gets back what stands there (`lay`), so that no rebuild
shows a study that was withheld.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence

from vna.access.audit import Audit, Event
from vna.access.labels import Labelled, Labels
from vna.access.policy import require
from vna.access.principal import Action, Label, Principal, system
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, uid
from vna.errors import Corrupt, InvalidRequest, InvalidUID, NotFound
from vna.index.deleted import known_to, mark_applied
from vna.texts import filled

log = logging.getLogger(__name__)

SET = "label"
TAKEN = "unlabel"

_MOST_REASON = 200


class LabelEngine:
    """Withholds studies, and lets them be seen again. One a process, shared by its threads."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, labels: Labels
    ) -> None:
        self._journal = Journal(store)
        self._database = database
        self._audit = audit
        self._labels = labels

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
        reason = " ".join(reason.split())
        if not 1 <= len(reason) <= _MOST_REASON:
            raise InvalidRequest(
                filled("Say why, in up to %(most)s characters.", most=_MOST_REASON)
            )
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
            self._tell(tx, principal, "label.set", study, {"label": label.value, "until": ends})

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
            self._tell(tx, principal, "label.taken", study, args)

    def of(self, principal: Principal, study: UID | None = None) -> list[Labelled]:
        """List the labels of a study, or the newest thousand of all. Raises `NotPermitted`."""
        require(principal, Action.LABEL)
        return self._labels.of(study)

    def lay(self, tx: Connection) -> None:
        """Write every label that stands into an emptied index. Raises `Corrupt`."""
        entries: list[bytes] = []
        standing: dict[tuple[UID, Label], Labelled] = {}
        for entry in self._journal.replay():
            if entry.op in (SET, TAKEN):
                entries.append(entry.id)
                key, labelled = _read(entry)
                standing.pop(key, None)
                if labelled is not None:
                    standing[key] = labelled
        self._labels.replace_all(tx, list(standing.values()))
        mark_applied(tx, entries, SET)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts.

        Raises `Corrupt` when an entry cannot be read.
        """
        known = known_to(self._database)
        waits = self._journal.unknown(known, older_s=older_s, since=since)
        unknown = [entry for entry in waits if entry.op in (SET, TAKEN)]
        if unknown:
            self._database.changing(lambda tx: self._bring_in(tx, unknown))
            log.warning("labels of the journal brought in", extra={"acts": len(unknown)})
        return len(unknown)

    def _bring_in(self, tx: Connection, unknown: Sequence[Entry]) -> None:
        """Of several entries about one label the newest decides, whether it was known or not."""
        self._labels.hold(tx)  # the journal is read behind it: what is written later, lands later
        newest = {_read(e)[0]: e.id for e in self._journal.replay() if e.op in (SET, TAKEN)}
        for entry in unknown:
            key, labelled = _read(entry)
            is_new = mark_applied(tx, [entry.id], entry.op)
            if not is_new or newest[key] != entry.id:
                continue
            study, label = key
            if labelled is None:
                self._labels.drop(tx, study, label)
            else:
                self._labels.put(tx, labelled)
            kind = "label.taken" if labelled is None else "label.set"
            who = system(f"recovery for {entry.actor}")
            self._tell(tx, who, kind, study, {"label": label.value})

    def _tell(
        self,
        tx: Connection,
        who: Principal,
        kind: str,
        study: UID,
        detail: Mapping[str, str | None],
    ) -> None:
        self._audit.write(
            tx, who, [Event(kind=kind, outcome="done", study=study, detail=dict(detail))]
        )


def _read(entry: Entry) -> tuple[tuple[UID, Label], Labelled | None]:
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
