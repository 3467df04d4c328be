"""The Identifier of a C-MOVE or C-GET request -> what it selects (PS3.4 C.4.2.1.4, C.4.2.2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vna.dicom.attributes import KEYS
from vna.dicom.identifiers import Model, read_level, text_of
from vna.dicom.matchkeys import name_of
from vna.dicom.refs import UID, Level, uid
from vna.errors import InvalidQuery
from vna.index.select import Selection

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR


def selection(model: Model, elements: Elements, *, relational: bool) -> Selection:
    """Read the Unique Keys and hold them against the model. Raises `InvalidQuery`, `InvalidUID`.

    At the level itself a UID or a list of UIDs is asked for, and one value at each level above;
    with `relational` those above may be left out. Attributes that are no Unique Keys are passed
    over: peers send them, and PS3.4 gives them no meaning.
    """
    level = read_level(model, elements)
    at = model.levels.index(level)
    for below in model.levels[at + 1 :]:
        if _values(elements, below):
            raise InvalidQuery(f"{_name(below)} stands below the level {level.value} asked for.")
    for above in model.levels[:at]:
        count = len(_values(elements, above))
        if not relational and count != 1:
            raise InvalidQuery(
                f"A retrieval at level {level.value} needs one value of {_name(above)}, the level"
                " above, unless relational retrieval was negotiated."
            )
    if not _values(elements, level):
        raise InvalidQuery(f"A retrieval at level {level.value} needs {_name(level)}.")
    return Selection(
        level=level,
        patient_id=_patient(elements) if Level.PATIENT in model.levels else "",
        studies=_uids(elements, Level.STUDY),
        series=_uids(elements, Level.SERIES),
        instances=_uids(elements, Level.IMAGE),
    )


def _name(level: Level) -> str:
    return name_of(KEYS[level].unique)


def _values(elements: Elements, level: Level) -> list[str]:
    text = text_of(elements.get(KEYS[level].unique, {}))
    return [bare for value in text.split("\\") if (bare := value.strip(" \0"))]


def _patient(elements: Elements) -> str:
    values = _values(elements, Level.PATIENT)
    if len(values) > 1 or any(char in value for value in values for char in "*?"):
        raise InvalidQuery("A retrieval takes one Patient ID, without wild cards.")
    return values[0] if values else ""


def _uids(elements: Elements, level: Level) -> frozenset[UID]:
    return frozenset(uid(value) for value in _values(elements, level))
