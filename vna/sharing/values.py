"""What is said about shares: offers, what came of them, what lists show, who a guest is.

Pure values. A secret stands in `Offered` and nowhere else, once; channels are shown masked.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field

from vna.access.principal import Principal
from vna.delivery import channels
from vna.delivery.channels import Channel
from vna.dicom.refs import InstanceRef, SeriesRef, StudyRef
from vna.errors import InvalidRequest

__all__ = [
    "Channel",
    "Confirmed",
    "Doubt",
    "Forward",
    "GrantState",
    "GrantSummary",
    "Guest",
    "Happened",
    "Level",
    "Offer",
    "Offered",
    "Person",
    "Preview",
    "PreviewStudy",
    "Protection",
    "Purpose",
    "Reason",
    "Recipient",
    "Refused",
    "Sent",
    "ShareDetail",
    "ShareState",
    "ShareSummary",
    "Shown",
    "Tab",
    "Wrong",
    "channel",
]


class Protection(enum.Enum):
    """What a holder of the link must show besides; an offer names at least one."""

    SMS = "sms"  # a code to the second channel, a telephone
    EMAIL = "email"  # a code to the second channel, a mailbox; graded lower
    PASSCODE = "passcode"  # told apart from the link, part of the key


class Purpose(enum.Enum):
    """What images are given on for; consents are asked by it."""

    TREATMENT = "treatment"
    PATIENT_REQUEST = "patient-request"
    INSURANCE = "insurance"
    LEGAL = "legal"
    RESEARCH = "research"
    EMERGENCY = "emergency"


class Confirmed(enum.Enum):
    """What was compared with the person, or their request, before an offer: two at least."""

    NAME = "name"
    BIRTH_DATE = "birth-date"
    PATIENT_ID = "patient-id"
    LAST_EXAM = "last-exam"
    ADDRESS = "address"
    ACCOUNT = "account"  # nobody: the person is signed in, and was compared when that began


class Doubt(enum.Enum):
    """Why a colleague is asked whether a link may go where it is to go."""

    UNKNOWN = "unknown"  # no way to the person is known that it could be
    CHANGED = "changed"  # another one is known, or this one for less than a day


class ShareState(enum.Enum):
    """Where a share is; `EXPIRED` and `EXHAUSTED` follow from time and counts."""

    DRAFT = "draft"
    READY = "ready"
    SENT = "sent"
    VERIFIED = "verified"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    REVOKED = "revoked"


class GrantState(enum.Enum):
    """Where a grant is; `EXPIRED` follows from time."""

    PENDING = "pending"
    INVITED = "invited"
    LINK_OPENED = "link_opened"
    FACTOR_PENDING = "factor_pending"
    OPEN = "open"
    EXPIRED = "expired"
    REVOKED = "revoked"
    LOCKED = "locked"
    REFUSED = "refused"  # "I am not this person"


class Level(enum.IntEnum):
    """How far a guest has come."""

    OPENED = 0
    PROVEN = 1


class Reason(enum.Enum):
    """Why a link does not open; the value is what pages choose their words by."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    LOCKED = "locked"
    EXHAUSTED = "exhausted"
    SUSPENDED = "suspended"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whose images these are, as those who may see them are shown it, and what was compared."""

    name: str = field(repr=False)
    birth_date: dt.date | None = field(default=None, repr=False)
    confirmed: frozenset[Confirmed] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """To whom images are given."""

    name: str = field(repr=False)
    organisation: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is to be shared, with whom, protected how, until when.

    `to` is where the link goes; without it the link is handed over by who offers, or `printed`.
    `by` is where one-time codes go. `max_opens` counts sessions that got in. `without_images` says
    that documents alone are meant. `notify` is told when this is shared, opened, locked, refused.
    """

    studies: frozenset[StudyRef] = frozenset()
    series: frozenset[SeriesRef] = frozenset()
    instances: frozenset[InstanceRef] = frozenset()
    person: Person
    recipient: Recipient
    purpose: Purpose
    to: Channel | None
    proof: frozenset[Protection]
    by: Channel | None = None
    until: dt.datetime
    reports: bool = True
    download: bool = True
    forward: bool = False
    max_opens: int | None = None
    consent_id: int | None = None
    legal_basis: str | None = None
    printed: bool = False
    without_images: bool = False
    notify: Channel | None = None
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What a guest gives on of what they see. Nothing named is all of it."""

    studies: frozenset[StudyRef] = frozenset()
    series: frozenset[SeriesRef] = frozenset()
    recipient: Recipient
    to: Channel | None
    proof: frozenset[Protection]
    by: Channel | None = None
    until: dt.datetime
    reports: bool = True
    download: bool = True
    forward: bool = False
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What came of an offer. Secrets are shown here and never again.

    `secret` is the link's, when nobody else was sent it; `number` is what people call the share.
    """

    share_id: int
    grant_id: int
    number: str
    secret: str | None = field(default=None, repr=False)
    passcode: str | None = field(default=None, repr=False)
    printed_code: str | None = field(default=None, repr=False)
    doubt: Doubt | None = None  # a colleague must agree first: nothing was sent, nothing opens


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A link or code that does not open: why, and which share to name when asking for help."""

    reason: Reason
    number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A code is on its way, or was a moment ago: where to, how long it holds, when again."""

    masked: str
    until: dt.datetime
    wait_s: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """What was shown is not right; `left` tries are left, 0 when the grant is locked now."""

    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a guest's home shows. Person, recipient and studies only once everything is proven."""

    number: str
    sender: str
    until: dt.datetime
    purpose: Purpose
    person: Person | None
    recipient: Recipient | None
    studies: tuple[str, ...]
    reports: bool
    download: bool
    forward: bool
    given_on: bool  # by a guest, who says of the recipient what they like
    ways: tuple[tuple[Protection, str], ...]  # what is asked, and the masked channel, or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Who a session stands for. Before everything is proven its principal may do nothing."""

    session_id: int
    grant_id: int
    share_id: int
    level: Level
    principal: Principal
    needs: tuple[Protection, ...]
    share: Shown

    @property
    def is_proven(self) -> bool:
        """Whether everything asked for was shown."""
        return self.level is Level.PROVEN


class Tab(enum.Enum):
    """The tabs of the board."""

    TODAY = "today"
    WAITING = "waiting"  # sent, nobody has opened it
    UNOPENED = "unopened"  # the same for some days
    EXPIRING = "expiring"  # within three days
    LOCKED = "locked"  # wrong secrets, wrong person
    ENDED = "ended"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSummary:
    """A share in a list."""

    share_id: int
    number: str
    state: ShareState
    owner: str
    purpose: Purpose
    person: Person
    studies: tuple[str, ...]
    items: int
    grants: int
    opens: int
    created_at: dt.datetime
    until: dt.datetime
    last_open_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSummary:
    """A grant as its owner sees it."""

    grant_id: int
    parent_id: int | None
    state: GrantState
    recipient: Recipient
    to: str | None  # masked
    by: str | None  # masked
    proof: frozenset[Protection]
    printed: bool
    until: dt.datetime
    opens: int
    wrong: int
    reports: bool
    download: bool
    forward: bool
    language: str
    issued_at: dt.datetime
    first_open_at: dt.datetime | None
    last_open_at: dt.datetime | None
    ended_at: dt.datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One line of a share's history, from the trail."""

    at: dt.datetime
    kind: str
    outcome: str
    who: str
    grant_id: int | None
    detail: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareDetail:
    """All there is to know about a share, for those who may share."""

    summary: ShareSummary
    grants: tuple[GrantSummary, ...]
    happened: tuple[Happened, ...]
    consent_id: int | None
    legal_basis: str | None
    reports: bool
    download: bool
    forward: bool
    max_opens: int | None
    tested_at: dt.datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewStudy:
    """One study as a stranger with link and proof will find it."""

    study: str
    series: int
    images: int
    reports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a test of a share found: everything opens, and this is what is seen."""

    number: str
    studies: tuple[PreviewStudy, ...]
    reports: bool
    download: bool
    asked: tuple[frozenset[Protection], ...]  # of each grant that holds
    until: dt.datetime


def channel(kind: str, typed: str) -> Channel:
    """Read an address or a number as somebody typed it. Raises `InvalidRequest`."""
    if kind == channels.EMAIL:
        return channels.email(typed)
    if kind == channels.SMS:
        return channels.phone(typed)
    raise InvalidRequest("A message goes by e-mail or by SMS.")
