"""What is said about exchanges between guests: pure values, which their pages show."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vna.access.principal import Action, Kind, Principal, Scope
from vna.access.roles import known
from vna.config import Settings
from vna.imports.values import Person

MOST_WRONG = 10
"""Wrong passcodes in the life of an exchange; the last one locks it for good."""


class Side(enum.Enum):
    """Who somebody is in an exchange."""

    SENDER = "sender"
    RECIPIENT = "recipient"


class Standing(enum.Enum):
    """How far an exchange is."""

    PROVING = "proving"  # the sender's mailbox is not proven yet
    FILLING = "filling"
    SENT = "sent"
    OPENED = "opened"
    LOCKED = "locked"
    STOPPED = "stopped"  # by the sender
    REFUSED = "refused"  # by the recipient
    TAKEN = "taken"  # staff filed it, or destroyed it
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What somebody wants to send: from whom, to whom, and whether the patient gets it."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    for_patient: bool = False
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange as both sides see it; addresses are masked."""

    exchange: int
    number: str
    import_number: int | None
    sender: str
    recipient: str
    for_patient: bool
    language: str
    made_at: dt.datetime
    until: dt.datetime
    sent_at: dt.datetime | None
    opened_at: dt.datetime | None
    opens: int
    fetched_at: dt.datetime | None
    message: str | None  # what became of the link's message
    standing: Standing

    @property
    def is_open(self) -> bool:
        """Whether link and passcode open it."""
        return self.standing in (Standing.SENT, Standing.OPENED)

    @property
    def may_stop(self) -> bool:
        """Whether there is something its sender can end."""
        return self.is_open or self.standing in (
            Standing.PROVING,
            Standing.FILLING,
            Standing.LOCKED,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Somebody who came: in which exchange, on which side, and as whom they act."""

    exchange: Exchange
    side: Side
    principal: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What came of a code that was typed."""

    is_right: bool
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of sending; the passcode exists here only, once."""

    exchange: Exchange
    passcode: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was brought, counted for its sender."""

    studies: int
    objects: int
    documents: int
    left_out: int
    items: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that came beside images."""

    number: int
    name: str
    media: str
    size: int
    blob_id: bytes = field(repr=False)

    @property
    def ending(self) -> str:
        """Say what its file is called at the end."""
        return {"application/pdf": "pdf", "image/jpeg": "jpg"}.get(self.media, "png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What its recipient finds behind the passcode."""

    sender: str = field(repr=False)
    persons: list[Person]
    documents: list[Document]
    size: int


def exchange_of(row: Sequence[Any]) -> Exchange:
    """Read a row of `exchanges`."""
    return Exchange(
        exchange=row[0],
        number=row[1],
        import_number=row[2],
        sender=row[3],
        recipient=row[4],
        for_patient=row[5],
        language=row[6],
        made_at=row[7],
        until=row[8],
        sent_at=row[10],
        opened_at=row[11],
        opens=row[12],
        fetched_at=row[13],
        message=row[18],
        standing=_standing(row),
    )


def guest(exchange: Exchange, side: Side, address: str | None) -> Principal:
    """Make the principal of a guest: a sender may bring, and nobody looks at the archive."""
    is_filling = side is Side.SENDER and exchange.standing is Standing.FILLING
    return Principal(
        kind=Kind.SHARE,
        name=f"exchange/{exchange.number}/{side.value}",
        actions=frozenset({Action.UPLOAD}) if is_filling else frozenset(),
        scope=Scope(),
        address=address,
    )


def narrowed(who: Principal, settings: Settings) -> Principal:
    """Take from who came by a link what the role of such guests does not have."""
    return replace(who, actions=who.actions & known(settings.access.roles).guest.actions)


def _standing(row: Sequence[Any]) -> Standing:
    until, proven, sent, opened = row[8], row[9], row[10], row[11]
    stopped, by, wrong, state, over = row[14], row[15], row[16], row[17], row[19]
    if stopped is not None:
        return Standing.REFUSED if by == Side.RECIPIENT.value else Standing.STOPPED
    if until <= dt.datetime.now(dt.UTC):
        return Standing.OVER
    if proven is None:
        return Standing.PROVING
    if state not in ("receiving", "needs_identity") or over is not None:
        return Standing.TAKEN
    if sent is None:  # staff may have said at the desk that it is complete
        return Standing.FILLING if state == "receiving" else Standing.TAKEN
    if wrong >= MOST_WRONG:
        return Standing.LOCKED
    return Standing.SENT if opened is None else Standing.OPENED
