"""Which side of the patient lies at each edge of a picture.

Told by Image Orientation (Patient), else by Patient Orientation (PS3.3 C.7.6.2.1.1, C.7.6.1.1.1).
What contradicts itself tells nothing: a wrong letter is worse than none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vna.pixels.elements import Members, groups_of, item, numbers, text, values

_ORIENTATION, _PATIENT_ORIENTATION = "00200037", "00200020"
_PLANE_GROUP, _PATIENT_GROUP = "00209116", "00209450"
_ANATOMY, _BODY_PART = "00102210", "00180015"

_OFF = 0.02  # how far rounded cosines may be from unit vectors at a right angle
_OBLIQUE = math.sin(math.radians(5))  # a direction that leans less is told by one letter

Axes = tuple[tuple[str, str], ...]  # x, y and z: where each comes from and where it leads
_BIPED: Axes = (("R", "L"), ("A", "P"), ("F", "H"))
# of an animal what leads up, or to the head, has other names in a limb: there x alone is told
_QUADRUPED: Axes = (("RT", "LE"), ("", ""), ("", ""))
_TRUNK: Axes = (("RT", "LE"), ("V", "D"), ("CD", "CR"))
_SKULL: Axes = (("RT", "LE"), ("V", "D"), ("CD", "R"))
_HEADS = frozenset({"HEAD", "SKULL", "BRAIN"})
_TRUNKS = frozenset(
    {
        *("NECK", "CHEST", "THORAX", "HEART", "LUNG", "ABDOMEN", "LIVER", "KIDNEY", "PELVIS"),
        *("SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "TAIL", "TRUNK", "WHOLEBODY"),
    }
)

_WORDS = {
    "BIPED": re.compile("[APRLHF]"),
    "QUADRUPED": re.compile("LE|RT|CR|CD|PR|DI|PA|PL|[DVRML]"),
}
_OPPOSITE = {
    "BIPED": {"A": "P", "P": "A", "R": "L", "L": "R", "H": "F", "F": "H"},
    "QUADRUPED": {
        "LE": "RT",
        "RT": "LE",
        "V": "D",
        "D": "V",
        "CR": "CD",
        "CD": "CR",
        "R": "CD",
        "M": "L",
        "L": "M",
        "PR": "DI",
        "DI": "PR",
        "PA": "D",
        "PL": "D",
    },
}
_OF_LIMBS = frozenset({"PR", "DI", "PA", "PL"})  # beside them dorsal faces no belly


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What lies at each edge of a frame as it is stored; empty where that is not known."""

    top: str
    right: str
    bottom: str
    left: str


def sides_of(members: Members, number: int) -> Sides | None:
    """Tell the sides of a frame, from 1; None where nothing is known (PS3.3 C.7.6.16.2.4)."""
    kind = text(members, _ANATOMY) or "BIPED"
    if kind not in _WORDS:
        return None
    groups = list(groups_of(members, number))
    holders = (*(item(group, _PATIENT_GROUP) for group in groups), members)
    named = next(filter(None, (_words(holder, kind) for holder in holders)), None)
    if kind == "QUADRUPED" and named:  # it says itself of which part of the body it speaks
        return named
    axes = _BIPED if kind == "BIPED" else _axes_of(text(members, _BODY_PART))
    for holder in (*(item(group, _PLANE_GROUP) for group in groups), members):
        if values(holder, _ORIENTATION):
            found = _of_plane(holder, axes)
            return None if found and named and _contradict(found, named) else found
    return named


def _contradict(one: Sides, other: Sides) -> bool:
    """Tell whether the same direction leads to opposite sides, which shall agree."""
    return one.right[:1] == other.left[:1] or one.bottom[:1] == other.top[:1]


def _axes_of(part: str) -> Axes:
    """Name the axes of a quadruped by the part of its body (PS3.3 C.7.6.2.1.1)."""
    if part in _HEADS:
        return _SKULL
    return _TRUNK if part in _TRUNKS else _QUADRUPED


def _of_plane(holder: Members, axes: Axes) -> Sides | None:
    cosines = numbers(holder, _ORIENTATION)
    row, column = cosines[:3], cosines[3:]
    if len(values(holder, _ORIENTATION)) != 6 or len(cosines) != 6 or not _is_plane(row, column):
        return None
    right, bottom = _direction(row, axes), _direction(column, axes)
    left = _direction([-value for value in row], axes)
    top = _direction([-value for value in column], axes)
    return Sides(top=top, right=right, bottom=bottom, left=left) if right or bottom else None


def _is_plane(row: Sequence[float], column: Sequence[float]) -> bool:
    lengths = (math.hypot(*row), math.hypot(*column))
    angle = sum(one * other for one, other in zip(row, column, strict=True))
    return all(abs(length - 1) <= _OFF for length in lengths) and abs(angle) <= _OFF


def _direction(vector: Sequence[float], axes: Axes) -> str:
    """Write a direction, what it leads to most first; where that has no name, nothing."""
    ranked = sorted(zip(vector, axes, strict=True), key=lambda one: -abs(one[0]))
    found = [axis[value > 0] for value, axis in ranked if abs(value) >= _OBLIQUE]
    return "".join(found) if found and found[0] else ""


def _words(holder: Members, kind: str) -> Sides | None:
    """Read Patient Orientation: where rows lead, then where columns lead (PS3.3 C.7.6.1.1.1)."""
    told = [_split(str(value), kind) for value in values(holder, _PATIENT_ORIENTATION)]
    if len(told) != 2 or not all(told):
        return None
    row, column = told
    opposite = dict(_OPPOSITE[kind])
    if row[0] in (column[0], opposite[column[0]]):
        return None
    if _OF_LIMBS & {*row, *column}:
        opposite["D"] = ""
    return Sides(
        top=_turned(column, opposite),
        right="".join(row),
        bottom="".join(column),
        left=_turned(row, opposite),
    )


def _split(value: str, kind: str) -> list[str]:
    """Cut a value into its abbreviations, at most three; none where it holds something else."""
    found = _WORDS[kind].findall(value.strip())
    return found if len(found) <= 3 and "".join(found) == value.strip() else []


def _turned(words: Sequence[str], opposite: Mapping[str, str]) -> str:
    found = [opposite[word] for word in words]
    return "".join(found) if found[0] else ""
