"""What an object must say of itself before it is kept, and what is only remarked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vna.dicom.refs import UID, InstanceRef
from vna.dicom.scan import Scan
from vna.dicom.uids import is_storage
from vna.ingest.outcome import Cause, Caution, Expected, Refused

_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who an accepted object is."""

    ref: InstanceRef
    sop_class: str
    caution: Caution | None = None
    message: str = ""


def identify(
    scan: Scan,
    *,
    file_class: str | None,
    file_instance: str | None,
    expected: Expected,
    unknown_storage: bool,
) -> Identity | Refused:
    """Read the identity from the data set and hold it against what command, file and URL said.

    The data set is right where it speaks. A SOP Instance UID that contradicts the command or the
    File Meta Information refuses the object: one of the two would file it under a wrong name.
    """
    sop_class = scan.sop_class or expected.sop_class or file_class
    sop_instance = scan.sop_instance
    refused = _missing(scan, sop_class) or _contradicted(scan, file_instance, expected)
    if refused is None and not unknown_storage and not is_storage(sop_class or ""):
        refused = Cause.SOP_CLASS, "This SOP Class is not one the archive stores."
    if refused is not None:
        cause, message = refused
        return Refused(
            cause=cause, message=message, sop_class=sop_class, sop_instance=valid(sop_instance)
        )
    ref = InstanceRef(UID(scan.study or ""), UID(scan.series or ""), UID(sop_instance or ""))
    claimed = expected.sop_class or file_class
    if claimed and claimed != sop_class:
        return Identity(
            ref=ref,
            sop_class=sop_class or "",
            caution=Caution.CLASS_MISMATCH,
            message="The SOP Class of the data set is not the one it was sent under.",
        )
    return Identity(ref=ref, sop_class=sop_class or "")


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


def _contradicted(
    scan: Scan, file_instance: str | None, expected: Expected
) -> tuple[Cause, str] | None:
    for name, value, claims in (
        ("SOP Instance UID", scan.sop_instance, (expected.sop_instance, file_instance)),
        ("SOP Class UID", scan.sop_class, (expected.sop_class,)),
        ("Study Instance UID", scan.study, (expected.study,)),
    ):
        for claim in claims:
            if claim and value and claim != value:
                return Cause.MISMATCH, (
                    f"The {name} of the data set is not the one it was sent under."
                )
    return None
