"""What goes out by itself once a consent's images are there: to whom, by which two ways, when."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from vna.delivery.channels import SMS, Channel
from vna.errors import InvalidRequest
from vna.sharing.rooms import Rooms
from vna.sharing.rules import LEAST_CONFIRMED, MOST_NAME, are_one
from vna.sharing.values import Confirmed, Person, Protection, Purpose, Recipient
from vna.texts import ENGLISH, languages, marked

_PLAN = b"consent plan"

PURPOSES: Mapping[str, Purpose] = {
    "treatment": Purpose.TREATMENT,
    "patient-request": Purpose.PATIENT_REQUEST,
    "third-party": Purpose.INSURANCE,
    "research": Purpose.RESEARCH,
}
"""What a share is for that rests on a consent for a purpose."""


class Lane(enum.Enum):
    """When a study goes out after it came to rest."""

    NOW = "now"
    TONIGHT = "tonight"  # within the hours of the settings
    URGENT = "urgent"  # after a shorter rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How images go out that a consent allows.

    `person` is who was compared at the desk: a study of somebody else's name or birth date is not
    sent, whatever its Patient ID. `to` takes the link, `by` the code; `notify` is told when the
    images were opened, where that is somebody else.
    """

    person: Person
    recipient: Recipient
    to: Channel
    by: Channel
    notify: Channel | None = field(default=None, repr=False)
    language: str = ENGLISH
    reports: bool = True
    lane: Lane = Lane.NOW

    @property
    def proof(self) -> frozenset[Protection]:
        """Say what the recipient must show besides the link."""
        return frozenset({Protection.SMS if self.by.kind == SMS else Protection.EMAIL})


def check_plan(plan: Plan) -> None:
    """Refuse a plan that could not be carried out. Raises `InvalidRequest`."""
    if len(plan.person.confirmed - {Confirmed.ACCOUNT}) < LEAST_CONFIRMED:
        raise InvalidRequest(
            marked("Compare two things with the person at least: name and birth date, say.")
        )
    if not 0 < len(plan.person.name.strip()) <= MOST_NAME:
        raise InvalidRequest(marked("Say who this is."))
    if not 0 < len(plan.recipient.name.strip()) <= MOST_NAME:
        raise InvalidRequest(marked("Say to whom the images are given."))
    if len(plan.recipient.organisation) > MOST_NAME:
        raise InvalidRequest(marked("The name of an organisation is shorter than that."))
    if are_one(plan.to, plan.by):
        raise InvalidRequest(
            marked("Link and code must not end up in the same mailbox or telephone.")
        )
    if plan.language not in languages():
        raise InvalidRequest(marked("Messages are written in the languages of the pages."))


def seal_plan(rooms: Rooms, consent_id: int, plan: Plan) -> bytes:
    """Seal a plan, bound to its consent."""
    said = {
        **written_person(plan.person),
        "recipient": plan.recipient.name,
        "organisation": plan.recipient.organisation,
        "to": written_channel(plan.to),
        "by": written_channel(plan.by),
        "notify": plan.notify and written_channel(plan.notify),
        "language": plan.language,
        "reports": plan.reports,
    }
    return rooms.keys.seal(_PLAN, consent_id, orjson.dumps(said))


def open_plan(rooms: Rooms, consent_id: int, lane: str, sealed: bytes) -> Plan:
    """Open a plan again. Raises `Corrupt`."""
    said = orjson.loads(rooms.keys.unseal(_PLAN, consent_id, bytes(sealed)))
    return Plan(
        person=read_person(said),
        recipient=Recipient(name=said["recipient"], organisation=said["organisation"]),
        to=Channel(*said["to"]),
        by=Channel(*said["by"]),
        notify=Channel(*said["notify"]) if said["notify"] else None,
        language=said["language"],
        reports=said["reports"],
        lane=Lane(lane),
    )


def written_channel(channel: Channel) -> list[str]:
    """Write a channel into what is sealed."""
    return [channel.kind, channel.value]


def written_person(person: Person) -> dict[str, object]:
    """Write a person into what is sealed."""
    return {
        "name": person.name,
        "birth_date": person.birth_date and person.birth_date.isoformat(),
        "confirmed": sorted(one.value for one in person.confirmed),
    }


def read_person(said: Mapping[str, object]) -> Person:
    """Read one again."""
    born, confirmed = said["birth_date"], said["confirmed"]
    return Person(
        name=str(said["name"]),
        birth_date=dt.date.fromisoformat(str(born)) if born else None,
        confirmed=frozenset(
            Confirmed(one) for one in (confirmed if isinstance(confirmed, list) else ())
        ),
    )
