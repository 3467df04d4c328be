"""What an object must say of itself before it is kept, and what is only remarked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vna.dicom.refs import UID, InstanceRef
from vna.dicom.scan import Scan
from vna.dicom.uids import is_storage
from vna.ingest.outcome import Cause, Expected, Refused

_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who an accepted object is."""

    ref: InstanceRef
    sop_class: str
    flags: frozenset[str] = frozenset()


def identify(
    scan: Scan,
    *,
    file_class: str | None,
    file_instance: str | None,
    expected: Expected,
    unknown_storage: bool,
) -> Identity | Refused:
    """Read the identity from the data set and hold it against what command, file and URL said.

    The data set is right where it speaks. A SOP Instance UID that contradicts the command refuses
    the object: the sender would look for it under another name. File Meta Information is often
    wrong after somebody's edit: that is only remarked.
    """
    sop_class = scan.sop_class or expected.sop_class or file_class
    sop_instance = scan.sop_instance
    refused = _missing(scan, sop_class) or _contradicted(scan, expected)
    if refused is None and not unknown_storage and not is_storage(sop_class or ""):
        refused = Cause.SOP_CLASS, "This SOP Class is not one the archive stores."
    if refused is not None:
        cause, message = refused
        return Refused(
            cause=cause, message=message, sop_class=sop_class, sop_instance=valid(sop_instance)
        )
    ref = InstanceRef(UID(scan.study or ""), UID(scan.series or ""), UID(sop_instance or ""))
    differs = (file_class not in (None, "", sop_class)) or (
        file_instance not in (None, "", sop_instance)
    )
    flags = frozenset({"file-meta-differs"}) if differs else frozenset()
    return Identity(ref=ref, sop_class=sop_class or "", flags=flags)


def valid(value: str | None) -> str | None:
    """Return the UID if it is one, else None."""
    return value if value and _UID.fullmatch(value) else None


def _missing(scan: Scan, sop_class: str | None) -> tuple[Cause, str] | None:
    named = (
        ("Study Instance UID", scan.study),
        ("Series Instance UID", scan.series),
        ("SOP Instance UID", scan.sop_instance),
        ("SOP Class UID", sop_class),
    )
    for name, value in named:
        if not value:
            return Cause.MISSING_IDENTITY, f"The data set has no {name}."
        if not valid(value):
            return Cause.MISSING_IDENTITY, (
                f"The {name} is not a UID: 1 to 64 characters of digits and dots."
            )
    return None


def _contradicted(scan: Scan, expected: Expected) -> tuple[Cause, str] | None:
    for name, value, claim in (
        ("SOP Instance UID", scan.sop_instance, expected.sop_instance),
        ("SOP Class UID", scan.sop_class, expected.sop_class),
        ("Study Instance UID", scan.study, expected.study),
    ):
        if claim and value and claim != value:
            return Cause.MISMATCH, f"The {name} of the data set is not the one it was sent under."
    return None
