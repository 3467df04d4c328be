"""A row of the trail as DICOM audit messages (PS3.15 A.5), each one XML element.

Who takes part in which role is that of A.5.3, as far as the row knows: of what is not held any more
nobody can say whose it was.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

import orjson

from vna.access.coding import MEANINGS, Coding, coding, outcome_of
from vna.access.trail import Patient, Row

_STUDY, _PATIENT, _LOG, _QUERIED = ("2", "3"), ("1", "1"), ("2", "13"), ("2", "3")
_PATIENT_NUMBER, _URI = "2", "12"  # RFC 3881 5.5.4, as PS3.15 A.5.2 takes it over
_NOT_XML = {number: "\ufffd" for number in range(32) if number not in (9, 10, 13)}
_NOT_XML |= {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


_BEGUN, _ACCESSED, _TRANSFERRED, _DELETED = "110102", "110103", "110104", "110105"
_EXPORT, _IMPORT, _QUERY, _AUTHENTICATION = "110106", "110107", "110112", "110114"
_OF_ONE_PATIENT = frozenset((_BEGUN, _ACCESSED, _TRANSFERRED, _DELETED))
_DESTINATION, _SOURCE, _DESTINATION_MEDIA, _SOURCE_MEDIA = "110152", "110153", "110154", "110155"
_MEDIA_URI = "110037"
_MACHINE, _IP, _BY_URI = "1", "2", "5"  # NetworkAccessPointTypeCode


def messages(row: Row, source: str, patients: Mapping[str, Patient]) -> list[bytes]:
    """Write the AuditMessages of a row: one, or one a patient where each is about one alone.

    `source` names this archive (AuditSourceID).
    """
    code, studies = coding(row.kind), row.studies()
    if code.event not in _OF_ONE_PATIENT:
        return [_message(row, code, source, studies, patients)]
    by_patient: dict[Patient | None, list[str]] = {}
    for study in studies:
        by_patient.setdefault(patients.get(study), []).append(study)
    groups = list(by_patient.values()) or [[]]
    return [_message(row, code, source, group, patients) for group in groups]


def _message(
    row: Row, code: Coding, source: str, studies: Sequence[str], patients: Mapping[str, Patient]
) -> bytes:
    root = Element("AuditMessage")
    event = SubElement(
        root,
        "EventIdentification",
        EventActionCode=code.action,
        EventDateTime=row.at.isoformat(),
        EventOutcomeIndicator=str(outcome_of(row)),
    )
    _coded(event, "EventID", code.event)
    if code.type is not None:
        _coded(event, "EventTypeCode", code.type)
    _participants(root, row, code, source)
    SubElement(root, "AuditSourceIdentification", AuditSourceID=_text(source))
    _objects(root, row, code.event, studies, patients)
    made: bytes = tostring(root, encoding="utf-8", xml_declaration=False)
    return made


def _participants(root: Element, row: Row, code: Coding, source: str) -> None:
    """Name who asked, and who did it, each in the role the message wants (PS3.15 A.5.3)."""
    asks = _participant(root, row.principal, requestor=True)
    if row.actor_kind == "ae":
        asks.set("AlternativeUserID", f"AETITLES={_text(row.principal)}")
    if row.address:
        _reached(asks, row.address, _IP)
    elif code.event == _AUTHENTICATION:
        _reached(asks, source, _MACHINE)  # at a shell
    to = row.detail.get("to") or row.detail.get("remote")
    if code.event == _QUERY or (code.event == _TRANSFERRED and code.action == "C"):
        _coded(asks, "RoleIDCode", _SOURCE)
        _coded(_participant(root, source), "RoleIDCode", _DESTINATION)
    elif code.event == _IMPORT:
        _coded(asks, "RoleIDCode", _DESTINATION)
        _coded(_participant(root, source), "RoleIDCode", _DESTINATION)
        _media(root, row.kind, _SOURCE_MEDIA)
    elif code.event == _EXPORT:
        # what is disclosed is fetched by who asks; a disc or a backup is made by them
        _coded(asks, "RoleIDCode", _SOURCE if code.balp is None else _DESTINATION)
        _coded(_participant(root, source), "RoleIDCode", _SOURCE)
        if to:
            _coded(_participant(root, str(to)), "RoleIDCode", _DESTINATION)
        _media(root, row.kind, _DESTINATION_MEDIA)
    elif code.event in (_BEGUN, _TRANSFERRED):
        _coded(_participant(root, source), "RoleIDCode", _SOURCE)
        _coded(_participant(root, str(to or row.principal)), "RoleIDCode", _DESTINATION)


def _media(root: Element, kind: str, role: str) -> None:
    """Name what the data came from or went to, in the form A.5.2.1 prefers: a URI."""
    media = _participant(root, f"vna:{kind}")
    _reached(media, f"vna:{kind}", _BY_URI)
    _coded(media, "RoleIDCode", role)
    _coded(SubElement(media, "MediaIdentifier"), "MediaType", _MEDIA_URI)


def _reached(participant: Element, where: str, sort: str) -> None:
    participant.set("NetworkAccessPointID", _text(where))
    participant.set("NetworkAccessPointTypeCode", sort)


def _participant(root: Element, user: str, *, requestor: bool = False) -> Element:
    asks = "true" if requestor else "false"
    return SubElement(root, "ActiveParticipant", UserID=_text(user), UserIsRequestor=asks)


def _objects(
    root: Element,
    row: Row,
    event: str,
    studies: Sequence[str],
    patients: Mapping[str, Patient],
) -> None:
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
    elif event == _QUERY:
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
