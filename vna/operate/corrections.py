"""Corrections by staff: authorise, write down, take effect, answer.

A correction says what a study shows instead of what was received: search and what goes out follow
it, stored bytes stay as they came. It is in the journal before anybody hears that it is done, can
be undone, and stays to be seen with who made it and why.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vna.access.audit import Audit, Event
from vna.access.policy import permits, require
from vna.access.principal import Action, Principal, system
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.corrected import check
from vna.dicom.refs import UID, StudyRef, uid
from vna.errors import (
    Conflict,
    Corrupt,
    InvalidRequest,
    InvalidUID,
    NotFound,
    Unavailable,
    VNAError,
)
from vna.index import corrections, deleted
from vna.index.corrections import Correction, Undone
from vna.texts import filled, marked

__all__ = ["Correction", "CorrectionEngine", "Undone"]

CORRECT, UNCORRECT = "correct", "uncorrect"
REASON_MOST = 500

Suspend = Callable[[Principal, StudyRef, str], object]
"""Ends who was let see a study for a while, and says why; without a patient's data."""

_BATCH = 500
_LISTED = 1000
_STUDY = "0020000D"
_COPIED = {"00100010": "PatientName", "00100030": "PatientBirthDate", "00100040": "PatientSex"}

_WHOSE = frozenset(("PatientID", "IssuerOfPatientID"))
_OTHERS = "This study was found to be another patient's."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Undoing:
    """An undoing as the journal has it."""

    correction: bytes
    study: UID
    how: Undone


_Act = Correction | _Undoing


class CorrectionEngine:
    """Corrects studies. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        suspend: Suspend,
    ) -> None:
        """`suspend` lets nobody in any more who was given a study while it was another's."""
        self._suspend = suspend
        self._store = store
        self._journal = Journal(store)
        self._database = database
        self._audit = audit
        self._issuer = settings.site.issuer

    def correct(
        self, principal: Principal, study: UID, changes: Mapping[str, str], *, reason: str
    ) -> Correction:
        """Correct attributes of a study: keyword -> text, empty for no value.

        Raises `NotPermitted`, `NotFound`, `InvalidRequest`; `Unavailable` also when the act is
        written down and will only take effect later.
        """
        ref = StudyRef(study)
        require(principal, Action.CORRECT, ref)
        _require_reason(reason)
        checked = check(changes)
        self._require_held(study)
        self._share_no_more(principal, ref, checked)
        args = {"changes": checked, "reason": reason.strip()}
        entry = self._journal.append(CORRECT, {"study": study}, args, principal.name)
        done = Correction(
            id=entry,
            study=study,
            at=created_at(entry),
            actor=principal.name,
            reason=reason.strip(),
            changes=checked,
        )
        self._effect(lambda: self._apply(entry, done, principal))
        self._share_no_more(principal, ref, checked)  # once more: a share may have been under way
        return done

    def move(
        self,
        principal: Principal,
        study: UID,
        *,
        patient_id: str,
        reason: str,
        issuer: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Correction:
        """Move a study to another patient.

        Name, birth date and sex are those of the patient's latest study, but for what `more` says.
        Raises `NotFound` also when the patient is not known and `more` does not name them.
        """
        require(principal, Action.CORRECT, StudyRef(study))
        self._require_held(study)  # or whoever mistyped it is asked for a name
        issuer = issuer or self._issuer
        known = self._known(principal, patient_id, issuer)
        if not patient_id or (known is None and "PatientName" not in (more or {})):
            raise NotFound(
                marked("There is no study of such a patient; say their name to make a new one.")
            )
        changes = {"PatientID": patient_id, "IssuerOfPatientID": issuer}
        changes |= _copied(known or {})
        return self.correct(principal, study, changes | dict(more or {}), reason=reason)

    def patient(
        self, principal: Principal, patient_id: str, *, issuer: str | None = None
    ) -> dict[str, str] | None:
        """Say who a Patient ID belongs to, by their latest study: name, birth date, sex.

        None when nobody has it, or nobody whose latest study this principal may see. That they were
        shown stands in the trail.
        """
        require(principal, Action.CORRECT)
        known = self._known(principal, patient_id, issuer)
        if known is None:
            return None
        detail = {"list": "patient", "count": 1}
        seen = Event(
            kind="identity.seen", outcome="done", study=_text(known[_STUDY]), detail=detail
        )
        self._audit.note(principal, seen)
        return _copied(known)

    def _require_held(self, study: UID) -> None:
        with self._database.reading() as conn:
            if not corrections.has_study(conn, study):
                raise NotFound

    def _known(
        self, principal: Principal, patient_id: str, issuer: str | None
    ) -> dict[str, Any] | None:
        with self._database.reading() as conn:
            known = corrections.patient_of(conn, issuer or self._issuer, patient_id)
        if known is None or not principal.scope.covers(StudyRef(uid(_text(known[_STUDY])))):
            return None
        return known

    def undo(self, principal: Principal, correction: bytes, *, reason: str) -> Correction:
        """Undo a correction; what others say of the same attributes then stands again.

        Raises `NotPermitted`, `NotFound`, `Conflict` when it is undone already, `InvalidRequest`;
        `Unavailable` as `correct` does.
        """
        require(principal, Action.CORRECT)
        _require_reason(reason)
        with self._database.reading() as conn:
            found = corrections.find(conn, correction)
        if found is None or not permits(principal, Action.CORRECT, StudyRef(found.study)):
            raise NotFound("There is no such correction.")
        if found.undone is not None:
            raise Conflict(marked("This correction is undone already."))
        ref = StudyRef(found.study)
        self._share_no_more(principal, ref, found.changes)
        args = {"correction": correction.hex(), "reason": reason.strip()}
        entry = self._journal.append(UNCORRECT, {"study": found.study}, args, principal.name)
        how = Undone(at=created_at(entry), actor=principal.name, reason=reason.strip())
        undoing = _Undoing(correction=correction, study=found.study, how=how)
        self._effect(lambda: self._apply(entry, undoing, principal))
        self._share_no_more(principal, ref, found.changes)
        return found

    def history(self, principal: Principal, study: UID) -> list[Correction]:
        """List the corrections of a study in order of time, undone ones too."""
        require(principal, Action.CORRECT, StudyRef(study))
        with self._database.reading() as conn:
            return corrections.of_study(conn, study)

    def corrected(self, principal: Principal) -> list[tuple[UID, dt.datetime, dict[str, str]]]:
        """List the studies that show a correction, the latest corrected first, and what."""
        require(principal, Action.CORRECT)
        with self._database.reading() as conn:
            found = corrections.corrected(conn, most=_LISTED)
        return [one for one in found if principal.scope.covers(StudyRef(one[0]))]

    def lay(self, tx: Connection) -> None:
        """Write every correction into an emptied catalogue, before blobs are indexed.

        Raises `Corrupt` when the journal cannot be read whole.
        """
        studies: set[UID] = set()
        for entry in self._journal.replay():
            act = _read(entry)
            if act is not None:
                _note(tx, act)
                studies.add(act.study)
                deleted.mark_applied(tx, [entry.id], entry.op)
        for study in sorted(studies):
            corrections.lay(tx, study)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring into the index what the journal says and a crash kept from it; count the acts.

        Raises `Corrupt` when an entry cannot be read.
        """
        count = 0
        known = deleted.known_to(self._database)
        for entry in self._journal.unknown(known, older_s=older_s, since=since):
            act = _read(entry)
            if act is not None:
                self._apply(entry.id, act, system(f"recovery for {entry.actor}"))
                count += 1
        return count

    def _apply(self, entry: bytes, act: _Act, principal: Principal) -> None:
        """Let an act take effect, unless it did before: one transaction with its audit row."""
        op = CORRECT if isinstance(act, Correction) else UNCORRECT

        def work(tx: Connection) -> None:
            if not deleted.mark_applied(tx, [entry], op):
                return
            corrections.lock(tx, act.study)
            _note(tx, act)
            corrections.lay(tx, act.study)
            self._audit.write(tx, principal, [_event(entry, act)])

        self._database.changing(work)

    def _share_no_more(
        self, principal: Principal, ref: StudyRef, changes: Mapping[str, str]
    ) -> None:
        """Suspend what was shared of a study whose patient another one takes the place of."""
        if not _WHOSE.isdisjoint(changes):
            self._suspend(principal, ref, _OTHERS)

    def _effect(self, take: Callable[[], None]) -> None:
        try:
            take()
        except VNAError as exc:
            log.error("act written down, not in effect yet", extra={"why": str(exc)})  # noqa: TRY400 -- brought in by the upkeep
            raise Unavailable(
                marked(
                    "This is written down and will take effect as soon as the index can be changed."
                )
            ) from exc


def _note(tx: Connection, act: _Act) -> None:
    if isinstance(act, Correction):
        corrections.add(tx, act)
    else:
        corrections.undo(tx, act.correction, act.how)


def _event(entry: bytes, act: _Act) -> Event:
    """Write the audit event: which attributes, never their values."""
    if isinstance(act, Correction):
        detail: dict[str, Any] = {"correction": entry.hex(), "attributes": sorted(act.changes)}
        return Event(kind="study.corrected", outcome="done", study=act.study, detail=detail)
    detail = {"correction": act.correction.hex()}
    return Event(kind="study.uncorrected", outcome="done", study=act.study, detail=detail)


def _read(entry: Entry) -> _Act | None:
    if entry.op not in (CORRECT, UNCORRECT):
        return None
    try:
        study, at = uid(entry.target["study"]), created_at(entry.id)
        reason = str(entry.args["reason"])
        if entry.op == CORRECT:
            return Correction(
                id=entry.id,
                study=study,
                at=at,
                actor=entry.actor,
                reason=reason,
                changes=check(entry.args["changes"]),
            )
        how = Undone(at=at, actor=entry.actor, reason=reason)
        return _Undoing(correction=bytes.fromhex(entry.args["correction"]), study=study, how=how)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidUID, InvalidRequest) as exc:
        raise Corrupt("A journal entry does not say what was corrected.") from exc


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_MOST or not reason.isprintable():
        raise InvalidRequest(
            filled("Say why, in a line of at most %(most)s characters.", most=REASON_MOST)
        )


def _copied(known: Mapping[str, Any]) -> dict[str, str]:  # DICOM JSON
    return {keyword: _text(known.get(tag)) for tag, keyword in _COPIED.items()}


def _text(element: Any) -> str:  # an element of DICOM JSON, or None
    values = (element or {}).get("Value") or [""]
    value = values[0]
    if isinstance(value, dict):
        groups = (value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=")
    return str(value or "")
