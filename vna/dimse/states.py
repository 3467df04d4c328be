"""The states and events of an association, by the names of the Upper Layer (PS3.8 9.2)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vna.dimse.pdu import AssociateAccept, AssociateRequest


class State(enum.Enum):
    """Where an association stands; PS3.8 Table 9-10."""

    IDLE = "idle"  # Sta1, nothing began
    AWAITING_REQUEST = "awaiting-request"  # Sta2
    NEGOTIATING = "negotiating"  # Sta3
    CONNECTING = "connecting"  # Sta4
    AWAITING_ANSWER = "awaiting-answer"  # Sta5
    OPEN = "open"  # Sta6
    RELEASE_SENT = "release-sent"  # Sta7
    RELEASE_ASKED = "release-asked"  # Sta8
    COLLIDED_ASKED = "collided-asked"  # Sta9
    COLLIDED_WAITING = "collided-waiting"  # Sta10
    COLLIDED_ANSWERED = "collided-answered"  # Sta11
    COLLIDED_AGREED = "collided-agreed"  # Sta12
    CLOSING = "closing"  # Sta13
    CLOSED = "closed"  # Sta1, all over


class AbortReason(enum.IntEnum):
    """Reasons of the provider (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNISED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A part of one Presentation Data Value. `data` is good until the next bytes are received."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer wants to end the association."""


@dataclass(frozen=True, slots=True)
class Released:
    """The peer agreed to our release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """The association is over. `by_us`: the peer broke the protocol, A-ABORT is to be sent."""

    source: int
    reason: int
    by_us: bool
    message: str = ""


Event = (
    AssociateRequest | AssociateAccept | Rejected | Fragment | ReleaseRequested | Released | Aborted
)
