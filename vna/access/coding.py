"""What the acts of the trail are called by others: DICOM PS3.16 CID 400 to 405, IHE BALP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vna.access.trail import Row

MEANINGS = {
    "110037": "URI",
    "110100": "Application Activity",
    "110101": "Audit Log Used",
    "110102": "Begin Transferring DICOM Instances",
    "110103": "DICOM Instances Accessed",
    "110104": "DICOM Instances Transferred",
    "110105": "DICOM Study Deleted",
    "110106": "Export",
    "110107": "Import",
    "110110": "Patient Record",
    "110112": "Query",
    "110113": "Security Alert",
    "110114": "User Authentication",
    "110122": "Login",
    "110123": "Logout",
    "110127": "Emergency Override Started",
    "110128": "Network Configuration",
    "110129": "Security Configuration",
    "110130": "Hardware Configuration",
    "110131": "Software Configuration",
    "110132": "Use of Restricted Function",
    "110135": "Object Security Attributes Changed",
    "110136": "Security Roles Changed",
    "110137": "User Security Attributes Changed",
    "110138": "Emergency Override Stopped",
    "110147": "Access Control Decision",
    "110150": "Application",
    "110152": "Destination Role ID",
    "110153": "Source Role ID",
    "110154": "Destination Media",
    "110155": "Source Media",
    "110180": "Study Instance UID",
    "110181": "SOP Class UID",
}
"""Codes of DCM that are written, with their meanings (PS3.16 Annex D)."""


@dataclass(frozen=True, slots=True)
class Coding:
    """An act as others code it."""

    event: str  # CID 400
    action: str  # C R U D E (PS3.15 A.5.2)
    type: str | None = None  # CID 401, 403
    balp: str | None = None  # the IHE BALP profile, where there is one for it


_ALERT = Coding("110113", "E", "110132")

# The longest word of a kind that stands here decides: instance.version.content is a version.
_CODINGS = {
    "query": Coding("110112", "E", balp="Query"),
    "read": Coding("110103", "R", balp="Read"),
    # R: whether the other side held them is not known here (PS3.15 A.5.3.7)
    "sent": Coding("110104", "R"),
    "disc": Coding("110106", "R"),
    "export": Coding("110106", "R", balp="PrivacyDisclosure.Source"),
    "instance.stored": Coding("110104", "C", balp="Create"),
    "import": Coding("110107", "C", balp="Create"),
    "request": Coding("110113", "E", "110135"),
    "exchange": Coding("110113", "E", "110135"),
    "exchange.seen": Coding("110103", "R", balp="Read"),
    "exchange.fetched": Coding("110106", "R", balp="PrivacyDisclosure.Source"),
    "import.seen": Coding("110103", "R", balp="Read"),
    "import.rejected": Coding("110103", "D", balp="Delete"),
    "import.purged": Coding("110103", "D", balp="Delete"),
    "instance.version": Coding("110104", "C", balp="Create"),
    "instance.recovered": Coding("110103", "C", balp="Create"),
    "instance.risen": Coding("110103", "U", balp="Update"),
    "instance.program": Coding("110113", "E", "110131"),
    "opened.many": Coding("110113", "E", "110147"),
    "blob": Coding("110113", "E", "110130"),
    "study.deleted": Coding("110105", "D", balp="Delete"),
    "series.deleted": Coding("110103", "D", balp="Delete"),
    "instance.deleted": Coding("110103", "D", balp="Delete"),
    "study.corrected": Coding("110110", "U", balp="Update"),
    "study.uncorrected": Coding("110110", "U", balp="Update"),
    "study.undeleted": Coding("110103", "C", balp="Create"),
    "series.undeleted": Coding("110103", "C", balp="Create"),
    "instance.undeleted": Coding("110103", "C", balp="Create"),
    "commitment": Coding("110103", "R", balp="Read"),
    "job.queued": Coding("110102", "E"),
    "job": Coding("110113", "E", "110131"),
    "remote": Coding("110113", "E", "110128"),
    "peer": Coding("110113", "E", "110128"),
    "route": Coding("110113", "E", "110128"),
    "index": Coding("110113", "E", "110131"),
    "reindex": Coding("110113", "E", "110131"),
    "audit.accepted": Coding("110113", "E", "110135"),
    "audit.read": Coding("110101", "R"),
    "message": Coding("110113", "E", "110131"),
    "webhook": Coding("110113", "E", "110128"),
    "login": Coding("110114", "E", "110122"),
    "session": Coding("110114", "E", "110123"),
    "identity.seen": Coding("110103", "R", balp="Read"),
    "identity": Coding("110110", "U", balp="Update"),
    "patient.asked": Coding("110113", "E", "110135"),
    "patient.answered": Coding("110113", "E", "110135"),
    "patient.request-read": Coding("110103", "R", balp="Read"),
    "patient": Coding("110110", "U", balp="Update"),
    "consent.seen": Coding("110103", "R", balp="Read"),
    "consent": Coding("110113", "E", "110135"),
    "kiosk": Coding("110113", "E", "110135"),
    "automatic": Coding("110113", "E", "110135"),
    "share.seen": Coding("110103", "R", balp="Read"),
    "share": Coding("110113", "E", "110135"),
    "grant": Coding("110113", "E", "110135"),
    "account.roles": Coding("110113", "E", "110136"),
    "account": Coding("110113", "E", "110137"),
    "contact": Coding("110113", "E", "110137"),
    "factor": Coding("110113", "E", "110137"),
    "token": Coding("110113", "E", "110137"),
    "archive.backed-up": Coding("110106", "R"),
    "archive.exported": Coding("110106", "R"),
    "archive.restored": Coding("110107", "C"),
    "archive.rekeyed": Coding("110113", "E", "110129"),
    "access.refused": Coding("110113", "E", "110147"),
    "glass.broken": Coding("110113", "E", "110127"),
    "glass.ended": Coding("110113", "E", "110138"),
    "glass.agreed": Coding("110113", "E", "110127"),
    "glass.reviewed": Coding("110113", "E", "110137"),
    "label": Coding("110113", "E", "110135"),
    "hold": Coding("110113", "E", "110135"),
    "care": Coding("110113", "E", "110135"),
    "carer": Coding("110113", "E", "110137"),
}

_MINOR, _SERIOUS = 4, 8
_FAILED = {"refused": _MINOR, "cancelled": _MINOR, "failed": _SERIOUS, "broken off": _SERIOUS}


def coding(kind: str) -> Coding:
    """Code a kind of act; one that is not known is a use of a restricted function."""
    words = kind.split(".")
    for count in range(len(words), 0, -1):
        found = _CODINGS.get(".".join(words[:count]))
        if found is not None:
            return found
    return _ALERT


def has_arrived(detail: Any) -> bool:  # the detail of a row `sent`, as JSON
    """Whether something of a transfer is known to have arrived: one that was tried may bring none.

    Of a row that does not say so it is believed.
    """
    if not isinstance(detail, dict) or "completed" not in detail:
        return True
    return bool(detail["completed"] or detail.get("warning"))


def outcome_of(row: Row) -> int:
    """Give the EventOutcomeIndicator (PS3.15 A.5.2): 0 done, 4 refused or in part, 8 failed."""
    told = _FAILED.get(row.outcome, 0)
    if row.kind == "sent" and isinstance(row.detail, dict) and row.detail.get("failed"):
        return max(told, _MINOR if has_arrived(row.detail) else _SERIOUS)
    return told
