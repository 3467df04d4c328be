"""Values that came without their VR, once somebody knows it: private elements in implicit VR."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from vna.dicom import privates
from vna.dicom.jsonmodel import FORMS_LITTLE, Reading, head_of

Elements = Mapping[str, Any]  # DICOM JSON elements: their values differ by VR
Known = Sequence[tuple[tuple[str, ...], str]]
"""Paths of names (`vna.dicom.privates`) and the VR at the end of each."""

CHARSET = "00080005"


def as_vr(element: Any, vr: str, charset: str) -> Any:  # DICOM JSON elements
    """Read an element of VR UN as one of `vr`; any other is given back as it is."""
    if element.get("vr") != "UN" or "InlineBinary" not in element or vr not in FORMS_LITTLE:
        return element
    try:
        raw = base64.b64decode(element["InlineBinary"])
    except binascii.Error:
        return element
    member = FORMS_LITTLE[vr](head_of(0, vr), raw, Reading(charset, set()))
    (found,) = orjson.loads(b"{%b}" % member[:-1]).values()
    return found


def charset_of(elements: Elements) -> str:
    """Join the values of Specific Character Set."""
    return "\\".join(str(value or "") for value in elements.get(CHARSET, {}).get("Value", ()))


def with_vrs(elements: Elements, known: Known, charset: str | None = None) -> dict[str, Any]:
    """Give elements of unknown VR the one their path is known by, in items too."""
    charset = charset_of(elements) if charset is None else charset
    found = dict(elements)
    for tag, element in elements.items():
        name = _name(tag, elements)
        below = [(path[1:], vr) for path, vr in known if path[:1] == (name,)]
        own = next((vr for path, vr in below if not path), None)
        if own is not None:
            found[tag] = as_vr(element, own, charset)
        elif below and element.get("vr") == "SQ" and "Value" in element:
            items = [with_vrs(item or {}, below, charset) for item in element["Value"]]
            found[tag] = {"vr": "SQ", "Value": items}
    return found


def _name(tag: str, elements: Elements) -> str:
    if not privates.is_private(tag) or privates.is_creator(tag):
        return tag
    creator = elements.get(privates.creator_tag(tag), {}).get("Value") or [""]
    return privates.name(tag, str(creator[0]))
