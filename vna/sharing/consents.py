"""What people allowed or forbade: recorded, looked up, withdrawn with all that rests on it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vna.access.audit import Event
from vna.access.policy import permits, require
from vna.access.principal import Action, Principal
from vna.db import statements
from vna.dicom.refs import UID, StudyRef
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.sharing import records
from vna.sharing.ends import suspend
from vna.sharing.ids import new_id
from vna.sharing.plans import Lane, Plan, check_plan, seal_plan
from vna.sharing.refusals import limits_of, shares_forbidden
from vna.sharing.rooms import SQL, Act, Rooms, Runs, now
from vna.sharing.rules import MOST_NAME, Limits
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

PURPOSES = ("treatment", "patient-request", "third-party", "research")
WAYS = ("kiosk", "paper", "portal", "staff")

_MORE = statements.load("consents")
_SIGNATURE = b"signature"
_NOTED = 1000  # studies of one row of the trail
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}", re.ASCII)
_VERSION = re.compile(r"[\w.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody is asked, and said. `issuer` and `patient_id` name the identity it is of.

    `signed_by` is the name typed under the text of `text_version`; None in the limits is no limit.
    """

    issuer: str
    patient_id: str
    purpose: str
    allowed: bool
    text_version: str
    signed_by: str = field(repr=False)
    way: str
    modalities: frozenset[str] | None = None
    studied_from: dt.date | None = None
    studied_to: dt.date | None = None
    accession: str | None = None
    valid_to: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A consent as it stands."""

    consent_id: int
    purpose: str
    allowed: bool
    limits: Limits
    text_version: str
    way: str
    recorded_by: str
    valid_from: dt.datetime
    valid_to: dt.datetime | None
    state: str  # active, withdrawn, superseded; expired follows from the time
    ended_at: dt.datetime | None
    ended_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What a withdrawal did: the numbers of the shares that are suspended now."""

    shares: tuple[str, ...]


class Consents:
    """Records and ends consents. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def record(
        self,
        who: Principal,
        consent: Consent,
        *,
        plan: Plan | None = None,
        also: Callable[[Act, int], None] | None = None,
        after: int | None = None,
    ) -> int:
        """Record what a person said; return its number. Raises `InvalidRequest`.

        `after` is the latest that whoever records it had seen of them, 0 for none: `Conflict` when
        something was said since, or this was recorded before.

        It takes the place of what the same person said before for the same purpose, accession and
        limits. A "no" suspends what rests on the consent whose place it takes, or on those that one
        had taken the place of, and on any other of theirs as far as it is forbidden now. With a
        plan what it allows goes out by itself; `also` is done in the same transaction, before the
        rest.
        """
        require_person(self._rooms, who, consent.issuer, consent.patient_id)
        _check(consent)
        if plan is not None:
            check_plan(plan)
            if not consent.allowed:
                raise InvalidRequest(marked("What somebody forbids is not sent."))

        def work(tx: Act) -> int:
            tx.execute(SQL.change_person, (consent.issuer, consent.patient_id))
            consent_id = new_id()  # behind the lock: of two at once the later has the higher number
            row = self._row(who, consent_id, consent)
            if after is not None:
                _require_latest(tx, consent, after)
            tx.execute(SQL.add_consent, row)
            if also is not None:
                also(tx, consent_id)
            tx.write_down(records.CONSENT, {"consent": consent_id}, row, who.name)
            if plan is not None:
                self._add_plan(tx, who, consent_id, plan)
            replaced = [
                old
                for old in hold(tx, consent.issuer, consent.patient_id)
                if old.consent_id != consent_id and _is_same_question(old, consent)
            ]
            for old in replaced:
                self._end(tx, who, old.consent_id, "superseded")
                if not consent.allowed:
                    self._suspend(tx, who, old.consent_id)
            if not consent.allowed:
                self._suspend_forbidden(tx, who, consent_id, consent)
            self._rooms.tell(tx, who, _told(consent_id, consent, replaced))
            return consent_id

        consent_id = self._rooms.act(work)
        SHARE_ACTS.labels("consented" if consent.allowed else "forbidden").inc()
        return consent_id

    def withdraw(self, who: Principal, consent_id: int) -> Withdrawn:
        """End a consent; what rests on it is suspended in the same transaction, guests are out.

        So is what rests on an earlier answer to the same question, which it had taken the place of.
        Raises `NotFound`, for one that is over, too.
        """
        require(who, Action.SHARE)
        with self._rooms.database.reading() as conn:
            row = conn.execute(_MORE.person_of_consent, (consent_id,)).fetchone()
        issuer, patient_id = row or ("", "")
        if not who.scope.everything:
            require_person(self._rooms, who, issuer, patient_id)

        def work(tx: Act) -> Withdrawn:
            tx.execute(SQL.change_person, (issuer, patient_id))
            self._end(tx, who, consent_id, "withdrawn")
            numbers = self._suspend(tx, who, consent_id)
            detail = {"consent": consent_id, "suspended": len(numbers)}
            event = Event(kind="consent.withdrawn", outcome="done", detail=detail)
            self._rooms.tell(tx, who, event)
            return Withdrawn(shares=tuple(numbers))

        withdrawn = self._rooms.act(work)
        SHARE_ACTS.labels("withdrawn").inc()
        return withdrawn

    def of_person(self, who: Principal, issuer: str, patient_id: str) -> list[Recorded]:
        """List what a person said, the latest first; that it was looked at stands in the trail.

        Raises `NotPermitted`, `NotFound`.
        """
        require_person(self._rooms, who, issuer, patient_id)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.consents_of, (issuer, patient_id)).fetchall()
            studies = conn.execute(_MORE.studies_of_patient, (issuer, patient_id)).fetchall()
        if rows:
            detail = {"count": len(rows), "studies": [row[0] for row in studies[:_NOTED]]}
            seen = Event(kind="consent.seen", outcome="done", detail=detail)
            self._rooms.audit.note(who, seen)
        return [recorded(row) for row in rows]

    def lanes(self, who: Principal, issuer: str, patient_id: str) -> dict[int, Lane]:
        """Say which of a person's consents let images go out by themselves, in which lane.

        Raises `NotPermitted`, `NotFound`.
        """
        require_person(self._rooms, who, issuer, patient_id)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(_MORE.plans_of, (issuer, patient_id)).fetchall()
        return {consent_id: Lane(lane) for consent_id, lane in rows}

    def _add_plan(self, tx: Act, who: Principal, consent_id: int, plan: Plan) -> None:
        row = {
            "consent_id": consent_id,
            "lane": plan.lane.value,
            "sealed": seal_plan(self._rooms, consent_id, plan),
        }
        tx.execute(_MORE.add_plan, row)
        tx.write_down(records.CONSENT_PLAN, {"consent": consent_id}, row, who.name)

    def _row(self, who: Principal, consent_id: int, consent: Consent) -> dict[str, Any]:
        signature = self._rooms.keys.seal(_SIGNATURE, consent_id, consent.signed_by.encode())
        return {
            "consent_id": consent_id,
            "issuer": consent.issuer,
            "patient_id": consent.patient_id,
            "purpose": consent.purpose,
            "allowed": consent.allowed,
            "modalities": consent.modalities and sorted(consent.modalities),
            "studied_from": consent.studied_from,
            "studied_to": consent.studied_to,
            "accession": consent.accession,
            "text_version": consent.text_version,
            "signature": signature,
            "way": consent.way,
            "recorded_by": who.name,
            "valid_from": now(),
            "valid_to": consent.valid_to,
        }

    def _end(self, tx: Act, who: Principal, consent_id: int, state: str) -> None:
        row = {"consent_id": consent_id, "state": state, "ended_at": now(), "ended_by": who.name}
        if tx.execute(SQL.end_consent, row).fetchone() is None:
            raise NotFound(marked("There is no such consent, or it is over already."))
        target = {"consent": consent_id}
        tx.write_down(records.CONSENT_END, target, row, who.name)

    def _suspend(self, tx: Act, who: Principal, consent_id: int) -> list[str]:
        found = tx.execute(SQL.shares_on_consent, (consent_id,)).fetchall()
        suspend(self._rooms, tx, who, [row[0] for row in found], "consent withdrawn")
        return [row[1] for row in found]

    def _suspend_forbidden(self, tx: Act, who: Principal, consent_id: int, said: Consent) -> None:
        """Stop what rests on a "yes" that a broader, or a narrower, "no" speaks of, too."""
        limits = Limits(
            consent_id=consent_id,
            purpose=said.purpose,
            allowed=False,
            modalities=said.modalities,
            studied_from=said.studied_from,
            studied_to=said.studied_to,
            accession=said.accession,
        )
        found = shares_forbidden(tx, said.issuer, said.patient_id, limits)
        suspend(self._rooms, tx, who, found, "forbidden by the person")


def _told(consent_id: int, consent: Consent, replaced: Sequence[Limits]) -> Event:
    detail = {
        "consent": consent_id,
        "allowed": consent.allowed,
        "purpose": consent.purpose,
        "text": consent.text_version,
        "way": consent.way,
        "superseded": [old.consent_id for old in replaced],
    }
    return Event(kind="consent.recorded", outcome="done", detail=detail)


def _require_latest(tx: Act, consent: Consent, after: int) -> None:
    """Refuse what was not written with what a person said last in sight. Raises `Conflict`."""
    latest = tx.execute(SQL.consents_of, (consent.issuer, consent.patient_id)).fetchone()
    if after != (0 if latest is None else latest[0]):
        raise Conflict(
            marked("Something was recorded since you opened this page. See what stands there now.")
        )


def require_person(rooms: Rooms, who: Principal, issuer: str, patient_id: str) -> None:
    """Let those ask a person who see the whole archive, or a study of theirs.

    Raises `NotPermitted`, `NotFound`: somebody out of reach looks like nobody.
    """
    require(who, Action.SHARE)
    if who.scope.everything:
        return
    with rooms.database.reading() as conn:
        rows = conn.execute(_MORE.studies_of_patient, (issuer, patient_id)).fetchall()
    if not any(permits(who, Action.SHARE, StudyRef(UID(row[0]))) for row in rows):
        raise NotFound


def hold(tx: Runs, issuer: str, patient_id: str) -> list[Limits]:
    """Hold what of a person's consents counts now; nobody adds to it meanwhile."""
    tx.execute(SQL.hear_person, (issuer, patient_id))
    rows = tx.execute(SQL.hold_consents, (issuer, patient_id)).fetchall()
    return [limits_of(row) for row in rows]


def _is_same_question(old: Limits, new: Consent) -> bool:
    return (
        old.purpose == new.purpose
        and old.accession == new.accession
        and old.modalities == new.modalities
        and (old.studied_from, old.studied_to) == (new.studied_from, new.studied_to)
    )


def _check(consent: Consent) -> None:
    if not consent.issuer or not consent.patient_id:
        raise InvalidRequest(marked("A consent is that of somebody with a Patient ID."))
    if consent.purpose not in PURPOSES or consent.way not in WAYS:
        raise InvalidRequest(
            "A consent is for a purpose, and was given in some way, that is known."
        )
    if not _VERSION.fullmatch(consent.text_version):
        raise InvalidRequest(marked("Say which version of the text was agreed to."))
    if not 0 < len(consent.signed_by.strip()) <= MOST_NAME:
        raise InvalidRequest(marked("A consent is signed by name."))
    if consent.modalities is not None and not (
        consent.modalities and all(_MODALITY.fullmatch(one) for one in consent.modalities)
    ):
        raise InvalidRequest(marked("Modalities are written CT, MR, US."))
    dates = (consent.studied_from, consent.studied_to)
    if dates[0] is not None and dates[1] is not None and dates[0] > dates[1]:
        raise InvalidRequest(marked("The first day of the studies is after the last."))
    if consent.valid_to is not None and consent.valid_to <= now():
        raise InvalidRequest(marked("A consent ends in the future."))


def recorded(row: tuple[Any, ...]) -> Recorded:
    """Read a consent as it stands."""
    return Recorded(
        consent_id=row[0],
        purpose=row[3],
        allowed=row[4],
        limits=limits_of(row),
        text_version=row[9],
        way=row[10],
        recorded_by=row[11],
        valid_from=row[12],
        valid_to=row[13],
        state=row[14],
        ended_at=row[15],
        ended_by=row[16],
    )
