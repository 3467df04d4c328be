"""What patients ask of the archive: send my images, a disc, put this right; with a clock, answered.

What is asked and answered is in words, sealed at rest; a refusal has a code besides, so that it can
be counted. That there is an answer is told by a message without a word of it. Both are in the
journal: what somebody has a right to does not go with a database.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import orjson

from vna.access import rates
from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.crypto import shares
from vna.db import statements
from vna.errors import Conflict, NotFound, TooMany
from vna.sharing import granting, records
from vna.sharing.ids import new_id
from vna.sharing.own import Own
from vna.sharing.plans import read_person, written_person
from vna.sharing.rooms import Act, Rooms, now
from vna.sharing.wishes import (
    Answer,
    Kind,
    PatientRequest,
    Refusal,
    State,
    Wish,
    check_answer,
    check_wish,
)
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

_SQL = statements.load("own_shares")

MOST_OPEN = 20  # of one account
MOST_LISTED = 500
_MOST_REPORTED = 100_000
_ASKED = 60  # of one account in a quarter of an hour
_PERSON, _WORDS, _ANSWER = b"request person", b"request words", b"request answer"
_COLUMNS = ("number", "kind", "made_at", "due_at", "state", "refusal", "ended_at", "days")


class PatientRequests:
    """Takes requests and keeps their answers. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, own: Own) -> None:
        self._rooms = rooms
        self._own = own

    # ---- patients ------------------------------------------------------------------------------

    def ask(self, who: Principal, wish: Wish) -> str:
        """Take a request; return its number.

        Raises `NotPermitted`, `InvalidRequest`, `Conflict` while many wait, `TooMany`, and
        `NotFound` for a study or a share that is not theirs.
        """
        self._check(who, wish)
        request_id, number = new_id(), shares.new_number()

        def work(tx: Act) -> None:
            tx.execute(_SQL.hold_asker, (who.name,))
            _require_few(tx, who)  # many at once were few when each was begun
            row = self._row(tx, who, wish, request_id=request_id, number=number)
            tx.execute(_SQL.add_request, row)
            tx.write_down(records.REQUEST, {"request": request_id}, row, who.name)
            detail = {"asked": number, "what": wish.kind.value}
            about: list[str | None] = [*sorted(str(ref.study) for ref in wish.studies)]
            self._rooms.tell(
                tx,
                who,
                *(
                    Event(kind="patient.asked", outcome="done", study=study, detail=detail)
                    for study in about or [None]
                ),
            )

        self._rooms.act(work)
        SHARE_ACTS.labels("asked").inc()
        return number

    def own(self, who: Principal) -> list[PatientRequest]:
        """List what one has asked: what waits first, then the latest."""
        require(who, Action.SHARE_OWN)
        return self._listed(owner=who.name)

    def withdraw(self, who: Principal, request_id: int) -> None:
        """Take a request back. Raises `NotFound`, `Conflict` when it was answered."""
        require(who, Action.SHARE_OWN)
        if not self._listed(owner=who.name, request_id=request_id):
            raise NotFound("There is no such request.")
        self._end(who, request_id, State.WITHDRAWN, Answer())

    # ---- staff ---------------------------------------------------------------------------------

    def inbox(
        self, who: Principal, *, is_open: bool = True, before: int | None = None, most: int = 200
    ) -> list[PatientRequest]:
        """List what waits, what is due next first; or what is over, the latest first."""
        _require_staff(who)
        found = self._listed(is_open=is_open, before=before, most=most)
        self._note_read(who, {"count": len(found)})
        return found

    def one(self, who: Principal, request_id: int) -> PatientRequest:
        """Show one. Raises `NotFound`."""
        _require_staff(who)
        found = self._listed(request_id=request_id)
        if not found:
            raise NotFound("There is no such request.")
        self._note_read(who, {"asked": found[0].number})
        return found[0]

    def counts(self, who: Principal) -> tuple[int, int]:
        """Count what waits, and what of it has waited too long."""
        _require_staff(who)
        with self._rooms.database.reading() as conn:
            row = conn.execute(_SQL.count_requests).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def answer(self, who: Principal, request_id: int, answer: Answer) -> None:
        """Answer a request: the patient is told that there is an answer.

        Raises `NotFound`, `Conflict` when it was answered or taken back, `InvalidRequest`.
        """
        _require_staff(who)
        check_answer(answer)
        if not self._listed(request_id=request_id):
            raise NotFound("There is no such request.")
        state = State.DONE if answer.refusal is None else State.REFUSED
        self._end(who, request_id, state, answer)
        SHARE_ACTS.labels("answered").inc()

    def report(self, who: Principal) -> str:
        """Write every request with its age, outcome and code as CSV: no name, no words."""
        _require_staff(who)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(_SQL.report_requests, (_MOST_REPORTED,)).fetchall()
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(_COLUMNS)
        for row in rows:
            table.writerow(
                one.isoformat(timespec="seconds") if isinstance(one, dt.datetime) else one
                for one in row
            )
        return out.getvalue()

    # ---- rows ----------------------------------------------------------------------------------

    def _check(self, who: Principal, wish: Wish) -> None:
        require(who, Action.SHARE_OWN)
        check_wish(wish)
        if self._rooms.rates.take(rates.address(who.name, "own-request", _ASKED)):
            raise TooMany
        for ref in wish.studies:
            require(who, Action.SHARE_OWN, ref)
        if wish.share_id is not None and self._own.detail(who, wish.share_id).share.is_own:
            raise Conflict(marked("This share is yours: you can stop it yourself, at once."))

    def _note_read(self, who: Principal, detail: dict[str, Any]) -> None:
        event = Event(kind="patient.request-read", outcome="done", detail=detail)
        self._rooms.act(lambda tx: self._rooms.tell(tx, who, event))

    def _row(
        self, tx: Act, who: Principal, wish: Wish, *, request_id: int, number: str
    ) -> dict[str, Any]:
        rooms, made_at = self._rooms, now()
        days = rooms.settings.sharing.answer_days
        person = orjson.dumps(written_person(wish.person))
        return {
            "request_id": request_id,
            "number": number,
            "owner": who.name,
            "kind": wish.kind.value,
            "studies": sorted(str(ref.study) for ref in wish.studies),
            "share_id": wish.share_id,
            "person": rooms.keys.seal(_PERSON, request_id, person),
            "words": rooms.keys.seal(_WORDS, request_id, wish.words.strip().encode()),
            "notify": wish.notify and granting.channel_id(rooms, tx, wish.notify, who.name),
            "language": wish.language,
            "made_at": made_at,
            "due_at": made_at + dt.timedelta(days=days),
        }

    def _end(self, who: Principal, request_id: int, state: State, answer: Answer) -> None:
        """End a request, write it down, and tell who asked, unless that is who ends it."""
        rooms, words = self._rooms, answer.words.strip().encode()
        row = {
            "request_id": request_id,
            "state": state.value,
            "refusal": answer.refusal and answer.refusal.value,
            "answer": rooms.keys.seal(_ANSWER, request_id, words) if words else None,
            "ended_at": now(),
            "ended_by": who.name,
        }

        def work(tx: Act) -> None:
            found = tx.execute(_SQL.end_request, row).fetchone()
            if found is None:
                raise Conflict(marked("This request was answered or taken back before."))
            number, notify, language = found
            tx.write_down(records.REQUEST_END, {"request": request_id}, row, who.name)
            detail = {"asked": number, "state": state.value, "refusal": row["refusal"]}
            self._rooms.tell(tx, who, Event(kind="patient.answered", outcome="done", detail=detail))
            if notify is not None and state is not State.WITHDRAWN:
                self._send(tx, number, notify, language)

        rooms.act(work)

    def _send(self, tx: Act, number: str, notify: int, language: str) -> None:
        rooms = self._rooms
        rooms.outbox.post(
            tx.tx,
            to=granting.open_channel(rooms, tx, notify),
            template="request-answered",
            values={"number": number, "link": f"{rooms.origin()}/my/requests"},
            language=language,
            until=None,
            channel_id=notify,
            share_id=None,
            grant_id=None,
            requested_by="archive",
        )

    def _listed(
        self,
        *,
        request_id: int | None = None,
        owner: str | None = None,
        is_open: bool | None = None,
        before: int | None = None,
        most: int = MOST_LISTED,
    ) -> list[PatientRequest]:
        asked = {
            "request_id": request_id,
            "owner": owner,
            "open": is_open,
            "before": before,
            "most": min(max(most, 1), MOST_LISTED),
        }
        with self._rooms.database.reading() as conn:
            rows = conn.execute(_SQL.list_requests, asked).fetchall()
        return [self._request(row) for row in rows]

    def _request(self, row: tuple[Any, ...]) -> PatientRequest:
        keys, request_id = self._rooms.keys, row[0]
        answer = "" if row[14] is None else keys.unseal(_ANSWER, request_id, row[14]).decode()
        return PatientRequest(
            request_id=request_id,
            number=row[1],
            owner=row[2],
            kind=Kind(row[3]),
            studies=tuple(row[4]),
            share_id=row[5],
            person=read_person(orjson.loads(keys.unseal(_PERSON, request_id, row[6]))),
            words=keys.unseal(_WORDS, request_id, row[7]).decode(),
            told=row[8],
            language=row[9],
            made_at=row[10],
            due_at=row[11],
            state=State(row[12]),
            refusal=None if row[13] is None else Refusal(row[13]),
            answer=answer,
            ended_at=row[15],
            ended_by=row[16],
        )


def _require_few(tx: Act, who: Principal) -> None:
    row = tx.execute(_SQL.count_own_open, (who.name,)).fetchone()
    if row is not None and row[0] >= MOST_OPEN:
        raise Conflict(
            marked("Many of your requests wait for an answer: let some be answered first.")
        )


def _require_staff(who: Principal) -> None:
    """Requests cross studies: who shares, and sees the whole archive, looks after them."""
    require(who, Action.SHARE)
    if not who.scope.everything:
        raise NotFound
