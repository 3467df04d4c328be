"""Emergency access: one person's studies, for half an hour, for a reason, reviewed by others.

What is lent goes over labels and over the reach of the account, but for studies labelled sensitive:
those a second person has to agree to. It is bound to one session that showed a second factor just
now, is for looking only (`Scope.lent`), and stands in the trail as the Security Alert of PS3.16 CID
403 (Emergency Override Started, Stopped).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal, system
from vna.access.sessions import FRESH_S, Visitor
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import InvalidRequest, NotFound, NotProven
from vna.telemetry import EMERGENCIES
from vna.texts import filled, marked

_SQL = statements.load("restriction")

REASONS = {
    "treatment": marked("The patient is being treated right now"),
    "unconscious": marked("The patient cannot say who treats them"),
    "on-call": marked("I stand in for the colleague in charge"),
    "disaster": marked("Many injured at once"),
}
VERDICTS = ("ok", "not-ok")
LASTS_S = 1800.0
_LEAST_NOTE, _MOST_NOTE = 10, 500
_LISTED = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why: one of `REASONS`, and in words."""

    code: str
    note: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What was said at the beginning, and by whom."""

    emergency_id: int
    login: str
    issuer: str = field(repr=False)
    patient_id: str = field(repr=False)
    reason: str
    note: str = field(repr=False)
    began_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency(_Begun):
    """One emergency as who reviews it sees it."""

    ended_at: dt.datetime
    is_open: bool
    reviewed_at: dt.datetime | None
    reviewed_by: str | None
    verdict: str | None
    remark: str | None = field(repr=False)
    agreed_by: str | None = None  # the second person, where studies are labelled sensitive


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(_Begun):
    """An emergency that asks for a second person, as who may agree sees it."""

    ends_at: dt.datetime


Told = Callable[[Connection, int, dt.datetime], None]
"""Tells whoever watches over emergencies of one, by number and time, in its transaction."""


class Emergencies:
    """Begins, ends, lists and reviews them."""

    def __init__(self, *, database: Database, audit: Audit, told: Told | None = None) -> None:
        self._database = database
        self._audit = audit
        self._told = told

    def begin(self, visitor: Visitor, patient_id: str, issuer: str, reason: Reason) -> dt.datetime:
        """Lend one person's studies to this session; return until when. One before it ends.

        Raises `NotPermitted`, `InvalidRequest`, `NotProven`; `NotFound` for an identifier
        nobody has here.
        """
        who = visitor.principal
        require(who, Action.EMERGENCY)
        note = " ".join(reason.note.split())
        if reason.code not in REASONS or not _LEAST_NOTE <= len(note) <= _MOST_NOTE:
            raise InvalidRequest(
                filled(
                    "Say why: one of the reasons, and %(least)s to %(most)s characters more.",
                    least=_LEAST_NOTE,
                    most=_MOST_NOTE,
                )
            )
        if not visitor.is_fresh:
            raise NotProven
        owner = self._identity(who, patient_id.strip(), issuer.strip(), reason)
        asked = {
            "login": visitor.login,
            "account": visitor.account_id,
            "session": visitor.session_id,
            "issuer": owner,
            "patient": patient_id.strip(),
            "reason": reason.code,
            "note": note,
            "lasts_s": LASTS_S,
            "fresh_s": FRESH_S,
        }
        with self._database.transaction() as tx:
            before = tx.execute(_SQL.end_emergencies_of, (visitor.account_id,)).fetchall()
            self._told_ended(tx, who, before)
            row = tx.execute(_SQL.begin_emergency, asked).fetchone()
            if row is None:
                raise NotProven
            detail = {"emergency": row[0], "reason": reason.code, "until": row[1].isoformat()}
            self._audit.write(tx, who, [Event(kind="glass.broken", outcome="done", detail=detail)])
            if self._told is not None:
                self._told(tx, row[0], dt.datetime.now(dt.UTC))
        EMERGENCIES.inc()
        logger.warning("emergency access", extra={"emergency": row[0], "login": visitor.login})
        ends_at: dt.datetime = row[1]
        return ends_at

    def locked(self, visitor: Visitor) -> int:
        """Count the studies this session's emergency sees only once a second person agrees."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.count_locked, (visitor.session_id,)).fetchone()
        return row[0] if row else 0

    def asking(self, who: Principal) -> list[Asking]:
        """List the emergencies of others that ask for a second person. Raises `NotPermitted`."""
        require(who, Action.AGREE)
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_asking, {"by": who.name, "most": _LISTED}).fetchall()
        return [
            Asking(
                emergency_id=r[0], login=r[1], issuer=r[2], patient_id=r[3], reason=r[4],
                note=r[5], began_at=r[6], ends_at=r[7],
            )
            for r in rows
        ]  # fmt: skip

    def agree(self, visitor: Visitor, emergency_id: int) -> None:
        """Let somebody else's emergency see studies labelled sensitive.

        Raises `NotPermitted`, `NotProven`; `NotFound` when it is over, one's own, or agreed to.
        """
        who = visitor.principal
        require(who, Action.AGREE)
        if not visitor.is_fresh:
            raise NotProven
        asked = {
            "emergency": emergency_id,
            "by": visitor.login,
            "account": visitor.account_id,
            "session": visitor.session_id,
            "fresh_s": FRESH_S,
        }
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.agree_to_emergency, asked).fetchone()
            if row is None:
                raise NotFound(marked("It is over, or one's own, or somebody agreed before."))
            detail = {"emergency": row[0], "account": row[1]}
            told = Event(kind="glass.agreed", outcome="done", detail=detail)
            self._audit.write(tx, who, [told])
        logger.warning("emergency agreed to", extra={"emergency": row[0], "login": visitor.login})

    def end(self, visitor: Visitor) -> None:
        """End one's own; nothing happens when there is none."""
        with self._database.transaction() as tx:
            ended = tx.execute(_SQL.end_emergencies_of, (visitor.account_id,)).fetchall()
            self._told_ended(tx, visitor.principal, ended)

    def stop(self, who: Principal, emergency_id: int) -> None:
        """End somebody's. Raises `NotPermitted`, `NotFound`."""
        require(who, Action.AUDIT)
        with self._database.transaction() as tx:
            ended = tx.execute(_SQL.end_emergency, (emergency_id,)).fetchall()
            if not ended:
                raise NotFound(marked("There is no such emergency under way."))
            self._told_ended(tx, who, ended)

    def all(self, who: Principal, *, unreviewed: bool) -> list[Emergency]:
        """List the latest five hundred, or of them those nobody has reviewed."""
        require(who, Action.AUDIT)
        asked = {"unreviewed": unreviewed, "most": _LISTED}
        with self._database.reading() as conn:
            return [_emergency(row) for row in conn.execute(_SQL.list_emergencies, asked)]

    def review(self, who: Principal, emergency_id: int, verdict: str, remark: str) -> None:
        """Judge one; nobody judges their own.

        Raises `NotPermitted`, `InvalidRequest`, `NotFound`.
        """
        require(who, Action.AUDIT)
        if verdict not in VERDICTS or len(remark) > _MOST_NOTE:
            raise InvalidRequest(
                filled(
                    "A verdict is ok or not-ok, with up to %(most)s characters of text.",
                    most=_MOST_NOTE,
                )
            )
        asked = {
            "emergency": emergency_id, "by": who.name, "verdict": verdict, "remark": remark.strip()
        }  # fmt: skip
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.review_emergency, asked).fetchone()
            if row is None:
                raise NotFound(
                    marked("It was reviewed before, or is one's own, or does not exist.")
                )
            detail = {"emergency": emergency_id, "account": row[1], "verdict": verdict}
            told = Event(kind="glass.reviewed", outcome="done", detail=detail)
            self._audit.write(tx, who, [told])

    def sweep(self) -> None:
        """Note the end of those whose time, or whose session, is over."""
        with self._database.transaction() as tx:
            ended = tx.execute(_SQL.end_late_emergencies).fetchall()
            self._told_ended(tx, system("upkeep"), ended)

    def _identity(self, who: Principal, patient_id: str, issuer: str, reason: Reason) -> str:
        """Find whose identifier it is; that nobody has it is written down, too."""
        asked = {
            "patient": patient_id.replace("\0", ""),
            "issuer": issuer.replace("\0", "") or None,
        }
        with self._database.reading() as conn:
            found = conn.execute(_SQL.find_identities, asked).fetchall()
        if len(found) == 1:
            return str(found[0][0])
        if found:
            raise InvalidRequest(marked("Several issuers use this Patient ID: say which is meant."))
        refused = Event(kind="glass.broken", outcome="refused", detail={"reason": reason.code})
        with self._database.transaction() as tx:
            self._audit.write(tx, who, [refused])
        raise NotFound(marked("Nobody here has this Patient ID."))

    def _told_ended(self, tx: Connection, who: Principal, ended: Sequence[tuple[Any, ...]]) -> None:
        events = [
            Event(
                kind="glass.ended", outcome="done", detail={"emergency": row[0], "account": row[1]}
            )
            for row in ended
        ]
        self._audit.write(tx, who, events)


def _emergency(row: tuple[Any, ...]) -> Emergency:  # the columns of list_emergencies
    return Emergency(
        emergency_id=row[0], login=row[1], issuer=row[2], patient_id=row[3], reason=row[4],
        note=row[5], began_at=row[6], ended_at=row[7], is_open=row[8], reviewed_at=row[9],
        reviewed_by=row[10], verdict=row[11], remark=row[12], agreed_by=row[13],
    )  # fmt: skip
