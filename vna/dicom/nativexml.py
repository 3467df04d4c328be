"""Native DICOM Model XML (PS3.19 A.1) -> DICOM JSON elements, as PS3.18 F.3 maps the two.

The document comes from outside: no DTD, no entity, nothing external is read, and how many elements
it may have is told by counting before it is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from vna.dicom.attributes import shown_tag
from vna.errors import MalformedInstance, TooLarge

Elements = dict[str, Any]  # the DICOM JSON Model is untyped

_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_INTEGERS = frozenset(("SL", "SS", "SV", "UL", "US", "UV"))
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


def read(document: bytes, *, nesting: int, most: int) -> Elements:
    """Read one data set. Values are as they stand; `compose.normalized` judges them.

    Raises `MalformedInstance`, `TooLarge`.
    """
    if document.count(b"<") > 2 * most:
        raise TooLarge("The XML document has too many elements.")
    try:
        root = fromstring(document, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as exc:
        raise MalformedInstance("The XML must not have a DTD, entities or references.") from exc
    except (ParseError, LookupError, ValueError) as exc:
        raise MalformedInstance("The metadata is no well-formed XML.") from exc
    if _local(root) != "NativeDicomModel":
        raise MalformedInstance("The XML is no NativeDicomModel.")
    return _dataset(root, nesting)


def _dataset(node: Element, levels: int) -> Elements:
    if levels < 0:
        raise TooLarge("Sequences are nested too deep.")
    found: Elements = {}
    private: list[tuple[str, str, Elements]] = []
    for child in node:
        if _local(child) != "DicomAttribute":
            raise MalformedInstance("A data set in XML holds DicomAttribute elements only.")
        tag = (child.get("tag") or "").upper()
        if not _TAG.fullmatch(tag):
            raise MalformedInstance("The tag of a DicomAttribute is 8 hexadecimal digits.")
        creator = child.get("privateCreator")
        element = _element(child, levels)
        if creator is not None and int(tag, 16) & 0x10000 and tag[4:6] == "00":
            private.append((tag, creator, element))
        elif tag in found:
            raise MalformedInstance(f"{shown_tag(tag)} is there twice.")
        else:
            found[tag] = element
    for tag, creator, element in private:
        block = _block(found, tag[:4], creator)
        if found.setdefault(f"{tag[:4]}{block:02X}{tag[6:]}", element) is not element:
            raise MalformedInstance(f"{shown_tag(tag)} is there twice.")
    return found


def _block(elements: Elements, group: str, creator: str) -> int:
    """Find the block a private creator reserves, or reserve the next one (PS3.5 7.8.1)."""
    free = None
    for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
        reserved = elements.get(f"{group}00{block:02X}")
        if reserved is not None and (reserved.get("Value") or [""])[0] == creator:
            return block
        if reserved is None and free is None and not _is_used(elements, group, block):
            free = block
    if free is None:
        raise MalformedInstance(f"There is no private block left in group {group}.")
    elements[f"{group}00{free:02X}"] = {"vr": "LO", "Value": [creator]}
    return free


def _is_used(elements: Elements, group: str, block: int) -> bool:
    return any(tag.startswith(f"{group}{block:02X}") for tag in elements)


def _element(node: Element, levels: int) -> Elements:
    vr = node.get("vr")
    element: Elements = {"vr": vr} if vr else {}
    kinds = {_local(child) for child in node}
    if not kinds:
        return element
    if len(kinds) > 1:
        raise MalformedInstance("A DicomAttribute has one kind of content.")
    match kinds.pop():
        case "Value":
            element["Value"] = [_value(vr or "", child) for child in _numbered(node)]
        case "PersonName":
            element["Value"] = [_name(child) for child in _numbered(node)]
        case "Item":
            element["Value"] = [_dataset(child, levels - 1) for child in _numbered(node)]
        case "BulkData":
            element["BulkDataURI"] = node[0].get("uri") or node[0].get("uuid") or ""
        case "InlineBinary":
            element["InlineBinary"] = node[0].text or ""
        case _:
            raise MalformedInstance("A DicomAttribute holds something PS3.19 does not know.")
    return element


def _numbered(node: Element) -> Iterator[Element]:
    """Children in the order of their numbers, which begin at 1 and leave none out."""
    numbers = [child.get("number") for child in node]
    if all(number is None for number in numbers):
        yield from node
        return
    by_number = dict(zip(numbers, node, strict=True))
    for number in range(1, len(node) + 1):
        child = by_number.get(str(number))
        if child is None:
            raise MalformedInstance("Values and items are numbered from 1, none left out.")
        yield child


def _value(vr: str, node: Element) -> str | int | None:
    text = node.text or ""
    if not text:
        return None
    if vr in _INTEGERS:
        try:
            return int(text)
        except ValueError as exc:
            raise MalformedInstance(f"A value of VR {vr} is an integer.") from exc
    return text


def _name(node: Element) -> dict[str, str] | None:
    found = {}
    for group in node:
        name = _local(group)
        if name not in _GROUPS:
            raise MalformedInstance("A PersonName has Alphabetic, Ideographic and Phonetic groups.")
        parts = {_local(part): part.text or "" for part in group}
        found[name] = "^".join(parts.get(part, "") for part in _COMPONENTS).rstrip("^")
    return found or None


def _local(node: Element) -> str:
    """Name an element without its namespace, which many writers leave out."""
    return node.tag.rpartition("}")[2]
