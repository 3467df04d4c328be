"""Attributes an administrator made searchable: what they are called, their VR and their level.

A path is attributes joined by dots, all but the last of them sequences. A step is a keyword, eight
hexadecimal digits, or, for a private attribute, its digits and its creator: `00291010:"ACME 1.1"`,
whatever the block. Written here, the block is left out: `00290010:"ACME 1.1"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vna.dicom import dictionary, privates
from vna.dicom.attributes import ALL_INDEXED, shown_tag, tag_of, vr_of
from vna.dicom.matching import Path
from vna.dicom.modules import level_of
from vna.dicom.refs import Level
from vna.errors import InvalidQuery

MATCHED_VRS = frozenset(
    (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL"),
        *("SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UR", "US", "UT", "UV"),
    )
)
"""VRs that something can be matched on; for SQ everything in its items."""

STEPS_MOST = 8
_STEP = re.compile(
    r'([0-9A-Fa-f]{8}|[A-Za-z][A-Za-z0-9]*)(?::(?:"([^"\\]{1,64})"|([^".:\\]{1,64})))?'
)
# kept, or computed at read: these can be searched anyhow
_HELD = frozenset(ALL_INDEXED) | {"00080056", "00080061", "00080062", "00083002"}
_COUNTS = frozenset(("00201200", "00201202", "00201204", "00201206", "00201208", "00201209"))


@dataclass(frozen=True, slots=True)
class Searchable:
    """One attribute. `path` holds names (`vna.dicom.privates`); `ready`: every instance is in."""

    path: Path
    vr: str
    level: Level
    ready: bool = False

    def __str__(self) -> str:
        """Write the path as it is read."""
        return write_path(self.path)


def read(
    text: str, *, vr: str | None = None, creator: str | None = None, level: Level | None = None
) -> Searchable:
    """Read what an administrator asks to be searchable.

    `creator` is that of private steps that do not say theirs. `vr` is needed where no dictionary
    has it. Raises `InvalidQuery`.
    """
    path = read_path(text, creator)
    found = _dictionary_vr(path[-1])
    known = vr or found
    if known is None:
        raise InvalidQuery(f"The VR of {text} is in no dictionary; say it with --vr.")
    if known not in MATCHED_VRS:
        raise InvalidQuery(f"{text} has the VR {known}, which nothing can be matched on.")
    if vr and found and vr != found and ":" not in path[-1]:
        raise InvalidQuery(f"The VR of {text} is {found}.")
    if path[0] in _HELD | _COUNTS:
        raise InvalidQuery(f"{text} can be searched already.")
    if ":" in path[0]:
        return Searchable(path, known, level or Level.IMAGE)
    return Searchable(path, known, level or level_of(path[0]))


def read_path(text: str, creator: str | None = None) -> Path:
    """Read a path to names. Raises `InvalidQuery`."""
    names: list[str] = []
    at = 0
    while at <= len(text) and len(names) < STEPS_MOST:
        found = _STEP.match(text, at)
        if found is None:
            break
        names.append(_name(found[1], found[2] or found[3], creator, text))
        at = found.end()
        if at == len(text):
            _check_sequences(names, text)
            return tuple(names)
        if text[at] != ".":
            break
        at += 1
    raise InvalidQuery(
        "An attribute is a keyword, eight hexadecimal digits, or a path of at most"
        f' {STEPS_MOST} of these joined by dots; a private one is 00291010:"CREATOR".'
    )


def write_path(path: Path) -> str:
    """Write a path so that `read_path` reads it again."""
    return ".".join(
        f'{step[:8]}:"{privates.creator_of(step)}"' if ":" in step else step for step in path
    )


def at_level(added: Iterable[Searchable], levels: Iterable[Level]) -> dict[str, list[Searchable]]:
    """Group the attributes of some levels by the name their path begins with."""
    wanted = frozenset(levels)
    found: dict[str, list[Searchable]] = {}
    for one in added:
        if one.level in wanted:
            found.setdefault(one.path[0], []).append(one)
    return found


def _name(step: str, own: str | None, creator: str | None, text: str) -> str:
    tag = step.upper() if len(step) == 8 and re.fullmatch(r"[0-9A-Fa-f]{8}", step) else tag_of(step)
    if tag is None:
        where = "" if step == text else f" in {text[:256]}"
        raise InvalidQuery(f"{step[:64]}{where} is no keyword of the standard.")
    if not privates.is_private(tag):
        if vr_of(tag) is None:
            raise InvalidQuery(f"{shown_tag(tag)} is no attribute of the standard.")
        return tag
    if own:  # its block does not matter, and may be left out
        return privates.name(tag, own)
    if privates.is_creator(tag):
        raise InvalidQuery(f"{shown_tag(tag)} is a private creator, nothing to search.")
    if not creator:
        raise InvalidQuery(f"{shown_tag(tag)} is private: say its creator.")
    return privates.name(tag, creator)


def _check_sequences(names: list[str], text: str) -> None:
    if any(":" not in step and vr_of(step) != "SQ" for step in names[:-1]):
        raise InvalidQuery(f"In {text[:256]} every attribute but the last must be a sequence.")


def _dictionary_vr(name: str) -> str | None:
    if ":" not in name:
        return vr_of(name)
    try:
        found = dictionary.private_vr_of(
            int(privates.in_block(name, "10"), 16), privates.creator_of(name)
        )
    except KeyError:
        return None
    return found[:2]
