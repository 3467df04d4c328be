"""Rows of the index to answers: what was asked for and what must be there, in DICOM JSON.

An attribute asked for without a value is of zero length; one that was not asked for is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vna.dicom.attributes import CHARACTER_SET, vr_of
from vna.dicom.evaluate import key_matches
from vna.dicom.identifiers import LEVEL
from vna.dicom.matching import Item, MatchingKey, Path, Query
from vna.dicom.refs import UID
from vna.query.keys import own_attributes

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR
Wanted = dict[str, "Wanted"]
"""Attributes wanted, by tag; for a sequence those of its items, or none to want all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One match. `attributes` are DICOM JSON elements in ascending order."""

    study: UID | None
    series: UID | None
    instance: UID | None
    attributes: dict[str, Any]  # values of DICOM JSON differ by VR


def shaper(query: Query) -> Callable[[Elements], dict[str, Any]]:
    """Make the function that cuts a row's attributes to what the query asks for."""
    wanted = _tree(query.returns | query.if_known)
    order = sorted(wanted)
    asked = {path[0] for path in query.returns}
    filters = {key.tag: key for key in query.keys if isinstance(key.condition, Item)}
    level = {"vr": "CS", "Value": [query.level.value]}
    all_of = own_attributes(query.level) - {CHARACTER_SET} if query.everything else frozenset()

    def shape(row: Elements) -> dict[str, Any]:
        tags = sorted(wanted.keys() | (all_of & row.keys())) if all_of else order
        shaped: dict[str, Any] = {}
        for tag in tags:
            element = row.get(tag)
            if element is None:
                if tag == LEVEL:
                    shaped[tag] = level
                elif tag in asked:
                    shaped[tag] = {"vr": vr_of(tag) or "UN"}
            elif tag in asked or "Value" in element or tag in all_of:
                inner = wanted.get(tag)
                shaped[tag] = _items(element, inner, filters.get(tag)) if inner else element
        return shaped

    return shape


def _tree(paths: frozenset[Path]) -> Wanted:
    """Turn paths into a tree; a path to a sequence itself wants all of it."""
    wanted: Wanted = {}
    whole = {path for path in paths if len(path) == 1}
    for path in paths:
        if len(path) > 1 and path[:1] in whole:
            continue
        branch = wanted
        for step in path:
            branch = branch.setdefault(step, {})
    return wanted


def _items(element: Any, wanted: Wanted, key: MatchingKey | None) -> dict[str, Any]:  # an SQ
    """Keep the items that match, and of each what was asked for (PS3.4 C.2.2.2.6)."""
    found = element.get("Value", ()) if element["vr"] == "SQ" else ()  # senders write any VR
    items = [item or {} for item in found]
    if key is not None:
        one = key.tag
        items = [item for item in items if key_matches(key, {one: {"vr": "SQ", "Value": [item]}})]
    shaped = [_item(item, wanted) for item in items]
    return {"vr": "SQ", "Value": shaped} if shaped else {"vr": "SQ"}


def _item(item: Elements, wanted: Wanted) -> dict[str, Any]:
    shaped: dict[str, Any] = {}
    for tag in sorted(wanted):
        element = item.get(tag) or {"vr": vr_of(tag) or "UN"}
        shaped[tag] = _items(element, wanted[tag], None) if wanted[tag] else element
    return shaped
