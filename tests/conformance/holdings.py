"""Two studies that differ in everything that can be asked for, served by both protocols."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import TestPostgres
from tests.dimse.edge import Edge
from tests.factories import CT, JPEG, Instance, compressed, ct, uid
from tests.web.conftest import Site, serving
from vna.dicom.refs import Level
from vna.dicom.searchable import read
from vna.dimse.scps import services

MR = "1.2.840.10008.5.1.4.1.1.4"

FIRST: dict[str, Any] = {
    "StudyDate": "20240105",
    "StudyTime": "101500",
    "AccessionNumber": "ACC1",
    "ReferringPhysicianName": "Adams^Ann",
    "StudyID": "ID1",
    "StudyDescription": "Chest",
    "TimezoneOffsetFromUTC": "+0100",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "PatientAge": "054Y",
    "PatientComments": "left",
    "AdmittingDiagnosesDescription": ["cough", "fever"],
    "PerformedProcedureStepStartDate": "20240105",
    "PerformedProcedureStepStartTime": "102000",
    "RequestAttributesSequence": [
        {"ScheduledProcedureStepID": "SPS1", "RequestedProcedureID": "RP1"},
        {"ScheduledProcedureStepID": "SPS1b", "RequestedProcedureID": "RP1b"},
    ],
    "AdmissionID": "ADM1",
    "OperatorsName": "Tech^One",
    "KVP": "120",
    "ContentDate": "20240105",
    "ContentTime": "103000",
}
SECOND: dict[str, Any] = {
    "StudyDate": "20240310",
    "StudyTime": "160000",
    "AccessionNumber": "ACC2",
    "ReferringPhysicianName": "Brown^Bob",
    "StudyID": "ID2",
    "StudyDescription": "Head",
    "PatientBirthDate": "19801231",
    "PatientSex": "M",
    "PerformedProcedureStepStartDate": "20240310",
    "PerformedProcedureStepStartTime": "161000",
    "RequestAttributesSequence": [
        {"ScheduledProcedureStepID": "SPS2", "RequestedProcedureID": "RP2"}
    ],
    "AdmissionID": "ADM2",
    "OperatorsName": "Tech^Two",
    "KVP": "80",
    "SeriesNumber": "7",
}


def private(value: str, block: str = "10") -> list[tuple[str, str, Any]]:
    """A private attribute of a creator."""
    return [(f"001100{block}", "LO", "ACME 1.1"), (f"0011{block}01", "LO", value)]


def stored() -> list[Instance]:
    """A CT and a PET series of one patient, a compressed MR of another, a third without most."""
    mine = {"patient_id": "PAT1", "patient_name": "Müller^Jörg^^Dr", "rows": 4, "columns": 6}
    first = [
        ct(1, 1, n, **mine, values=FIRST | {"SeriesNumber": "1"}, extra=private("one"))
        for n in (1, 2)
    ]
    pet = FIRST | {"SeriesNumber": "2", "KVP": None}
    first.append(ct(1, 2, 1, **mine, modality="PT", values=pet, extra=private("one")))
    second = compressed(
        [[b"\xff\xd8\xff\xd9"]] * 3,
        transfer_syntax=JPEG,
        study=2,
        patient_id="PAT2",
        patient_name="Smith^John=山田^太郎=やまだ^たろう",
        charset="ISO_IR 192",
        codec="utf-8",
        values=SECOND | {"SOPClassUID": MR, "Modality": "MR"},
        extra=private("two", "42"),
    )
    bare = ct(
        3,
        patient_id="PAT3",
        patient_name="Smythe^Joan",
        values=dict.fromkeys(
            ["StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"], ""
        )
        | {"StudyDescription": None, "PatientBirthDate": "19600606", "PatientSex": "O"},
    )
    return [*first, second, bare]


ADDED: list[tuple[str, dict[str, Any]]] = [
    ("AdmissionID", {}),
    ("OperatorsName", {}),
    ("KVP", {}),
    ('00111001:"ACME 1.1"', {"vr": "LO", "level": Level.STUDY}),
]


@contextlib.contextmanager
def held(postgres: TestPostgres, folder: Path, **limits: Any) -> Iterator[Site]:
    """Serve the studies over DICOMweb, some attributes made searchable before they came."""
    with serving(postgres, folder, limits={"search_rows": 10, **limits}) as site:
        index = site.archive.search_index
        index.settled_s = index.swept_s = 0.0
        for text, how in ADDED:
            index.add(site.archive.who, read(text, **how))
        while index.walk() is not None:
            index.step()
        for one in stored():
            assert site.store(one.part10()).status_code == 200
        yield site


@contextlib.contextmanager
def dicom_edge(site: Site) -> Iterator[Edge]:
    """Serve the same archive over DICOM."""
    settings = site.engines.settings
    edge = Edge(settings, services(site.engines, settings), 1, 30.0)
    try:
        yield edge
    finally:
        edge.close()


__all__ = ["ADDED", "CT", "FIRST", "JPEG", "MR", "SECOND", "dicom_edge", "held", "uid"]
