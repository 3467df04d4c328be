"""Sharing without hands: what a consent lets go out is sent once its study came to rest.

A study that comes is expected by a trigger on `study`, in the transaction that takes it in.
It is due when nothing was added to it for a while, in its lane's hours; and it goes out once: the
row is settled in the transaction of the share. What cannot go stays, with the reason, until
somebody sees to it. What is added later is sent once more, reports apart, which a share takes up.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from vna.access.audit import Event
from vna.access.policy import reach, require
from vna.access.principal import Action, Principal, system
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, NotFound, Unavailable, VNAError
from vna.sharing.board import note_seen
from vna.sharing.consent_texts import SQL
from vna.sharing.ends import Ends
from vna.sharing.offers import Offers
from vna.sharing.plans import PURPOSES, Lane, Plan, open_plan
from vna.sharing.rooms import Act, Rooms, now
from vna.sharing.rules import REPORTS, default_until, words
from vna.sharing.values import Offer, Person, Purpose
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

WHO = "consent"
"""Under which name it shares."""

_TURN = 50  # studies of one turn
_AGAIN = dt.timedelta(minutes=15)
_RECHECK_DAYS, _REOPEN_S = 14, 30.0
_MOST_LISTED = 300
_NAME = "00100010"

log = logging.getLogger(__name__)


class Due(NamedTuple):
    """A study that is due, with what stands behind it."""

    consent_id: int
    study: str
    lane: str
    made_at: dt.datetime
    share_id: int | None
    revision: int
    purpose: str
    is_consented: bool
    is_old: bool
    birth_date: dt.date | None
    answer: str
    sealed: bytes
    is_meant: bool
    labels: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic:
    """A study that goes out by itself, as the board shows it."""

    consent_id: int
    study: str
    lane: Lane
    state: str  # waiting, shared, blocked, left
    due_at: dt.datetime
    cause: str | None
    share_id: int | None
    number: str | None
    made_at: dt.datetime
    changed_at: dt.datetime
    person: Person = field(repr=False)


class Automation:
    """Sends what consents let go out. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, offers: Offers, ends: Ends) -> None:
        self._rooms = rooms
        self._offers = offers
        self._ends = ends
        self._reopen_at = 0.0

    def turn(self) -> int:
        """Send what is due; count what went out."""
        if time.monotonic() >= self._reopen_at:
            self.reopen()
            self._reopen_at = time.monotonic() + _REOPEN_S
        settings = self._rooms.settings.sharing
        asked = {"settle_s": settings.settle_s, "urgent_s": settings.urgent_s, "most": _TURN}
        with self._rooms.database.reading() as conn:
            rows = [Due._make(row) for row in conn.execute(SQL.due, asked).fetchall()]
        return sum(self._one(row) for row in rows)

    def reopen(self) -> int:
        """Look once more at studies to which something was added since; count them."""
        with self._rooms.database.transaction() as tx:
            return len(tx.execute(SQL.reopen_auto, {"days": _RECHECK_DAYS}).fetchall())

    def listed(self, who: Principal) -> list[Automatic]:
        """List what goes out by itself: first what somebody must see to."""
        require(who, Action.SHARE)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.list_auto, (_MOST_LISTED,)).fetchall()
        found = (self._listed(row) for row in rows)
        within = reach(who, Action.SHARE)
        seen = [one for one in found if within.covers(StudyRef(uid(one.study)))]
        note_seen(self._rooms, who, "automatic", len(seen))
        return seen

    def count_blocked(self, who: Principal) -> int:
        """Count what somebody must see to."""
        require(who, Action.SHARE)
        if not who.scope.everything:
            return sum(one.state == "blocked" for one in self.listed(who))
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.count_blocked).fetchone()
        return int(row[0]) if row else 0

    def retry(self, who: Principal, consent_id: int, ref: StudyRef, *, urgent: bool) -> None:
        """Look again now: somebody saw to it. Raises `NotFound`."""
        asked = {"consent_id": consent_id, "study": ref.study, "urgent": urgent}
        self._change(who, SQL.retry_auto, asked, ref, "automatic.retried")

    def leave(self, who: Principal, consent_id: int, ref: StudyRef) -> None:
        """Do not send it. Raises `NotFound`."""
        cause = f"{who.name} said that it shall not go out."
        asked = {"consent_id": consent_id, "study": ref.study, "cause": cause}
        self._change(who, SQL.leave_auto, asked, ref, "automatic.left")

    def _change(
        self, who: Principal, statement: Any, asked: dict[str, Any], ref: StudyRef, kind: str
    ) -> None:
        require(who, Action.SHARE, ref)

        def work(tx: Act) -> None:
            if tx.execute(statement, asked).fetchone() is None:
                raise NotFound  # as for a study out of reach
            detail = {"consent": asked["consent_id"]}
            event = Event(kind=kind, outcome="done", study=ref.study, detail=detail)
            self._rooms.tell(tx, who, event)

        self._rooms.act(work)

    # ---- one study -------------------------------------------------------------------------

    def _one(self, due: Due) -> bool:
        """Send one study, or write down why not; whether it went out."""
        try:
            plan = open_plan(self._rooms, due.consent_id, due.lane, due.sealed)
            if not self._is_due(due, plan):
                return False
            return self._share(due, plan)
        except Unavailable as exc:
            log.warning("not shared yet", extra={"consent": due.consent_id, "why": str(exc)})
            return False
        except VNAError as exc:
            self._note(due, "blocked", cause=str(exc))
            SHARE_ACTS.labels("automatic-blocked").inc()
            return False

    def _is_due(self, due: Due, plan: Plan) -> bool:
        """Look at what may have changed since it was expected. Raises `Conflict`."""
        if not due.is_consented:
            self._note(due, "left", cause=marked("The consent is over."))
        elif not due.is_meant:
            self._note(
                due, "left", cause=marked("The study is another person's, or another order's, now.")
            )
        elif due.is_old:
            self._note(due, "left", cause=marked("The study is older than the consent."))
        elif due.labels:
            told = ", ".join(due.labels)
            self._note(due, "waiting", cause=f"The study is {told}.", due_at=now() + _AGAIN)
        elif (later := self._later(due)) is not None:
            self._note(due, "waiting", due_at=later)
        else:
            check_person(due, plan)
            return True
        return False

    def _later(self, due: Due) -> dt.datetime | None:
        settings = self._rooms.settings
        if Lane(due.lane) is not Lane.TONIGHT:
            return None
        hours = settings.sharing.night_from, settings.sharing.night_to
        return night(now(), ZoneInfo(settings.site.timezone), *hours)

    def _share(self, due: Due, plan: Plan) -> bool:
        with self._rooms.database.reading() as conn:
            asked = {"consent_id": due.consent_id, "study": due.study, "reports": list(REPORTS)}
            row = conn.execute(SQL.is_known, asked).fetchone()
        if row is not None:
            self._note(due, "shared", share_id=row[0])
            return False

        def once(tx: Act, share_id: int) -> None:
            found = tx.execute(SQL.hold_auto, (due.consent_id, due.study)).fetchone()
            if found is None or found[0] != "waiting":
                raise Conflict(marked("It went out meanwhile."))
            tx.execute(SQL.note_auto, _noted(due, "shared", share_id=share_id))

        self._offers.offer(system(WHO), self._offer(due, plan), also=once)
        SHARE_ACTS.labels("automatic").inc()
        if due.share_id is not None:
            self._replace(due.share_id)
        return True

    def _offer(self, due: Due, plan: Plan) -> Offer:
        purpose = PURPOSES[due.purpose]
        return Offer(
            studies=frozenset({StudyRef(uid(due.study))}),
            person=plan.person,
            recipient=plan.recipient,
            purpose=purpose,
            to=plan.to,
            proof=plan.proof,
            by=plan.by,
            until=default_until(self._rooms.settings.sharing, purpose, now()),
            reports=plan.reports,
            forward=purpose is Purpose.PATIENT_REQUEST,
            consent_id=due.consent_id,
            notify=plan.notify,
            language=plan.language,
        )

    def _replace(self, share_id: int) -> None:
        """End the share of the same study with less in it, unless somebody uses it."""
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.opens_of, (share_id,)).fetchone()
        if row is None or row[0]:
            return
        try:
            self._ends.revoke(
                system(WHO), share_id, grant_id=None, reason="More images came: there is a new link"
            )
        except (Conflict, NotFound):
            log.info("replaced share had ended", extra={"share": share_id})

    def _note(
        self,
        due: Due,
        state: str,
        *,
        cause: str | None = None,
        share_id: int | None = None,
        due_at: dt.datetime | None = None,
    ) -> None:
        row = _noted(due, state, cause=cause, share_id=share_id, due_at=due_at)

        def work(tx: Act) -> None:
            is_there = tx.execute(SQL.note_auto, row).fetchone() is not None
            if is_there and state in ("blocked", "left"):
                detail = {"consent": due.consent_id, "why": cause}
                kind = f"automatic.{state}"
                event = Event(kind=kind, outcome="failed", study=due.study, detail=detail)
                self._rooms.tell(tx, system(WHO), event)

        self._rooms.act(work)

    def _listed(self, row: tuple[Any, ...]) -> Automatic:
        plan = open_plan(self._rooms, row[0], row[2], row[10])
        return Automatic(
            consent_id=row[0],
            study=row[1],
            lane=plan.lane,
            state=row[3],
            due_at=row[4],
            cause=row[5],
            share_id=row[6],
            number=row[7],
            made_at=row[8],
            changed_at=row[9],
            person=plan.person,
        )


def check_person(due: Due, plan: Plan) -> None:
    """Make sure that the study shows who was compared at the desk. Raises `Conflict`.

    A Patient ID alone is typed too easily: name and birth date must not contradict it.
    """
    person = plan.person
    if person.birth_date and due.birth_date and person.birth_date != due.birth_date:
        raise Conflict(marked("The birth date of the study is not the one that was compared."))
    if not words(_name_of(due.answer)) & words(person.name):
        raise Conflict(marked("The name of the study is not the one that was compared."))


def night(at: dt.datetime, zone: ZoneInfo, begins: int, ends: int) -> dt.datetime | None:
    """Say when the next night begins; None when it is night, from hour to hour of the zone."""
    here = at.astimezone(zone)
    is_over_midnight = begins >= ends
    if is_over_midnight and (here.hour >= begins or here.hour < ends):
        return None
    if not is_over_midnight and begins <= here.hour < ends:
        return None
    tonight = here.replace(hour=begins % 24, minute=0, second=0, microsecond=0)
    return tonight if tonight > here else tonight + dt.timedelta(days=1)


def _name_of(answer: str) -> str:
    values = orjson.loads(answer).get(_NAME, {}).get("Value") or [{}]
    return " ".join(str(group) for one in values if isinstance(one, dict) for group in one.values())


def _noted(
    due: Due,
    state: str,
    *,
    cause: str | None = None,
    share_id: int | None = None,
    due_at: dt.datetime | None = None,
) -> dict[str, Any]:
    return {
        "consent_id": due.consent_id,
        "study": due.study,
        "state": state,
        "cause": cause,
        "share_id": share_id,
        "revision": due.revision,
        "due_at": due_at,
    }
