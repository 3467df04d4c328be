"""DICOM JSON elements -> Native DICOM Model XML (PS3.19 A.1), as PS3.18 F.3 maps the two."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from vna.dicom.attributes import keyword_of

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
)
_TAIL = "</NativeDicomModel>"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
# What XML 1.0 cannot carry, not even as a reference
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PRIVATE = re.compile(r"[0-9A-F]{3}[13579BDF]([0-9A-F]{2})[0-9A-F]{2}")

Elements = dict[str, Any]  # the DICOM JSON Model is untyped


def native_model(elements: Elements) -> bytes:
    """Write one data set as an XML document in UTF-8."""
    return f"{_HEAD}{''.join(_attributes(elements))}{_TAIL}".encode()


def _attributes(elements: Elements) -> Iterator[str]:
    for tag in sorted(elements):
        element = elements[tag]
        content = "".join(_content(element))
        yield f"<DicomAttribute{_names(tag, elements)} vr={quoteattr(element['vr'])}"
        yield f">{content}</DicomAttribute>" if content else "/>"


def _names(tag: str, elements: Elements) -> str:
    """What says which attribute it is: a private one by its creator (PS3.19 A.1.5)."""
    private = _PRIVATE.fullmatch(tag)
    if private is None:
        keyword = keyword_of(tag)
        return f' tag="{tag}"' + (f' keyword="{keyword}"' if keyword else "")
    block = private[1]
    creator = elements.get(f"{tag[:4]}00{block}", {}).get("Value") or [None]
    if block == "00" or not isinstance(creator[0], str):
        return f' tag="{tag}"'
    return f' tag="{tag[:4]}00{tag[6:]}" privateCreator={quoteattr(_clean(creator[0]))}'


def _content(element: Elements) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">{"".join(_attributes(value or {}))}</Item>'
        elif element["vr"] == "PN":
            yield f'<PersonName number="{number}">{"".join(_name(value or {}))}</PersonName>'
        else:
            text = "" if value is None else escape(_clean(str(value)), {"\r": "&#13;"})
            yield f'<Value number="{number}">{text}</Value>'


def _name(value: dict[str, str]) -> Iterator[str]:
    for group in _GROUPS:
        if text := value.get(group):
            parts = zip(_COMPONENTS, _clean(text).split("^"), strict=False)
            inner = "".join(f"<{name}>{escape(part)}</{name}>" for name, part in parts if part)
            yield f"<{group}>{inner}</{group}>"


def _clean(text: str) -> str:
    return _IMPOSSIBLE.sub("\ufffd", text)
