"""A row of the trail as an AuditEvent of FHIR R4, in the style of IHE Basic Audit Log Patterns."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from vna.access.coding import MEANINGS, Coding, coding, outcome_of
from vna.access.trail import Patient, Row

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
# the profiles of what is done to a resource; each has one for a patient's beside it
_INTERACTIONS = {name: name.lower() for name in ("Create", "Read", "Update", "Delete")}
_INTERACTIONS["Query"] = "search"


def audit_event(row: Row, source: str, patients: Mapping[str, Patient]) -> dict[str, Any]:
    """Write the AuditEvent of a row; `source` names this archive. The id is the row's own."""
    code = coding(row.kind)
    whose = list(dict.fromkeys(patients[s] for s in row.studies() if s in patients))
    made: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"audit-{row.audit_id}",
        **_kind(code),
        "action": code.action,
        "recorded": row.at.isoformat(timespec="milliseconds"),
        "outcome": str(outcome_of(row.outcome)),
        "outcomeDesc": row.outcome,
        "agent": _agents(row, source, code.event),
        "source": {"observer": {"display": source}, "type": [_security_source()]},
    }
    if code.balp is not None:
        is_patients = code.balp in _INTERACTIONS and bool(whose)
        made["meta"] = {"profile": [f"{_BALP}{'Patient' if is_patients else ''}{code.balp}"]}
    entities = [_study(study) for study in row.studies()] + [_patient(found) for found in whose]
    if code.event == "110101":
        entities.append(_entity({"display": "Security Audit Log"}, "2", "13", "Security Resource"))
    if code.event == "110112":
        asked = base64.b64encode(orjson.dumps(row.detail)).decode()
        entities.append({**_entity({"display": "Query"}, "2", "24", "Query"), "query": asked})
    if entities:
        made["entity"] = entities
    return made


def _kind(code: Coding) -> dict[str, Any]:
    """Say what happened: to a resource, by its interaction first, else by the DICOM code."""
    interaction = _INTERACTIONS.get(code.balp or "")
    if interaction is not None:
        subtype = {"system": _INTERACTION, "code": interaction, "display": interaction}
        rest = {"system": _REST, "code": "rest", "display": "RESTful Operation"}
        return {"type": rest, "subtype": [subtype, _dcm(code.event)]}
    made: dict[str, Any] = {"type": _dcm(code.event)}
    if code.type is not None:
        made["subtype"] = [_dcm(code.type)]
    return made


def _agents(row: Row, source: str, event: str) -> list[dict[str, Any]]:
    asks: dict[str, Any] = {"who": {"display": row.principal}, "requestor": True}
    if row.address:
        asks["network"] = {"address": row.address, "type": "2"}
    ours: dict[str, Any] = {"who": {"display": source}, "requestor": False}
    from_us = event in ("110102", "110104", "110106", "110103")
    asks["type"] = {"coding": [_dcm("110152" if from_us else "110153")]}
    ours["type"] = {"coding": [_dcm("110153" if from_us else "110152")]}
    agents = [asks, ours]
    to = row.detail.get("to")
    if isinstance(to, str):
        there = {"type": asks["type"], "who": {"display": to}, "requestor": False}
        agents.append(there)
    return agents


def _study(study: str) -> dict[str, Any]:
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}
    return _entity({"identifier": identifier}, "2", "3", "Report")


def _patient(patient: Patient) -> dict[str, Any]:
    identifier = {"value": patient.patient_id, "assigner": {"display": patient.issuer}}
    return _entity({"type": "Patient", "identifier": identifier}, "1", "1", "Patient")


def _entity(what: dict[str, Any], sort: str, role: str, meaning: str) -> dict[str, Any]:
    kind = {"1": "Person", "2": "System Object"}[sort]
    return {
        "what": what,
        "type": {"system": _ENTITY, "code": sort, "display": kind},
        "role": {"system": _ROLE, "code": role, "display": meaning},
    }


def _dcm(code: str) -> dict[str, str]:
    return {"system": _DCM, "code": code, "display": MEANINGS[code]}


def _security_source() -> dict[str, str]:
    system = "http://terminology.hl7.org/CodeSystem/security-source-type"
    return {"system": system, "code": "4", "display": "Application Server"}
