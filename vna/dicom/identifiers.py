"""The Identifier of a C-FIND request, as a value (PS3.4 C.4.1.1.3, C.6).

Takes DICOM JSON elements, whatever transfer syntax they came in. What an Identifier must hold and
does not is `InvalidQuery`, which C-FIND answers with A900: Identifier does not match SOP Class.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vna.dicom.attributes import KEYS, vr_of
from vna.dicom.matching import Path
from vna.dicom.matchkeys import Options, Tree, name_of, read_zone
from vna.dicom.refs import Level
from vna.errors import InvalidQuery

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR

LEVEL = "00080052"
ZONE = "00080201"
NOT_KEYS = frozenset(
    (
        LEVEL,
        "00080005",  # Specific Character Set says how the rest is written
        "00080053",  # Query/Retrieve View is not negotiated
        ZONE,  # it says how the moments are meant (PS3.4 C.2.2.2)
    )
)

_DEEPEST = 8


class Model(enum.Enum):
    """The Query/Retrieve Information Models (PS3.4 C.3), by their levels from the top down."""

    PATIENT_ROOT = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE)
    STUDY_ROOT = (Level.STUDY, Level.SERIES, Level.IMAGE)
    PATIENT_STUDY_ONLY = (Level.PATIENT, Level.STUDY)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels from the top down."""
        levels: tuple[Level, ...] = self.value
        return levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """What an Identifier asks for."""

    level: Level
    tree: Tree
    zone: dt.tzinfo | None = None  # of the moments asked for, where its use was negotiated
    unmatched: tuple[Path, ...] = ()  # keys with a value of a VR that nothing can be matched on
    deviations: tuple[str, ...] = ()


def read_identifier(model: Model, elements: Elements, options: Options) -> Identifier:
    """Read an Identifier and hold it against the model: its level and its unique keys."""
    level = read_level(model, elements)
    deviations: list[str] = []
    if not options.relational:
        for above in model.levels[: model.levels.index(level)]:
            _one_value(elements, KEYS[above].unique, level)
    unique = KEYS[level].unique
    if unique not in elements:
        deviations.append(f"The unique key {name_of(unique)} of the level is absent.")
    unmatched: list[Path] = []
    tree = _tree({k: v for k, v in elements.items() if k not in NOT_KEYS}, (), unmatched)
    tree.setdefault(unique, (vr_of(unique), ""))
    return Identifier(
        level=level,
        tree=tree,
        zone=read_zone(text_of(elements.get(ZONE, {}))) if options.timezone else None,
        unmatched=tuple(unmatched),
        deviations=tuple(deviations),
    )


def read_level(model: Model, elements: Elements) -> Level:
    """Read the Query/Retrieve Level, which must be one of the model's."""
    text = text_of(elements.get(LEVEL, {})).strip(" \0")
    for level in model.levels:
        if level.value == text:
            return level
    allowed = ", ".join(level.value for level in model.levels)
    raise InvalidQuery(f"QueryRetrieveLevel must be one of {allowed}.")


def text_of(element: Any) -> str:  # a DICOM JSON element
    """Write the values of an element as a key's text, joined by backslashes."""
    return "\\".join(_text(value) for value in element.get("Value", ()))


def _one_value(elements: Elements, tag: str, level: Level) -> None:
    text = text_of(elements.get(tag, {})).strip(" \0")
    if not text or any(char in text for char in "\\*?"):
        raise InvalidQuery(
            f"A query at level {level.value} needs one value of {name_of(tag)}, the level above,"
            " unless relational queries were negotiated."
        )


def _tree(elements: Elements, above: Path, unmatched: list[Path]) -> dict[str, Any]:  # a Tree
    if len(above) > _DEEPEST:
        raise InvalidQuery(f"Sequences of an Identifier may stand {_DEEPEST} deep.")
    tree: dict[str, Any] = {}
    for tag, element in elements.items():
        if tag.endswith("0000"):  # a group length
            continue
        vr = vr_of(tag) or element["vr"]
        if vr == "SQ" and element["vr"] != "SQ" and "Value" in element:
            raise InvalidQuery(f"{name_of(tag)} must be a sequence.")
        if vr == "SQ":
            tree[tag] = ("SQ", _item(element, (*above, tag), unmatched))
        elif "BulkDataURI" in element or "InlineBinary" in element:
            unmatched.append((*above, tag))
        else:
            tree[tag] = (vr, text_of(element))
    return tree


def _item(element: Any, path: Path, unmatched: list[Path]) -> dict[str, Any]:  # an SQ element
    items = element.get("Value", ())
    if len(items) > 1:
        raise InvalidQuery(f"{name_of(path[-1])} must hold one item (PS3.4 C.2.2.2.6).")
    return _tree(items[0] or {}, path, unmatched) if items else {}


def _text(value: Any) -> str:  # one value of DICOM JSON
    if value is None:
        return ""
    if isinstance(value, dict):
        groups = (value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=")
    return str(value)
