"""A row of the trail as a DICOM audit message (PS3.15 A.5): one XML element."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

import orjson

from vna.access.coding import MEANINGS, coding, outcome_of
from vna.access.trail import Patient, Row

_STUDY, _PATIENT, _LOG, _QUERIED = ("2", "3"), ("1", "1"), ("2", "13"), ("2", "3")
_PATIENT_NUMBER, _URI = "2", "12"  # RFC 3881 5.5.4, as PS3.15 A.5.2 takes it over
_NOT_XML = {number: "\ufffd" for number in range(32) if number not in (9, 10, 13)}
_NOT_XML |= {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


def message(row: Row, source: str, patients: Mapping[str, Patient]) -> bytes:
    """Write the AuditMessage of a row. `source` names this archive (AuditSourceID)."""
    code = coding(row.kind)
    root = Element("AuditMessage")
    event = SubElement(
        root,
        "EventIdentification",
        EventActionCode=code.action,
        EventDateTime=row.at.isoformat(),
        EventOutcomeIndicator=str(outcome_of(row.outcome)),
    )
    _coded(event, "EventID", code.event)
    if code.type is not None:
        _coded(event, "EventTypeCode", code.type)
    _participants(root, row, code.event, source)
    SubElement(root, "AuditSourceIdentification", AuditSourceID=_text(source))
    _objects(root, row, code.event, patients)
    made: bytes = tostring(root, encoding="utf-8", xml_declaration=False)
    return made


def _participants(root: Element, row: Row, event: str, source: str) -> None:
    """Who asked, and who did it: the archive, in the role the message wants (PS3.15 A.5.3)."""
    asks = _participant(root, row.principal, requestor=True)
    if row.actor_kind == "ae":
        asks.set("AlternativeUserID", f"AETITLES={_text(row.principal)}")
    if row.address:
        asks.set("NetworkAccessPointID", _text(row.address))
        asks.set("NetworkAccessPointTypeCode", "2")  # an IP address
    if event in ("110112", "110107"):
        _coded(asks, "RoleIDCode", "110153")
        _coded(_participant(root, source), "RoleIDCode", "110152")
    elif event in ("110102", "110104", "110106"):
        _coded(_participant(root, source), "RoleIDCode", "110153")
        to = row.detail.get("to") or row.detail.get("remote") or row.principal
        _coded(_participant(root, str(to)), "RoleIDCode", "110152")


def _participant(root: Element, user: str, *, requestor: bool = False) -> Element:
    asks = "true" if requestor else "false"
    return SubElement(root, "ActiveParticipant", UserID=_text(user), UserIsRequestor=asks)


def _objects(root: Element, row: Row, event: str, patients: Mapping[str, Patient]) -> None:
    studies = row.studies()
    for study in studies:
        found = _object(root, study, _STUDY)
        _coded(found, "ParticipantObjectIDTypeCode", "110180")
        SubElement(found, "ParticipantObjectName").text = "Study"
        for name, value in (("Series", row.series), ("Instance", row.instance)):
            if value is not None:
                _detail(found, name, value)
    for patient in dict.fromkeys(patients[study] for study in studies if study in patients):
        found = _object(root, f"{patient.patient_id}^^^{patient.issuer}", _PATIENT)
        _coded(found, "ParticipantObjectIDTypeCode", _PATIENT_NUMBER)
        SubElement(found, "ParticipantObjectName").text = "Patient"
    if event == "110101":
        found = _object(root, "vna:audit", _LOG)
        _coded(found, "ParticipantObjectIDTypeCode", _URI)
        SubElement(found, "ParticipantObjectName").text = "Security Audit Log"
    elif event == "110112":
        found = _object(root, "vna:query", _QUERIED)
        _coded(found, "ParticipantObjectIDTypeCode", _URI)
        asked = base64.b64encode(orjson.dumps(row.detail))
        SubElement(found, "ParticipantObjectQuery").text = asked.decode()
    elif event == "110113":
        found = _object(root, f"vna:{row.kind}", ("2", "5"))
        _coded(found, "ParticipantObjectIDTypeCode", _URI)
        SubElement(found, "ParticipantObjectName").text = row.kind
        _detail(found, "Alert Description", orjson.dumps(row.detail).decode())


def _object(root: Element, of: str, sort: tuple[str, str]) -> Element:
    return SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_text(of),
        ParticipantObjectTypeCode=sort[0],
        ParticipantObjectTypeCodeRole=sort[1],
    )


def _detail(found: Element, name: str, value: str) -> None:
    coded = base64.b64encode(value.encode()).decode()
    SubElement(found, "ParticipantObjectDetail", type=name, value=coded)


def _coded(parent: Element, name: str, code: str) -> None:
    """Add a coded value: of DCM, or one of the numbers of RFC 3881."""
    meaning, system = MEANINGS.get(code), "DCM"
    if meaning is None:
        meaning = {_PATIENT_NUMBER: "Patient Number", _URI: "URI"}[code]
        system = "RFC-3881"
    attributes = {"csd-code": code, "codeSystemName": system, "originalText": meaning}
    SubElement(parent, name, attributes)


def _text(text: str) -> str:
    """Make a peer's text one that XML may hold."""
    return text.translate(_NOT_XML)
