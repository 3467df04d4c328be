"""Outcomes -> Store Instances Response (PS3.18 10.5.3, Annex I): status, data set, warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vna.dicom.refs import StudyRef
from vna.ingest.outcome import AlreadyStored, Cause, Caution, Outcome, Refused, Stored
from vna.retrieve.payload import path_of

Elements = dict[str, Any]  # the DICOM JSON Model is untyped

# PS3.18 I.2.2, and PS3.7 Annex C for what that table leaves to us
FAILURE: dict[Cause, int] = {
    Cause.OUT_OF_RESOURCES: 0xA700,
    Cause.TOO_LARGE: 0xA700,
    Cause.CANNOT_UNDERSTAND: 0xC000,
    Cause.MISSING_IDENTITY: 0xC000,
    Cause.MISMATCH: 0xA900,
    Cause.SOP_CLASS: 0x0122,
    Cause.TRANSFER_SYNTAX: 0xC122,
    Cause.DUPLICATE: 0x0111,
    Cause.NOT_PERMITTED: 0x0124,
    Cause.FAILED: 0x0110,
}
WARNING: dict[Caution, int] = {
    Caution.DIFFERS: 0xB000,
    Caution.ELSEWHERE: 0xB000,
}
# Nothing was stored, all for one kind of reason (PS3.18 Table 10.5.3-1, 8.5); a mixture is 409.
_NOTHING: dict[Cause, int] = {
    Cause.OUT_OF_RESOURCES: 503,
    Cause.TOO_LARGE: 413,
    Cause.CANNOT_UNDERSTAND: 400,
    Cause.MISSING_IDENTITY: 400,
    Cause.NOT_PERMITTED: 403,
    Cause.FAILED: 500,
}
_WARNINGS_MOST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreResponse:
    """What the sender is told. `warnings` are sentences for Warning header fields."""

    status: int
    elements: Elements
    warnings: tuple[str, ...]


def respond(
    outcomes: Sequence[Outcome], root: str, *, warn_of_versions: bool = True
) -> StoreResponse:
    """Put the outcomes of one request into the words of the standard.

    `root` is the absolute URL of the service. Without `warn_of_versions` other content under a
    known SOP Instance UID, which is kept beside the first, is no warning to the sender.
    """
    if not warn_of_versions:
        outcomes = [_unwarned(outcome) for outcome in outcomes]
    stored = [o for o in outcomes if not isinstance(o, Refused)]
    refused = [o for o in outcomes if isinstance(o, Refused)]
    named = [o for o in refused if o.sop_class and o.sop_instance]
    others = [o for o in refused if not (o.sop_class and o.sop_instance)]
    studies = {o.ref.study for o in stored}
    url = f"{root}/studies/{studies.pop()}" if len(studies) == 1 else None
    elements: Elements = {"00081190": _one("UR", url)}
    _put(elements, "00081198", named, _failed)
    _put(elements, "00081199", stored, lambda o: _referenced(o, root))
    _put(elements, "0008119A", others, lambda o: {"00081197": _one("US", FAILURE[o.cause])})
    said = dict.fromkeys(_sentence(o) for o in outcomes)
    return StoreResponse(
        status=_status(stored, refused),
        elements=elements,
        warnings=tuple(text for text in said if text)[:_WARNINGS_MOST],
    )


def study_of(outcomes: Sequence[Outcome]) -> StudyRef | None:
    """Return the study everything stored belongs to, when it is one."""
    studies = {o.ref.study for o in outcomes if not isinstance(o, Refused)}
    return StudyRef(studies.pop()) if len(studies) == 1 else None


def _status(stored: Sequence[Stored | AlreadyStored], refused: Sequence[Refused]) -> int:
    if stored:
        cautioned = any(isinstance(o, Stored) and o.caution for o in stored)
        return 202 if refused or cautioned else 200
    statuses = {_NOTHING.get(o.cause, 409) for o in refused}
    return statuses.pop() if len(statuses) == 1 else 409


def _put(
    elements: Elements, tag: str, found: Sequence[Any], write: Callable[[Any], Elements]
) -> None:
    """Add a sequence; it is absent rather than empty (Table I.1-1: Type 1C)."""
    if found:
        elements[tag] = {"vr": "SQ", "Value": [write(outcome) for outcome in found]}


def _failed(outcome: Refused) -> Elements:
    return {
        "00081150": _one("UI", outcome.sop_class),
        "00081155": _one("UI", outcome.sop_instance),
        "00081197": _one("US", FAILURE[outcome.cause]),
    }


def _referenced(outcome: Stored | AlreadyStored, root: str) -> Elements:
    elements = {
        "00081150": _one("UI", outcome.sop_class),
        "00081155": _one("UI", outcome.ref.instance),
        "00081190": _one("UR", f"{root}{path_of(outcome.ref)}"),
    }
    if isinstance(outcome, Stored) and outcome.caution is not None:
        elements["00081196"] = _one("US", WARNING[outcome.caution])
    return elements


def _one(vr: str, value: str | int | None) -> Elements:
    return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}


def _unwarned(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Stored) and outcome.caution is Caution.DIFFERS:
        return Stored(ref=outcome.ref, sop_class=outcome.sop_class)
    return outcome


def _sentence(outcome: Outcome) -> str:
    """Say what is the matter, with its code, where something is."""
    if isinstance(outcome, Refused):
        return f"{FAILURE[outcome.cause]:04X} {outcome.message}"
    if isinstance(outcome, Stored) and outcome.caution is not None:
        return f"{WARNING[outcome.caution]:04X} {outcome.message}"
    return ""
