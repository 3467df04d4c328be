"""Which SOP Classes and Transfer Syntaxes this edge takes, and for what."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache

from vna.dicom import dictionary
from vna.dicom.identifiers import Model
from vna.dicom.uids import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    TRANSFER_SYNTAXES,
    storage_classes,
)

VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_STUDY_ONLY_FIND = "1.2.840.10008.5.1.4.1.2.3.1"  # retired, and still asked for
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_MOVE = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET = "1.2.840.10008.5.1.4.1.2.3.3"
COMMITMENT_PUSH = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # the well-known one (PS3.4 J.3.5)


class Service(enum.Enum):
    """What a Presentation Context is for."""

    VERIFICATION = "verification"
    STORAGE = "storage"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    COMMITMENT = "commitment"


FIND_MODELS: Mapping[str, Model] = {
    PATIENT_ROOT_FIND: Model.PATIENT_ROOT,
    STUDY_ROOT_FIND: Model.STUDY_ROOT,
    PATIENT_STUDY_ONLY_FIND: Model.PATIENT_STUDY_ONLY,
}
MOVE_MODELS: Mapping[str, Model] = {
    PATIENT_ROOT_MOVE: Model.PATIENT_ROOT,
    STUDY_ROOT_MOVE: Model.STUDY_ROOT,
    PATIENT_STUDY_ONLY_MOVE: Model.PATIENT_STUDY_ONLY,
}
GET_MODELS: Mapping[str, Model] = {
    PATIENT_ROOT_GET: Model.PATIENT_ROOT,
    STUDY_ROOT_GET: Model.STUDY_ROOT,
    PATIENT_STUDY_ONLY_GET: Model.PATIENT_STUDY_ONLY,
}

STORAGE_SYNTAXES = frozenset(TRANSFER_SYNTAXES)
MESSAGE_SYNTAXES = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED))

_NOT_OF_A_PATIENT = frozenset(
    f"1.2.840.10008.5.1.4.{number}"
    for number in (
        *("1.1.200.1", "1.1.200.3", "1.1.200.7", "1.1.201.1"),  # protocols, inventories
        *("38.1", "39.1", "43.1", "44.1", "45.1"),  # hanging protocols, palettes, implants
    )
)
_RETIRED = frozenset(  # films and a trial: no composite objects of the Storage Service
    ("1.2.840.10008.5.1.1.27", "1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30")
) | {"1.2.840.10008.5.1.4.34.1"}

STORAGE_CLASSES = storage_classes() - _NOT_OF_A_PATIENT - _RETIRED


@lru_cache(maxsize=4096)
def service_of(sop_class: str, *, unknown_storage: bool) -> Service | None:
    """Say what a SOP Class is for, None when it is nothing for us.

    A class no table knows, private or of a later standard, is taken for storage if the setting
    says so: a Storage SOP Class is what a peer is most likely to come with.
    """
    if sop_class in STORAGE_CLASSES:
        return Service.STORAGE
    if sop_class == VERIFICATION:
        return Service.VERIFICATION
    if sop_class in FIND_MODELS:
        return Service.FIND
    if sop_class in MOVE_MODELS:
        return Service.MOVE
    if sop_class in GET_MODELS:
        return Service.GET
    if sop_class == COMMITMENT_PUSH:
        return Service.COMMITMENT
    known = sop_class in dictionary.uids()
    return Service.STORAGE if sop_class and unknown_storage and not known else None


def syntaxes_of(service: Service) -> frozenset[str]:
    """Return the Transfer Syntaxes a service takes."""
    if service is Service.STORAGE:
        return STORAGE_SYNTAXES
    if service is Service.VERIFICATION:
        return MESSAGE_SYNTAXES - {DEFLATED}  # it has no data set
    return MESSAGE_SYNTAXES
