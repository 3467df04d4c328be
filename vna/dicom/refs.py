"""How the house names things: levels, and references to a study, series, instance or frame."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NewType

from vna.errors import InvalidUID

UID = NewType("UID", str)
AETitle = NewType("AETitle", str)

_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)


class Level(enum.Enum):
    """The Query/Retrieve levels of PS3.4 C.6, from the top down."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


def uid(value: str) -> UID:
    """Take a UID from outside, its padding stripped.

    Only the characters and the length of PS3.5 9.1 are asked for: peers send UIDs with leading
    zeros in their components, and those must be kept. Raises `InvalidUID`.
    """
    bare = value.strip(" \0")
    if not _UID.fullmatch(bare):
        raise InvalidUID
    return UID(bare)


@dataclass(frozen=True, slots=True)
class StudyRef:
    """One study."""

    study: UID


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """One series of a study."""

    study: UID
    series: UID


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """One SOP Instance in its series and study."""

    study: UID
    series: UID
    instance: UID


Ref = StudyRef | SeriesRef | InstanceRef


@dataclass(frozen=True, slots=True)
class Within:
    """A part of the archive: the union of whole studies, series and single instances.

    Or, where `without` is given, all of it but those studies; then the others say nothing.
    """

    studies: frozenset[UID] = frozenset()
    series: frozenset[SeriesRef] = frozenset()
    instances: frozenset[InstanceRef] = frozenset()
    without: frozenset[UID] | None = None
