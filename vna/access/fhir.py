"""A row of the trail as an AuditEvent of FHIR R4, by IHE Basic Audit Log Patterns (BALP 1.1.3)."""

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
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_DISCLOSED = "PrivacyDisclosure.Source"
# the profiles of what is done to a resource; each has one for a patient's beside it
_INTERACTIONS = {name: name.lower() for name in ("Create", "Read", "Update", "Delete")}
_INTERACTIONS["Query"] = "search"


def audit_event(row: Row, source: str, patients: Mapping[str, Patient]) -> dict[str, Any]:
    """Write the AuditEvent of a row; `source` names this archive. The id is the row's own.

    It names its BALP profile where there is one and all is known that the profile asks for.
    """
    code = coding(row.kind)
    whose = list(dict.fromkeys(patients[s] for s in row.studies() if s in patients))
    made: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"audit-{row.audit_id}",
        **_kind(code),
        "action": code.action,
        "recorded": row.at.isoformat(timespec="milliseconds"),
        "outcome": str(outcome_of(row)),
        "outcomeDesc": row.outcome,
        "agent": _agents(row, source, code),
        "source": {"observer": {"display": source}, "type": [_security_source()]},
    }
    entities = _things(row, code) + [_patient(found) for found in whose]
    if entities:
        made["entity"] = entities
    profile = _profile(made, code, len(whose))
    if profile is not None:
        made["meta"] = {"profile": [_BALP + profile]}
    return made


def _profile(made: Mapping[str, Any], code: Coding, patients: int) -> str | None:
    """Name the profile an event keeps to: of what went well, with both ends, about one thing."""
    if code.balp is None or made["outcome"] != "0" or patients > 1:
        return None
    if len(made["agent"]) != 2 or not all("network" in agent for agent in made["agent"]):
        return None
    things = len(made.get("entity", ())) - patients
    if code.balp == _DISCLOSED:
        return code.balp if patients and things else None
    return f"{'Patient' if patients else ''}{code.balp}" if things == 1 else None


def _kind(code: Coding) -> dict[str, Any]:
    """Say what happened: to a resource, by its interaction first, else by the DICOM code."""
    interaction = _INTERACTIONS.get(code.balp or "")
    if interaction is not None:
        subtype = {"system": _INTERACTION, "code": interaction, "display": interaction}
        rest = {"system": _REST, "code": "rest", "display": "RESTful Operation"}
        # a deletion has the one subtype alone
        more = [] if code.balp == "Delete" else [_dcm(code.event)]
        return {"type": rest, "subtype": [subtype, *more]}
    made: dict[str, Any] = {"type": _dcm(code.event)}
    if code.balp == _DISCLOSED:
        made["subtype"] = [{"system": _LIFECYCLE, "code": "disclose", "display": "disclose"}]
    elif code.type is not None:
        made["subtype"] = [_dcm(code.type)]
    return made


def _agents(row: Row, source: str, code: Coding) -> list[dict[str, Any]]:
    there, here = _ends(code)
    asks: dict[str, Any] = {"type": there, "who": {"display": row.principal}, "requestor": True}
    if row.address:
        asks["network"] = {"address": row.address, "type": "2"}
    ours: dict[str, Any] = {"type": here, "who": {"display": source}, "requestor": False}
    ours["network"] = {"address": source, "type": "1"}  # by its name
    agents = [asks, ours]
    to = row.detail.get("to")
    if isinstance(to, str):
        agents.append({"who": {"display": to}, "requestor": False})
    return agents


def _ends(code: Coding) -> tuple[dict[str, Any], dict[str, Any]]:
    """Say what the asker and the archive are in this: where data comes from and where it goes."""
    if code.balp == "Delete":
        custodian = {"system": _PARTICIPANT, "code": "custodian", "display": "Custodian"}
        return {"coding": [_dcm("110150")]}, {"coding": [custodian]}
    from_us = code.event in ("110102", "110104", "110106", "110103")
    if code.balp in _INTERACTIONS:
        from_us = code.balp == "Read"
    ends = {"coding": [_dcm("110152")]}, {"coding": [_dcm("110153")]}
    return ends if from_us else (ends[1], ends[0])


def _things(row: Row, code: Coding) -> list[dict[str, Any]]:
    """Name what it was about: the query alone where there was one, for that names the rest."""
    if code.event == "110112":
        asked = base64.b64encode(orjson.dumps(row.detail)).decode()
        return [{**_entity(None, "2", "24", "Query"), "query": asked}]
    things = [_study(study) for study in row.studies()]
    if code.event == "110101":
        things.append(_entity({"display": "Security Audit Log"}, "2", "13", "Security Resource"))
    return things


def _study(study: str) -> dict[str, Any]:
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}
    return _entity({"identifier": identifier}, "2", "3", "Report")


def _patient(patient: Patient) -> dict[str, Any]:
    identifier = {"value": patient.patient_id, "assigner": {"display": patient.issuer}}
    return _entity({"type": "Patient", "identifier": identifier}, "1", "1", "Patient")


def _entity(what: dict[str, Any] | None, sort: str, role: str, meaning: str) -> dict[str, Any]:
    kind = {"1": "Person", "2": "System Object"}[sort]
    return {
        **({} if what is None else {"what": what}),
        "type": {"system": _ENTITY, "code": sort, "display": kind},
        "role": {"system": _ROLE, "code": role, "display": meaning},
    }


def _dcm(code: str) -> dict[str, str]:
    return {"system": _DCM, "code": code, "display": MEANINGS[code]}


def _security_source() -> dict[str, str]:
    system = "http://terminology.hl7.org/CodeSystem/security-source-type"
    return {"system": system, "code": "4", "display": "Application Server"}
