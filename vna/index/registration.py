"""The values of registration: what is handed in for one instance, and what is said of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vna.dicom.refs import InstanceRef
from vna.index.extras import Extra


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One durable blob and everything the index keeps of it.

    `attributes` are the DICOM JSON elements of the indexed attributes. `pixel` is (tag, VR, offset,
    length) of the Pixel Data family, `bulk` the JSON list of (path, VR, offset, length), None when
    only Pixel Data is bulk. `metadata` is the sealed DICOM JSON, None past its cap.
    """

    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    attributes: dict[str, Any]  # elements of DICOM JSON: their values differ by VR
    issuer: str
    blob_id: bytes
    key_id: bytes
    key_version: int
    created_us: int
    header: bytes
    payload_len: int
    digest: bytes
    size: int
    checksum: bytes
    frames: bytes | None
    frame_count: int | None
    pixel: tuple[str, str, int, int] | None
    bulk: bytes | None
    metadata: bytes | None
    group2: bytes
    preamble: bytes
    received_at: datetime
    proto: str
    calling_ae: str | None = None
    called_ae: str | None = None
    address: str | None = None
    principal: str | None = None
    charset: str = ""
    flags: frozenset[str] = frozenset()
    deriver: int = 1
    extra: Extra | None = None  # what it says of attributes made searchable; None: there are none
    routes: tuple[int, ...] = ()  # the routing rules it falls under
    actor_kind: str = "system"  # what sort of asker the principal is, for the audit trail


class Verdict(enum.Enum):
    """What registration found."""

    NEW = "new"
    SAME = "same"  # a version with this digest is there: nothing inserted
    DIFFERS = "differs"  # other content under this SOP Instance UID: nothing inserted
    VERSION = "version"  # inserted beside others


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A version that was there before."""

    ref: InstanceRef
    blob_id: bytes
    header: bytes = field(repr=False)
    payload_len: int
    key_id: bytes
    key_version: int
    digest: bytes
    transfer_syntax: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The answer for one registration.

    `blob_id` is that of the row that stands for the content. `elsewhere`: the SOP Instance UID
    belongs to another series or study, and this one is kept but not found. `unlike_study`: its
    study or series shows other attributes than it carries; both are recorded.
    """

    verdict: Verdict
    blob_id: bytes
    current: bool
    elsewhere: bool = False
    unlike_study: bool = False
    existing: tuple[Existing, ...] = ()
