"""The columns that search may touch: a whitelist from attributes to SQL, and nothing else.

Aliases everywhere: s study, t study_state, e series, r series_state, i instance. An attribute
without a column of its own is matched in the `terms` of its level.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

from vna.dicom.attributes import CHARACTER_SET, INDEXED
from vna.dicom.refs import Level


class Kind(enum.Enum):
    """In which form a column holds its attribute."""

    TEXT = "text"
    NAME = "name"
    DATE = "date"
    TIME = "time"
    NUMBER = "number"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `answer` holds the attribute as received, `codes` its phonetic codes."""

    sql: LiteralString
    kind: Kind
    answer: LiteralString
    codes: LiteralString = ""


def _table(
    answer: LiteralString, columns: Mapping[str, tuple[LiteralString, Kind]]
) -> dict[str, Column]:
    return {tag: Column(sql, kind, answer) for tag, (sql, kind) in columns.items()}


PATIENT_COLUMNS = {
    "00100010": Column("s.patient_name", Kind.NAME, "s.answer", "s.patient_codes"),
    **_table(
        "s.answer",
        {
            "00100020": ("s.patient_id", Kind.TEXT),
            "00100021": ("s.issuer", Kind.TEXT),
            "00100030": ("s.birth_date", Kind.DATE),
            "00100040": ("s.sex", Kind.TEXT),
        },
    ),
}
STUDY_COLUMNS = {
    "00080090": Column("s.referring", Kind.NAME, "s.answer", "s.referring_codes"),
    **_table(
        "s.answer",
        {
            "0020000D": ("s.study_uid", Kind.TEXT),
            "00080020": ("s.study_date", Kind.DATE),
            "00080030": ("s.study_time", Kind.TIME),
            "00080050": ("s.accession", Kind.TEXT),
            "00200010": ("s.study_id", Kind.TEXT),
            "00081030": ("s.description", Kind.TEXT),
            "00080061": ("t.modalities", Kind.LIST),
            "00080062": ("t.sop_classes", Kind.LIST),
            "00201206": ("t.series", Kind.NUMBER),
            "00201208": ("t.instances", Kind.NUMBER),
        },
    ),
}
SERIES_COLUMNS = _table(
    "e.answer",
    {
        "0020000E": ("e.series_uid", Kind.TEXT),
        "00080060": ("e.modality", Kind.TEXT),
        "00200011": ("e.series_number", Kind.NUMBER),
        "0008103E": ("e.description", Kind.TEXT),
        "00180015": ("e.body_part", Kind.TEXT),
        "00200060": ("e.laterality", Kind.TEXT),
        "00400244": ("e.step_date", Kind.DATE),
        "00400245": ("e.step_time", Kind.TIME),
        "00201209": ("r.instances", Kind.NUMBER),
    },
)
INSTANCE_COLUMNS = _table(
    "i.answer",
    {
        "00080018": ("i.sop_instance_uid", Kind.TEXT),
        "00080016": ("i.sop_class_uid", Kind.TEXT),
        "00083002": ("i.transfer_syntax_uid", Kind.TEXT),
        "00200013": ("i.instance_number", Kind.NUMBER),
        "00080023": ("i.content_date", Kind.DATE),
        "00080033": ("i.content_time", Kind.TIME),
        "00280010": ("i.image_rows", Kind.NUMBER),
        "00280011": ("i.image_columns", Kind.NUMBER),
        "00280100": ("i.bits_allocated", Kind.NUMBER),
        "00280008": ("i.frames", Kind.NUMBER),
    },
)

_OF_LEVEL: Mapping[Level, tuple[Mapping[str, Column], LiteralString]] = {
    Level.PATIENT: (PATIENT_COLUMNS, "s.terms"),
    Level.STUDY: (STUDY_COLUMNS, "s.terms"),
    Level.SERIES: (SERIES_COLUMNS, "e.terms"),
    Level.IMAGE: (INSTANCE_COLUMNS, "i.terms"),
}
_FROM_THE_TOP = tuple(Level)


def columns_of(level: Level) -> dict[str, Column]:
    """List the columns a search at this level may match on: its own and those of levels above."""
    found: dict[str, Column] = {}
    for one in _FROM_THE_TOP[: _FROM_THE_TOP.index(level) + 1]:
        found |= _OF_LEVEL[one][0]
    return found


def terms_of(level: Level) -> dict[str, LiteralString]:
    """List the attributes without a column a search at this level may match on, and where."""
    found: dict[str, LiteralString] = {}
    for one in _FROM_THE_TOP[: _FROM_THE_TOP.index(level) + 1]:
        columns, terms = _OF_LEVEL[one]
        found |= {tag: terms for tag in INDEXED[one] if tag not in columns and tag != CHARACTER_SET}
    return found


BY_LEVEL: Mapping[Level, tuple[Mapping[str, Column], Mapping[str, LiteralString]]] = {
    level: (columns_of(level), terms_of(level)) for level in Level
}
