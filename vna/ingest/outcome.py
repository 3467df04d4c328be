"""What a peer is told about an object it sent: values, not exceptions, for both edges."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vna.dicom.refs import InstanceRef


class Caution(enum.Enum):
    """Stored, but the sender should know (PS3.4 B.2.3, PS3.18 I.2.2)."""

    DIFFERS = "differs"  # other content under a known SOP Instance UID: both are kept
    ELSEWHERE = "elsewhere"  # the SOP Instance UID is known in another study or series


class Cause(enum.Enum):
    """Why nothing was stored."""

    OUT_OF_RESOURCES = "out-of-resources"  # disk full, database away: the sender should retry
    TOO_LARGE = "too-large"
    CANNOT_UNDERSTAND = "cannot-understand"  # not a data set, or truncated
    MISSING_IDENTITY = "missing-identity"  # a required UID is absent or is no UID
    MISMATCH = "mismatch"  # the data set contradicts the command or the URL
    SOP_CLASS = "sop-class"  # not a class this archive stores
    TRANSFER_SYNTAX = "transfer-syntax"
    DUPLICATE = "duplicate"  # known UID, other content, and the policy says reject
    NOT_PERMITTED = "not-permitted"
    FAILED = "failed"  # our own fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Durable and visible. `caution` is None when there is nothing to remark."""

    ref: InstanceRef
    sop_class: str
    caution: Caution | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyStored:
    """The archive holds this content already; nothing new was kept. A success."""

    ref: InstanceRef
    sop_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was stored. `sop_class` and `sop_instance` are as far as they could be read."""

    cause: Cause
    message: str
    sop_class: str | None = None
    sop_instance: str | None = None


Outcome = Stored | AlreadyStored | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an object came from; it stands in the blob's meta and in the index row."""

    proto: str  # "dimse", "stow", "import"
    calling_ae: str | None = None
    called_ae: str | None = None
    address: str | None = None
    tls_subject: str | None = None
    issuer: str | None = None  # assigning authority of its Patient IDs where they name none


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the command or the URL said of the object; None is not said."""

    sop_class: str | None = None
    sop_instance: str | None = None
    study: str | None = None
