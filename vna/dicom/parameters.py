"""The query parameters of a DICOMweb search, as a value (PS3.18 8.3.4, 10.6.1).

Takes pairs that are percent-decoded already, with `+` left a plus. What the standard tells a
server to ignore is ignored and named in `deviations`; a known parameter with a bad value is
`InvalidQuery`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vna.dicom.attributes import tag_of, vr_of
from vna.dicom.matching import Path
from vna.dicom.matchkeys import Options, Tree, read_zone
from vna.errors import InvalidQuery

MOST = 2**31 - 1

_ALL = "all"
_SWITCHES = {
    "fuzzymatching": "fuzzy",
    "emptyvaluematching": "empty_value",
    "multiplevaluematching": "multiple_value",
}
_EDGE = frozenset(("accept", "charset"))  # content negotiation is the edge's
_STEPS_MOST = 8
_ZONE = "00080201"
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*", re.ASCII)
# Python and C# write what they hold as True
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
_UINT = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What the parameters say, before a resource and its level give them their place."""

    tree: Tree
    options: Options
    includes: frozenset[Path] = frozenset()
    everything: bool = False
    limit: int | None = None
    offset: int = 0
    deviations: tuple[str, ...] = ()


def read_parameters(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Read the parameters of a search. Date and time ranges always combine (PS3.18 8.3.4.1.1)."""
    reading = _Reading()
    for name, value in pairs:
        reading.take(name, value)
    options = Options(combined=True, zone=reading.zone(), **reading.switches)
    return Parameters(
        tree=reading.tree,
        includes=frozenset(reading.includes),
        everything=reading.everything,
        limit=reading.numbers.get("limit"),
        offset=reading.numbers.get("offset", 0),
        options=options,
        deviations=tuple(reading.deviations),
    )


def attribute(step: str) -> str | None:
    """Take a keyword or eight hexadecimal digits; None when it is neither (PS3.18 8.3.1.1)."""
    if _TAG.fullmatch(step):
        return step.upper()
    return tag_of(step) if _WORD.fullmatch(step) else None


def path(text: str) -> Path | None:
    """Take an attribute path, steps joined by dots; None when a step is no attribute."""
    steps = text.split(".")
    if len(steps) > _STEPS_MOST:
        raise InvalidQuery(f"An attribute path may have {_STEPS_MOST} steps.")
    tags = [attribute(step) for step in steps]
    return None if None in tags else tuple(tag for tag in tags if tag)


@dataclass(slots=True)
class _Reading:
    tree: dict[str, tuple[str, Any]] = field(default_factory=dict)  # grows into a Tree
    includes: set[Path] = field(default_factory=set)
    everything: bool = False
    numbers: dict[str, int] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)
    deviations: list[str] = field(default_factory=list)

    def take(self, name: str, value: str) -> None:
        if name in ("limit", "offset"):
            self._once(name, name in self.numbers)
            self.numbers[name] = _uint(name, value)
        elif name in _SWITCHES:
            self._once(name, _SWITCHES[name] in self.switches)
            self.switches[_SWITCHES[name]] = _boolean(name, value)
        elif name == "includefield":
            self._include(value)
        elif name not in _EDGE:
            self._match(name, value)

    def zone(self) -> dt.tzinfo | None:
        """Take the zone of the question out of its keys (PS3.18 8.3.4.1.1)."""
        _, text = self.tree.get(_ZONE, ("SH", ""))
        zone = read_zone(str(text))
        if zone is not None:
            del self.tree[_ZONE]
            self.includes.add((_ZONE,))
        return zone

    def _once(self, name: str, again: bool) -> None:
        if again:
            raise InvalidQuery(f"{name} may stand once in a query.")

    def _include(self, value: str) -> None:
        for text in value.split(","):
            name = text.strip(" \t")
            if name == _ALL:
                self.everything = True
            elif (found := path(name)) is not None:
                _must_be_sequences(found[:-1], name)
                self.includes.add(found)
            elif all(_WORD.fullmatch(step) for step in name.split(".")):
                self.deviations.append(
                    f"The attribute {name[:64]} is not known and is not returned."
                )
            else:
                raise InvalidQuery("includefield must be `all` or a list of attributes.")

    def _match(self, name: str, value: str) -> None:
        found = path(name)
        if found is None:
            shown = name[:64] if name.isascii() and name.isprintable() else "given"
            self.deviations.append(f"The parameter {shown} is not known and was ignored.")
            return
        _must_be_sequences(found[:-1], name)
        branch = self.tree
        for step in found[:-1]:
            branch = self._branch(branch, step, name)
        vr = vr_of(found[-1]) or "UN"
        self._once(name, found[-1] in branch)
        if vr == "SQ" and value:
            raise InvalidQuery(f"{name} is a sequence: name the attribute inside it to match on.")
        branch[found[-1]] = (vr, {} if vr == "SQ" else value)

    def _branch(self, tree: dict[str, tuple[str, Any]], step: str, name: str) -> dict[str, Any]:
        inner = tree.setdefault(step, ("SQ", {}))[1]
        if not isinstance(inner, dict):
            raise InvalidQuery(f"{name} contradicts another key of the query.")
        return inner


def _must_be_sequences(steps: Path, name: str) -> None:
    if any(vr_of(step) not in ("SQ", None) for step in steps):
        raise InvalidQuery(f"In {name} every attribute but the last must be a sequence.")


def _uint(name: str, value: str) -> int:
    if not _UINT.fullmatch(value):
        raise InvalidQuery(f"{name} must be a number of digits only.")
    return MOST if len(value.lstrip("0")) > 10 else min(int(value), MOST)


def _boolean(name: str, value: str) -> bool:
    if value not in _BOOLEANS:
        raise InvalidQuery(f"{name} must be true or false.")
    return _BOOLEANS[value]
