"""What an instance says of the attributes an administrator made searchable, in the matching form.

The terms of an instance stand apart by level, as those the archive always keeps do: what it says of
its study, of its series, and of itself.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vna.dicom import privates
from vna.dicom.refs import Level
from vna.dicom.searchable import Searchable
from vna.dicom.unknown import as_vr, charset_of
from vna.index import terms
from vna.index.faces import as_json

Elements = Mapping[str, Any]  # DICOM JSON elements: their values differ by VR
Wanted = dict[str, Any]
"""Name -> VR of an attribute, or the names wanted of a sequence's items; for SQ "SQ" wants all."""


@dataclass(frozen=True, slots=True)
class Extra:
    """Terms of one instance as JSON texts; None where it has none of a level."""

    study: str | None
    series: str | None
    own: str | None


_PARTS = ((Level.PATIENT, Level.STUDY), (Level.SERIES,), (Level.IMAGE,))


def extra(elements: Elements, added: Sequence[Searchable], *, zone: dt.tzinfo) -> Extra:
    """Read the added attributes of an instance from its DICOM JSON elements.

    `zone` is the site's, for moments of data sets that do not say theirs.
    """
    zone = terms.zone_of(elements) or zone
    return Extra(
        *(_terms(elements, [one for one in added if one.level in of], zone) for of in _PARTS)
    )


def hash_of(text: str | None) -> int | None:
    """Hash terms, so that the same terms of a study or series stand once."""
    if text is None:
        return None
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _terms(elements: Elements, added: Sequence[Searchable], zone: dt.tzinfo) -> str | None:
    wanted: Wanted = {}
    for one in added:
        _add(wanted, one)
    if not wanted:
        return None
    found = terms.terms(_picked(elements, wanted, charset_of(elements)), zone=zone)
    return as_json(found, sort=True) if found else None


def _add(wanted: Wanted, one: Searchable) -> None:
    branch = wanted
    for step in one.path[:-1]:
        inner = branch.setdefault(step, {})
        if not isinstance(inner, dict):
            return  # all of that sequence is wanted already
        branch = inner
    branch[one.path[-1]] = one.vr


def _picked(elements: Elements, wanted: Wanted, charset: str) -> dict[str, Any]:
    """Take what is wanted, by name, items cut to what is wanted of them."""
    picked: dict[str, Any] = {}
    for name, kind in wanted.items():
        element = privates.find(elements, name)
        if element is None:
            continue
        if isinstance(kind, dict):
            items = [_picked(item, kind, charset) for item in _items(element)]
            picked[name] = {"vr": "SQ", "Value": items}
        elif kind == "SQ":
            picked[name] = {"vr": "SQ", "Value": [_named(item) for item in _items(element)]}
        else:
            found = as_vr(element, kind, charset)
            picked[name] = {**found, "vr": kind} if "Value" in found else {"vr": kind}
    return picked


def _items(element: Any) -> list[Elements]:  # of a DICOM JSON element: none unless it is an SQ
    found = element.get("Value", ()) if element.get("vr") == "SQ" else ()
    return [item or {} for item in found]


def _named(item: Elements) -> dict[str, Any]:
    """Give all of an item, private attributes by their names."""
    found: dict[str, Any] = {}
    for tag, element in item.items():
        name = tag
        if privates.is_private(tag):
            if privates.is_creator(tag):
                continue
            creator = item.get(privates.creator_tag(tag), {}).get("Value") or [""]
            name = privates.name(tag, str(creator[0]))
        if element.get("vr") == "SQ":
            found[name] = {"vr": "SQ", "Value": [_named(inner) for inner in _items(element)]}
        else:
            found[name] = element
    return found
