"""The tablet of the waiting room: it asks one person one thing, once, and shows nothing else."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import orjson

from vna.access.audit import Event
from vna.access.principal import Action, Kind, Principal
from vna.crypto.credentials import digest, new_secret
from vna.delivery.channels import Channel
from vna.errors import Conflict, InvalidRequest, NotAuthenticated
from vna.sharing.consent_texts import SQL, ConsentTexts
from vna.sharing.consents import PURPOSES, Consent, Consents, require_person
from vna.sharing.ids import new_id
from vna.sharing.plans import Lane, Plan, read_person, written_channel, written_person
from vna.sharing.rooms import Act, Rooms, kiosk_named
from vna.sharing.rules import LEAST_CONFIRMED, MOST_NAME
from vna.sharing.values import Confirmed, Person, Recipient
from vna.texts import marked

_ASKING = b"kiosk"
_CHANGED = marked("The text was changed while you read it. Please read it again.")
_MOST_ABOUT = 200
_MOST_S = 14_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who is asked what. Without a recipient the images go to the person, who names the ways.

    `about` says in plain words what is examined; `accession` is that examination's order.
    """

    issuer: str
    patient_id: str
    accession: str | None
    person: Person
    purpose: str
    about: str = ""
    recipient: Recipient | None = None
    to: Channel | None = field(default=None, repr=False)
    by: Channel | None = field(default=None, repr=False)
    lane: Lane = Lane.NOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the person said. `is_wide` allows later examinations, too.

    `text` is the version of the text above their signature; None: whoever asked has just read it.
    """

    allowed: bool
    signed_by: str = field(repr=False)
    language: str
    text: str | None = None
    is_wide: bool = False
    reports: bool = True
    to: Channel | None = field(default=None, repr=False)
    by: Channel | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kiosk:
    """A tablet that asks."""

    asking: Asking
    begun_by: str
    ends_at: dt.datetime
    is_answered: bool


class Kiosks:
    """Begins, answers, ends. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, consents: Consents, texts: ConsentTexts) -> None:
        self._rooms = rooms
        self._consents = consents
        self._texts = texts

    def begin(self, who: Principal, asking: Asking) -> str:
        """Let a tablet ask; return the secret it holds. Raises `InvalidRequest`."""
        require_person(self._rooms, who, asking.issuer, asking.patient_id)
        _check(asking)
        secret, number = new_secret(), new_id()
        sealed = self._rooms.keys.seal(_ASKING, number, orjson.dumps(_written(asking)))
        for_s = min(self._rooms.settings.sharing.kiosk_s, _MOST_S)

        def work(tx: Act) -> None:
            tx.execute(SQL.begin_kiosk, (digest(secret), sealed, number, who.name, for_s))
            detail = {"purpose": asking.purpose}
            self._rooms.tell(tx, who, Event(kind="kiosk.begun", outcome="done", detail=detail))

        self._rooms.act(work)
        return secret

    def find(self, secret: str) -> Kiosk | None:
        """Say what a tablet asks; None when its time is over."""
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.find_kiosk, (digest(secret),)).fetchone()
        return None if row is None else self._kiosk(row)

    def answer(self, secret: str, answer: Answer) -> int:
        """Record what the person said; return the number of the consent.

        Raises `InvalidRequest`, also when there is another text than the one they read,
        `NotAuthenticated` when its time is over, `Conflict` when it was
        answered before.
        """
        kiosk = self.find(secret)
        if kiosk is None:
            raise NotAuthenticated
        asking = kiosk.asking
        version = self._texts.latest(asking.purpose, answer.language).version
        if answer.text not in (None, version):
            raise InvalidRequest(_CHANGED)
        consent = Consent(
            issuer=asking.issuer,
            patient_id=asking.patient_id,
            purpose=asking.purpose,
            allowed=answer.allowed,
            text_version=version,
            signed_by=answer.signed_by,
            way="kiosk",
            accession=None if answer.is_wide and answer.allowed else asking.accession,
        )
        plan = _plan(asking, answer) if answer.allowed else None

        def once(tx: Act, consent_id: int) -> None:
            row = tx.execute(SQL.hold_kiosk, (digest(secret),)).fetchone()
            if row is None:
                raise NotAuthenticated
            if self._kiosk(row).is_answered:
                raise Conflict(marked("This was answered already."))
            tx.execute(SQL.answer_kiosk, (consent_id, digest(secret)))

        return self._consents.record(_teller(kiosk), consent, plan=plan, also=once)

    def end(self, secret: str) -> None:
        """Take a tablet back."""
        with self._rooms.database.transaction() as tx:
            tx.execute(SQL.end_kiosk, (digest(secret),))

    def sweep(self) -> None:
        """Forget tablets of yesterday."""
        with self._rooms.database.transaction() as tx:
            tx.execute(SQL.sweep_kiosks)

    def _kiosk(self, row: tuple[Any, ...]) -> Kiosk:
        said = orjson.loads(self._rooms.keys.unseal(_ASKING, row[1], bytes(row[0])))
        return Kiosk(asking=_read(said), begun_by=row[2], ends_at=row[3], is_answered=row[4])


def _teller(kiosk: Kiosk) -> Principal:
    return Principal(
        kind=Kind.SYSTEM, name=kiosk_named(kiosk.begun_by), actions=frozenset({Action.SHARE})
    )


def _plan(asking: Asking, answer: Answer) -> Plan:
    """Send to whom the desk named, else to the person by the ways they typed."""
    if asking.recipient is not None:
        to, by, notify = asking.to, asking.by, answer.to
    else:
        to, by, notify = answer.to, answer.by, answer.to
    if to is None or by is None:
        raise InvalidRequest(marked("Say where the link is to go, and where the code."))
    return Plan(
        person=asking.person,
        recipient=asking.recipient or Recipient(name=asking.person.name),
        to=to,
        by=by,
        notify=notify,
        language=answer.language,
        reports=answer.reports,
        lane=asking.lane,
    )


def _check(asking: Asking) -> None:
    if not asking.issuer or not asking.patient_id.strip() or len(asking.patient_id) > MOST_NAME:
        raise InvalidRequest(marked("A consent is that of somebody with a Patient ID."))
    if asking.purpose not in PURPOSES:
        raise InvalidRequest("A consent is for a purpose that is known.")
    if not 0 < len(asking.person.name.strip()) <= MOST_NAME:
        raise InvalidRequest(marked("Say who this is."))
    if len(asking.person.confirmed - {Confirmed.ACCOUNT}) < LEAST_CONFIRMED:
        raise InvalidRequest(
            marked("Compare two things with the person at least: name and birth date, say.")
        )
    if len(asking.about) > _MOST_ABOUT:
        raise InvalidRequest(marked("Say in fewer words what is examined."))
    if asking.recipient is not None and (asking.to is None or asking.by is None):
        raise InvalidRequest(marked("Say where the link is to go, and where the code."))


def _written(asking: Asking) -> dict[str, object]:
    return {
        **written_person(asking.person),
        "issuer": asking.issuer,
        "patient_id": asking.patient_id,
        "accession": asking.accession,
        "purpose": asking.purpose,
        "about": asking.about,
        "recipient": asking.recipient and [asking.recipient.name, asking.recipient.organisation],
        "to": asking.to and written_channel(asking.to),
        "by": asking.by and written_channel(asking.by),
        "lane": asking.lane.value,
    }


def _read(said: dict[str, Any]) -> Asking:
    recipient = said["recipient"]
    return Asking(
        issuer=said["issuer"],
        patient_id=said["patient_id"],
        accession=said["accession"],
        person=read_person(said),
        purpose=said["purpose"],
        about=said["about"],
        recipient=recipient and Recipient(name=recipient[0], organisation=recipient[1]),
        to=Channel(*said["to"]) if said["to"] else None,
        by=Channel(*said["by"]) if said["by"] else None,
        lane=Lane(said["lane"]),
    )
